"""MACE (Batatia et al. 2022) with random weights, of mace-torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mace  # noqa: F401  # before e3nn, whose constants torch reads only as mace has it set
import numpy as np
import torch
from e3nn import o3
from mace.modules import ScaleShiftMACE, gate_dict, interaction_classes
from torch_models import Graph, Statistics, TorchModel, fit

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Training

INTERACTION = interaction_classes["RealAgnosticResidualInteractionBlock"]


class Network(torch.nn.Module):
    """The energy of each atom; reference energies and scale are left to ``Energy``."""

    def __init__(self, p: dict[str, Any], statistics: Statistics) -> None:
        super().__init__()
        n = len(statistics.species)
        torch.set_default_dtype(torch.float64)  # for the constants that e3nn computes as it builds
        irreps = " + ".join(f"{p['n_channels']}x{degree}{'eo'[degree % 2]}" for degree in range(p["max_L"] + 1))
        self.mace = ScaleShiftMACE(
            r_max=p["cutoff"],
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=p["max_ell"],
            interaction_cls=INTERACTION,
            interaction_cls_first=INTERACTION,
            num_interactions=p["n_interactions"],
            num_elements=n,
            hidden_irreps=o3.Irreps(irreps),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=np.zeros((1, n)),
            avg_num_neighbors=statistics.mean_neighbours,
            atomic_numbers=statistics.species,
            correlation=p["correlation"],
            gate=gate_dict["silu"],
            radial_MLP=[64, 64, 64],
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )
        self.n_species = n

    def forward(self, graph: Graph) -> torch.Tensor:
        """Energies (N,). MACE takes positions only as differences, which have been taken already."""
        dtype = self.mace.atomic_energies_fn.atomic_energies.dtype
        zeros = torch.zeros(len(graph.numbers), 3, dtype=dtype, device=graph.vectors.device)
        n_atoms = torch.bincount(graph.system, minlength=graph.n_systems)
        data = {
            "positions": zeros,
            "shifts": graph.vectors.to(dtype),
            "cell": torch.zeros(3 * graph.n_systems, 3, dtype=dtype, device=zeros.device),
            "node_attrs": torch.nn.functional.one_hot(graph.species, self.n_species).to(dtype),
            "edge_index": torch.stack([graph.centre, graph.neighbour]),
            "batch": graph.system,
            "ptr": torch.cat([n_atoms.new_zeros(1), n_atoms.cumsum(0)]),
            "head": torch.zeros(graph.n_systems, dtype=torch.long, device=zeros.device),
        }
        return self.mace(data, training=self.training, compute_force=False)["node_energy"]


def load(settings: dict[str, Any]) -> TorchModel:
    """The network of a folder."""
    return TorchModel(settings, Network)


def train(training: Training) -> tuple[str, float]:
    """Train a network."""
    return fit(training, Network)
