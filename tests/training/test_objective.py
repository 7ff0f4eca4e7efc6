"""The loss of a potential, where the memory of a device is what it is."""

import copy

import pytest
import torch

from finetuning_frames import labelled, rattled
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.objective import Material, Objective
from uniscreen.training.recipe import LossSection


def test_passes_get_smaller_where_memory_does_not_suffice(loaded, monkeypatch):
    """In validation too, which comes first."""
    potential = copy.deepcopy(loaded("chgnet-0.3.0"))
    frames = [
        LabelledStructure(atoms, atoms.get_potential_energy(), atoms.get_forces(), None, None, f"frame {k}")
        for k, atoms in enumerate(labelled(rattled(6), potential))
    ]
    parameters = [parameter.requires_grad_() for parameter in potential.model.parameters()]
    objective = Objective(potential, parameters, LossSection(), Material(frames, frames, []))
    expected, results = objective.evaluate(objective.validation, LossSection())
    derivatives, most = potential.derivatives, 2 * objective.samples[0].n_edges
    sizes = []

    def limited(graph, **options):
        sizes.append(graph.edge_index.shape[1])
        if sizes[-1] > most:
            raise torch.OutOfMemoryError
        return derivatives(graph, **options)

    monkeypatch.setattr(potential, "derivatives", limited)
    loss, again = objective.evaluate(objective.validation, LossSection())
    assert sizes[0] > most >= max(sizes[-3:])
    assert loss == pytest.approx(expected, rel=1e-5)
    assert [one.energy for one in again] == pytest.approx([one.energy for one in results], rel=1e-6)
    sizes.clear()
    objective.backward(objective.train, LossSection())
    assert max(sizes) <= most
