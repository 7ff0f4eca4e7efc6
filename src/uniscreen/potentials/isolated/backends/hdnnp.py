"""Behler-Parrinello potentials (2007): symmetry functions and networks of torchani."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch_models import Graph, Statistics, TorchModel, fit
from torchani.aev import AEVComputer
from torchani.neighbors import Neighbors
from torchani.nn import AtomicNetwork

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Training


class Network(torch.nn.Module):
    """One network for each element, of radial and angular symmetry functions in the form of ANI (Smith et al. 2017)."""

    def __init__(self, p: dict[str, Any], statistics: Statistics) -> None:
        super().__init__()
        n = len(statistics.species)
        self.symmetry_functions = AEVComputer.like_1x(
            num_species=n,
            radial_start=p["shortest"],
            radial_cutoff=p["cutoff"],
            radial_num_shifts=p["n_radial"],
            angular_start=p["shortest"],
            angular_cutoff=p["angular_cutoff"],
        )
        sizes = [self.symmetry_functions.out_dim, p["n_hidden"], p["n_hidden"], 1]
        self.networks = torch.nn.ModuleList([AtomicNetwork(sizes, activation="celu", bias=True) for _ in range(n)])

    def forward(self, graph: Graph) -> torch.Tensor:
        """Energies (N,)."""
        vectors = graph.vectors.to(next(self.networks.parameters()).dtype)
        once = one_of_both(graph.centre, graph.neighbour, vectors.detach())
        pairs = torch.stack([graph.centre[once], graph.neighbour[once]])
        neighbors = Neighbors(pairs, vectors[once].norm(dim=1), vectors[once])
        nowhere = vectors.new_zeros(1, len(graph.species), 3)
        features = self.symmetry_functions.compute_from_neighbors(graph.species[None], nowhere, neighbors)[0]
        energies = vectors.new_zeros(len(graph.species))
        for place, network in enumerate(self.networks):
            atoms = torch.nonzero(graph.species == place).squeeze(1)
            energies = energies.index_put((atoms,), network(features[atoms]).squeeze(-1))
        return energies


def one_of_both(centre: torch.Tensor, neighbour: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Which edges stand for a pair; of an atom and its image, that whose first component other than 0 is positive."""
    x, y, z = vectors.unbind(dim=1)
    positive = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    return (centre < neighbour) | ((centre == neighbour) & positive)


def load(settings: dict[str, Any]) -> TorchModel:
    """The network of a folder."""
    return TorchModel(settings, Network)


def train(training: Training) -> tuple[str, float]:
    """Train a network."""
    return fit(training, Network)
