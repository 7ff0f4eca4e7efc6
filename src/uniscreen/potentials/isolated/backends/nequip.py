"""NequIP (Batzner et al. 2022) of the nequip package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from ase.data import chemical_symbols
from nequip.data import AtomicDataDict as Key
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state
from torch_models import Graph, Statistics, TorchModel, fit

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Training


class Network(torch.nn.Module):
    """The energy of each atom; reference energies and scale are left to ``Energy``."""

    def __init__(self, p: dict[str, Any], statistics: Statistics) -> None:
        super().__init__()
        seed = torch.initial_seed() % 2**31
        set_global_state()  # which seeds everything anew
        self.model = NequIPGNNModel(
            seed=seed,
            model_dtype="float64",
            r_max=p["cutoff"],
            type_names=[chemical_symbols[number] for number in statistics.species],
            num_layers=p["n_layers"],
            l_max=p["l_max"],
            parity=p["parity"],
            num_features=p["n_features"],
            avg_num_neighbors=statistics.mean_neighbours,
            per_type_energy_scales=1.0,
            per_type_energy_shifts=0.0,
            do_derivatives=False,
        )

    def forward(self, graph: Graph) -> torch.Tensor:
        """Energies (N,). NequIP takes the distance vectors where they are there."""
        dtype = next(self.model.parameters()).dtype
        data = {
            Key.POSITIONS_KEY: torch.zeros(len(graph.numbers), 3, dtype=dtype, device=graph.vectors.device),
            Key.EDGE_INDEX_KEY: torch.stack([graph.centre, graph.neighbour]),
            Key.EDGE_VECTORS_KEY: graph.vectors.to(dtype),
            Key.ATOM_TYPE_KEY: graph.species,
            Key.BATCH_KEY: graph.system,
            Key.NUM_NODES_KEY: torch.bincount(graph.system, minlength=graph.n_systems),
        }
        return self.model.model(data)[Key.PER_ATOM_ENERGY_KEY].squeeze(-1)


def load(settings: dict[str, Any]) -> TorchModel:
    """The network of a folder."""
    return TorchModel(settings, Network)


def train(training: Training) -> tuple[str, float]:
    """Train a network."""
    return fit(training, Network)
