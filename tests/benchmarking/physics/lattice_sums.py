"""A pair potential, and what its lattice sums say of an fcc crystal under no pressure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from ase.build import bulk
from ase.data import chemical_symbols
from scipy.optimize import brentq

from toy_card import toy_card
from uniscreen.potentials.base import DifferentiablePotential, Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph

CUTOFF = 6.0


def pair_energy(r):
    """4 ε ((σ/r)¹² - (σ/r)⁶) (1 - (r/cutoff)²)³ with ε = 0.3 eV, σ = 2.5 Å; NumPy or torch, 0 beyond the cutoff."""
    inside = r < CUTOFF
    return inside * 4 * 0.3 * ((2.5 / r) ** 12 - (2.5 / r) ** 6) * (1 - (r / CUTOFF) ** 2) ** 3


class Pairs(DifferentiablePotential):
    """Half the sum of the pair energies over edges; knows every element but xenon."""

    def __init__(self) -> None:
        self.card = toy_card(set(chemical_symbols[1:]) - {"Xe"}, cutoff=CUTOFF)
        self.device = torch.device("cpu")

    def predict(self, graph: AtomicGraph) -> Prediction:
        energy: Tensor = 0.5 * pair_energy(graph.edge_vectors.norm(dim=1))
        system = graph.system[graph.edge_index[0]]
        return Prediction(energy.new_zeros(graph.n_systems).index_add(0, system, energy))


class Lattice:
    """The vectors (n, 3) Å from an atom of an fcc crystal, edge a, to all others within reach; and pair derivatives."""

    def __init__(self, a: float) -> None:
        self.a = a
        cell = bulk("Ar", "fcc", a=a).cell.array
        steps = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3), axis=-1).reshape(-1, 3)
        vectors = steps[np.any(steps != 0, axis=1)] @ cell
        self.vectors: NDArray = vectors[np.linalg.norm(vectors, axis=1) < CUTOFF]
        self.r = np.linalg.norm(self.vectors, axis=1)

    @property
    def volume(self) -> float:
        return self.a**3 / 4

    @property
    def energy(self) -> float:
        return 0.5 * float(pair_energy(self.r).sum())

    def slopes(self) -> tuple[NDArray, NDArray]:
        """The first and second derivatives of the pair energy, by automatic differentiation."""
        r = torch.tensor(self.r, requires_grad=True)
        (first,) = torch.autograd.grad(pair_energy(r).sum(), r, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), r)
        return first.detach().numpy(), second.numpy()

    @property
    def virial(self) -> float:
        """The sum that vanishes without pressure."""
        return float((self.slopes()[0] * self.r).sum())

    def born(self, i: int, j: int, k: int, m: int) -> float:
        """C_ijkl in eV/Å³: Born and Huang, Dynamical Theory of Crystal Lattices, sect. 11, without pressure."""
        first, second = self.slopes()
        x = self.vectors
        weights = (second - first / self.r) / self.r**2
        return float((weights * x[:, i] * x[:, j] * x[:, k] * x[:, m]).sum()) / (2 * self.volume)

    def dynamical_matrix(self, q: NDArray) -> NDArray:
        """(3, 3) eV/Å² at a wave vector in 2π/a."""
        first, second = self.slopes()
        unit = self.vectors / self.r[:, None]
        along = np.einsum("n,ni,nj->nij", second - first / self.r, unit, unit)
        springs = along + (first / self.r)[:, None, None] * np.eye(3)
        phase = 1 - np.cos(2 * np.pi / self.a * self.vectors @ q)
        return np.einsum("n,nij->ij", phase, springs)


def lattice_at_rest() -> Lattice:
    return Lattice(brentq(lambda a: Lattice(a).virial, 3.7, 4.2, xtol=1e-12))
