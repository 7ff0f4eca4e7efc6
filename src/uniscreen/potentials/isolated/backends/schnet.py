"""SchNet (Schütt et al. 2018) of schnetpack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.utils.data.dataloader

# schnetpack annotates with it; later versions of torch have it no longer
torch.utils.data.dataloader.T_co = TypeVar("T_co")  # type: ignore[attr-defined]

import schnetpack as spk  # noqa: E402
import schnetpack.properties as key  # noqa: E402
from torch_models import Graph, Statistics, TorchModel, fit  # noqa: E402

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Training


class Network(torch.nn.Module):
    """Representation and the energy of each atom."""

    def __init__(self, p: dict[str, Any], _: Statistics) -> None:
        super().__init__()
        self.representation = spk.representation.SchNet(
            n_atom_basis=p["n_features"],
            n_interactions=p["n_interactions"],
            radial_basis=spk.nn.GaussianRBF(n_rbf=p["n_radial"], cutoff=p["cutoff"]),
            cutoff_fn=spk.nn.CosineCutoff(p["cutoff"]),
            n_filters=p["n_features"],
        )
        self.output = spk.nn.build_mlp(n_in=p["n_features"], n_out=1)

    def forward(self, graph: Graph) -> torch.Tensor:
        """Energies (N,)."""
        vectors = graph.vectors.to(self.representation.embedding.weight.dtype)
        inputs = {key.Z: graph.numbers, key.Rij: vectors, key.idx_i: graph.centre, key.idx_j: graph.neighbour}
        return self.output(self.representation(inputs)["scalar_representation"]).squeeze(-1)


def load(settings: dict[str, Any]) -> TorchModel:
    """The network of a folder."""
    return TorchModel(settings, Network)


def train(training: Training) -> tuple[str, float]:
    """Train a network."""
    return fit(training, Network)
