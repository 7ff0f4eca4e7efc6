"""DimeNet++ (Gasteiger et al. 2020) of torch-geometric, for periodic structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.nn.models import DimeNetPlusPlus
from torch_models import Graph, Statistics, TorchModel, fit

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Training


class Network(torch.nn.Module):
    """The energy of each atom.

    The layers are torch-geometric's. Its own forward pass finds neighbours without periodic images, so that edges,
    and pairs of edges with a common atom, come from the graph.
    """

    def __init__(self, p: dict[str, Any], _: Statistics) -> None:
        super().__init__()
        self.model = DimeNetPlusPlus(
            hidden_channels=p["n_features"],
            out_channels=1,
            num_blocks=p["n_blocks"],
            int_emb_size=p["n_features"] // 2,
            basis_emb_size=8,
            out_emb_channels=p["n_features"],
            num_spherical=p["n_spherical"],
            num_radial=p["n_radial"],
            cutoff=p["cutoff"],
            output_initializer="glorot_orthogonal",
        )

    def forward(self, graph: Graph) -> torch.Tensor:
        """Energies (N,)."""
        model = self.model
        vectors = graph.vectors.to(model.emb.emb.weight.dtype)
        i, j, n_atoms = graph.centre, graph.neighbour, len(graph.numbers)
        ji, kj = pairs_of_edges(i, j, vectors.detach(), n_atoms)
        cross = torch.linalg.cross(vectors[ji], vectors[kj])
        # atoms in a line: the angle has no derivative there, the energy has; it is zero
        sine = (cross.square().sum(dim=1) + 1e-12).sqrt()
        angle = torch.atan2(sine, (vectors[ji] * vectors[kj]).sum(dim=1))
        distance = vectors.norm(dim=1)
        radial = model.rbf(distance)
        spherical = model.sbf(distance, angle, kj)
        x = model.emb(graph.numbers, radial, i, j)
        energies = model.output_blocks[0](x, radial, i, num_nodes=n_atoms)
        for interaction, output in zip(model.interaction_blocks, model.output_blocks[1:], strict=True):
            x = interaction(x, radial, spherical, kj, ji)
            energies = energies + output(x, radial, i, num_nodes=n_atoms)
        return energies.squeeze(-1)


def pairs_of_edges(
    centre: torch.Tensor, neighbour: torch.Tensor, vectors: torch.Tensor, n_atoms: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each edge i-j, the edges j-k but that back to i; edges are sorted by their centre."""
    n_edges = torch.bincount(centre, minlength=n_atoms)
    start = n_edges.cumsum(0) - n_edges
    count = n_edges[neighbour]
    first = torch.repeat_interleave(torch.arange(len(centre), device=centre.device), count)
    place = torch.arange(len(first), device=centre.device) - torch.repeat_interleave(count.cumsum(0) - count, count)
    second = start[neighbour[first]] + place
    onward = (vectors[first] + vectors[second]).norm(dim=1) > 1e-6
    return first[onward], second[onward]


def load(settings: dict[str, Any]) -> TorchModel:
    """The network of a folder."""
    return TorchModel(settings, Network)


def train(training: Training) -> tuple[str, float]:
    """Train a network."""
    return fit(training, Network)
