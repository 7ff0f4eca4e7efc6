"""A pair potential that keeps the contract, and ones that break one promise each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from toy_card import toy_card
from uniscreen.errors import IsolatedAtomsError, UnsupportedElementError
from uniscreen.potentials.base import DifferentiablePotential, Evaluation, Prediction

if TYPE_CHECKING:
    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph

CARD = toy_card({"Cu", "Na", "Cl", "Sr", "Ti", "O"})


class Good(DifferentiablePotential):
    """Lennard-Jones with ε = 0.3 eV and σ = 2.5 Å times (1 - (r/cutoff)²)³."""

    def __init__(self) -> None:
        self.card = CARD
        self.device = torch.device("cpu")

    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        r = graph.edge_vectors.norm(dim=1)
        return 0.6 * ((2.5 / r) ** 12 - (2.5 / r) ** 6) * self.switch(r)

    def switch(self, r: Tensor) -> Tensor:
        return (1 - (r / self.card.cutoff) ** 2) ** 3

    def predict(self, graph: AtomicGraph) -> Prediction:
        system = graph.system[graph.edge_index[0]]
        zero = graph.positions.new_zeros(graph.n_systems)
        return Prediction(zero.index_add(0, system, self.edge_energy(graph)))


class WithoutTheMomentsOfItsCard(Good):
    def __init__(self) -> None:
        super().__init__()
        self.card = replace(CARD, magnetic_moments=True)


class SinglePrecisionForces(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(forces=good.forces.float())


class AlwaysGivesStress(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        return super().evaluate_graph(graph)


class MovesTheAtoms(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        graph.positions.add_(1.0)
        return good


class LeavesGradientsOn(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        graph.cells.requires_grad_(True)
        return good


class Noisy(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(energy=good.energy + 1e-9 * torch.rand(1, dtype=torch.float64))


class FeelsTheBatch(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(energy=good.energy + 1e-3 * (graph.n_systems - 1))


class FeelsTheNextSystem(Good):
    """Forces leak from the first atom of a batch into the last."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        if graph.n_systems > 1:
            good.forces[-1] += 1e-3
        return good


class NotExtensive(Good):
    def predict(self, graph: AtomicGraph) -> Prediction:
        return Prediction(super().predict(graph).energy + 1e-2)


class PrefersAnAxis(Good):
    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        along_x = graph.edge_vectors[:, 0] ** 2 / graph.edge_vectors.square().sum(dim=1)
        return super().edge_energy(graph) * (1 + 1e-3 * along_x)


class StressInTheWrongFrame(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(stress=None if good.stress is None else good.stress.transpose(1, 2).flip(1, 2))


class PrefersTheFirstAtom(Good):
    """A crystal whose first atom is of its heaviest element has another energy per atom."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        heaviest = torch.stack([numbers.amax() for numbers in torch.split(graph.numbers, graph.n_atoms.tolist())])
        first = graph.numbers[graph.ptr[:-1]]
        return Prediction(super().predict(graph).energy + 1e-3 * graph.n_atoms * (first == heaviest))


class SeesHowFarAtomsAreApart(Good):
    """Atoms further apart than a lattice vector cost energy, although their nearest images are as before."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        fractional = _fractional(graph)
        energy = super().predict(graph).energy
        spread = torch.stack([(f.amax(0) - f.amin(0)).amax() for f in fractional])
        return Prediction(energy + 1e-2 * (spread > 1.1))


class SeesWhereTheCrystalIs(Good):
    def predict(self, graph: AtomicGraph) -> Prediction:
        height = torch.stack([f[:, 2].mean() for f in _fractional(graph)])
        return Prediction(super().predict(graph).energy + 1e-2 * (height > 1))


class ForcesUphill(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(forces=-good.forces)


class StressNotOverVolume(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(stress=None if good.stress is None else good.stress * graph.volumes[:, None, None])


class CompressionPositive(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(stress=None if good.stress is None else -good.stress)


class CutOffAtOnce(Good):
    def switch(self, r: Tensor) -> Tensor:
        return torch.ones_like(r)


class TwistedStress(Good):
    """An antisymmetric part about the first lattice vector; it turns with the crystal."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        if good.stress is None:
            return good
        x, y, z = 5e-5 * torch.nn.functional.normalize(graph.cells[:, 0], dim=1).T
        zero = torch.zeros_like(x)
        twist = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=1).reshape(-1, 3, 3)
        return good._replace(stress=good.stress + twist)


class Drifting(Good):
    """All atoms are pulled along the first lattice vector, by less than finite differences are held to."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        pull = 5e-5 * torch.nn.functional.normalize(graph.cells[:, 0], dim=1)
        return good._replace(forces=good.forces + pull[graph.system])


class TakesAnyElement(Good):
    def check(self, graph: AtomicGraph, *, first: int = 0) -> None:
        try:
            super().check(graph, first=first)
        except UnsupportedElementError:
            return


class DoesNotNameTheElement(Good):
    def check(self, graph: AtomicGraph, *, first: int = 0) -> None:
        try:
            super().check(graph, first=first)
        except UnsupportedElementError:
            raise UnsupportedElementError("one of the elements is not known") from None


class ListIndexErrorForUnknownElements(Good):
    def check(self, graph: AtomicGraph, *, first: int = 0) -> None:
        try:
            super().check(graph, first=first)
        except UnsupportedElementError:
            raise IndexError("list index out of range") from None


class TakesIsolatedAtoms(Good):
    def check(self, graph: AtomicGraph, *, first: int = 0) -> None:
        try:
            super().check(graph, first=first)
        except IsolatedAtomsError:
            return


class RaisesForLargeBatches(Good):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        if len(graph.numbers) > 50:
            raise ArithmeticError("too many atoms for me")
        return super().evaluate_graph(graph, stress=stress)


class NotANumber(Good):
    def predict(self, graph: AtomicGraph) -> Prediction:
        return Prediction(super().predict(graph).energy * torch.nan)


def _fractional(graph: AtomicGraph) -> list[Tensor]:
    """(n, 3) fractional coordinates of each system, without a gradient."""
    inverse = torch.linalg.inv(graph.cells.detach())[graph.system]
    fractional = torch.einsum("ni,nij->nj", graph.positions.detach(), inverse)
    return list(torch.split(fractional, graph.n_atoms.tolist()))
