"""Deep Potential with the smooth edition's descriptor se_e2_a (Zhang et al. 2018), of deepmd-kit's PyTorch backend."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deepmd.env
import torch
from ase.data import chemical_symbols
from torch_models import Graph, Statistics, System, TorchModel, fit

# its compiled operators are of one version of torch; nothing here needs them
deepmd.env.SHARED_LIB_DIR = Path(os.devnull)

from deepmd.pt.model.model import get_model  # noqa: E402

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Training


class Network(torch.nn.Module):
    """The energy of each atom; reference energies and scale are left to ``Energy``."""

    def __init__(self, p: dict[str, Any], statistics: Statistics) -> None:
        super().__init__()
        self.n_selected = math.ceil(p["neighbours_margin"] * statistics.most_neighbours)
        self.species = statistics.species
        seed = torch.initial_seed() % 2**31
        descriptor = {
            "type": "se_e2_a",
            "sel": [self.n_selected] * len(self.species),
            "rcut": p["cutoff"],
            "rcut_smth": p["smooth_from"],
            "neuron": [25, 50, 100],
            "axis_neuron": p["axis_neurons"],
            "type_one_side": True,
            "precision": "float64",
            "seed": seed,
        }
        fitting = {"neuron": [p["n_hidden"]] * 3, "resnet_dt": True, "precision": "float64", "seed": seed}
        names = [chemical_symbols[number] for number in self.species]
        self.model = get_model({"type_map": names, "descriptor": descriptor, "fitting_net": fitting}).to("cpu")

    def forward(self, graph: Graph) -> torch.Tensor:
        """Energies (N,). Atoms are at the origin, and each neighbour is a ghost of its own at the end of its edge."""
        n, kinds = len(graph.species), len(self.species)
        ends = graph.species[graph.neighbour]
        lists = torch.full((n, kinds * self.n_selected), -1, device=ends.device)
        for kind in range(kinds):
            edges = torch.nonzero(ends == kind).squeeze(1)
            edges = edges[torch.argsort(graph.vectors[edges].detach().norm(dim=1), stable=True)]
            edges = edges[torch.argsort(graph.centre[edges], stable=True)]
            n_edges = torch.bincount(graph.centre[edges], minlength=n)
            if len(n_edges) and int(n_edges.max()) > self.n_selected:
                raise ValueError(
                    f"an atom has {int(n_edges.max())} neighbours of one element within the cutoff, more than the "
                    f"{self.n_selected} that the model was made for (neighbours_margin)"
                )
            rank = torch.arange(len(edges), device=ends.device) - (n_edges.cumsum(0) - n_edges)[graph.centre[edges]]
            lists[graph.centre[edges], kind * self.n_selected + rank] = n + edges
        coordinates = torch.cat([graph.vectors.new_zeros(n, 3), graph.vectors])[None]
        kinds_of_all = torch.cat([graph.species, ends])[None]
        return self.model.atomic_model.forward_atomic(coordinates, kinds_of_all, lists[None])["energy"].reshape(n)


def standardise(network: Network, systems: list[System]) -> None:
    """Mean and deviation of the environments of the training structures, which the descriptor is divided by."""
    places = {number: place for place, number in enumerate(network.species)}
    frames = []
    for one in systems:
        kinds = torch.tensor([[places[int(number)] for number in one.numbers]])
        counts = torch.bincount(kinds[0], minlength=len(places))
        natoms = torch.cat([torch.tensor([len(kinds[0])] * 2), counts])[None]
        coordinates = one.positions[None]
        frames.append({"coord": coordinates, "atype": kinds, "box": one.cell.reshape(1, 9), "natoms": natoms})
    network.model.atomic_model.descriptor.compute_input_stats(frames)


def load(settings: dict[str, Any]) -> TorchModel:
    """The network of a folder."""
    return TorchModel(settings, Network)


def train(training: Training) -> tuple[str, float]:
    """Train a network."""
    return fit(training, Network, standardise)
