"""Small analytic potentials, and ones that go wrong for a chosen element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ase.data import chemical_symbols

from toy_card import toy_card
from uniscreen.potentials.base import DifferentiablePotential, Evaluation, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


class PairPotential(DifferentiablePotential):
    """Half the sum over edges of e(r) (1 - (r/cutoff)²)³, which ends smoothly at the cutoff."""

    def __init__(self, pair_energy: Callable[[Tensor], Tensor], cutoff: float = 6.0) -> None:
        self.card = toy_card(chemical_symbols[1:], cutoff=cutoff)
        self.device = torch.device("cpu")
        self.pair_energy = pair_energy

    def predict(self, graph: AtomicGraph) -> Prediction:
        r = graph.edge_vectors.norm(dim=1)
        energy = 0.5 * self.pair_energy(r) * (1 - (r / self.card.cutoff) ** 2) ** 3
        system = graph.system[graph.edge_index[0]]
        return Prediction(energy.new_zeros(graph.n_systems).index_add(0, system, energy))


def lennard_jones(r: Tensor) -> Tensor:
    """4 ε ((σ/r)¹² - (σ/r)⁶) with ε = 0.3 eV and σ = 2.5 Å; also for NumPy arrays."""
    return 4 * 0.3 * ((2.5 / r) ** 12 - (2.5 / r) ** 6)


class LennardJones(PairPotential):
    """The pair potential that behaves."""

    def __init__(self) -> None:
        super().__init__(lennard_jones)


class NaNForXenon(LennardJones):
    """The energy, or a force, or the stress of a system with Xe is not a number from the fifth evaluation on."""

    def __init__(self, broken: str) -> None:
        super().__init__()
        self.broken = broken
        self.evaluations = 0

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        self.evaluations += 1
        good = super().evaluate_graph(graph, stress=stress)
        atoms = graph.numbers == 54
        if self.evaluations < 5 or not bool(atoms.any()):
            return good
        value = getattr(good, self.broken).clone()
        value[atoms if self.broken == "forces" else graph.system[atoms].unique()] = torch.nan
        return good._replace(**{self.broken: value})


class RaisesForKrypton(LennardJones):
    """Raises for a batch with Kr, from the given evaluation on."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first
        self.evaluations = 0

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        self.evaluations += 1
        if self.evaluations >= self.first and bool((graph.numbers == 36).any()):
            raise ArithmeticError("no krypton here")
        return super().evaluate_graph(graph, stress=stress)
