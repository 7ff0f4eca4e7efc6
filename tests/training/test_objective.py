"""The loss of a potential by its definition, and where the memory of a device is what it is."""

import copy

import pytest
import torch

from finetuning_frames import labelled, rattled
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.objective import Material, Objective
from uniscreen.training.recipe import LossSection


@pytest.fixture
def potential(loaded):
    return copy.deepcopy(loaded("chgnet-0.3.0"))


@pytest.fixture
def objective(potential):
    frames = [
        LabelledStructure(atoms, atoms.get_potential_energy(), atoms.get_forces(), None, None, f"frame {k}")
        for k, atoms in enumerate(labelled(rattled(6), potential))
    ]
    parameters = [parameter.requires_grad_() for parameter in potential.model.parameters()]
    return Objective(potential, parameters, LossSection(), Material(frames, frames, []))


def test_the_loss_is_that_of_its_definition(potential):
    """Three frames that are off by known errors; the second counts three times, and the first has no stress.

    Of an error e the loss is e² / 2w below the width w of 0.01, and e - w / 2 above: 0.0008 for 0.004, 0.025 for 0.03.
    """
    small, other = rattled(2)
    frames = [small, small.repeat((2, 1, 1)), other]
    off = [(0.004, 0.02, None, None), (0.03, -0.002, 0.05, "often"), (-0.1, 0.0, -0.004, "others")]
    labels = [
        LabelledStructure(
            atoms=atoms,
            energy=result.energy + energy * len(atoms),
            forces=result.forces + force,
            stress=None if stress is None else result.stress + stress / 160.21766208,
            group=group,
            place="",
        )
        for atoms, result, (energy, force, stress, group) in zip(frames, potential.evaluate(frames), off, strict=True)
    ]
    weights = LossSection(energy=2.0, forces=0.5, stress=0.25, huber=0.01, groups={"often": 3.0})
    parameters = [parameter.requires_grad_() for parameter in potential.model.parameters()]
    objective = Objective(potential, parameters, weights, Material(labels, [], []))
    energies = (0.0008 + 3 * 0.025 + 0.095) / 3
    forces = (6 * 0.015 + 3 * 12 * 0.0002) / (3 * 8)
    stresses = (3 * 9 * 0.045 + 9 * 0.0008) / (9 * 2)
    expected = pytest.approx(2 * energies + 0.5 * forces + 0.25 * stresses, rel=1e-3)
    assert objective.evaluate(objective.train, weights)[0] == expected
    assert objective.backward(objective.train, weights) == expected


def test_passes_get_smaller_where_memory_does_not_suffice(potential, objective, monkeypatch):
    """In validation too, which comes first."""
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


class NoMemory(torch.autograd.Function):
    """The identity, whose gradient gets no memory in TorchScript."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("The following operation failed in the TorchScript interpreter. CUDA out of memory.")


def test_passes_get_smaller_where_memory_does_not_suffice_for_the_gradient(potential, objective, monkeypatch):
    derivatives, most = potential.derivatives, 2 * objective.samples[0].n_edges
    sizes = []

    def limited(graph, **options):
        sizes.append(graph.edge_index.shape[1])
        found = derivatives(graph, **options)
        return found._replace(energy=NoMemory.apply(found.energy)) if sizes[-1] > most else found

    monkeypatch.setattr(potential, "derivatives", limited)
    objective.backward(objective.train, LossSection())
    assert sizes[0] > most >= max(sizes[-3:])
