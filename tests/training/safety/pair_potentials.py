"""A Morse potential of three metals that passes every check, and ones with one fault each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from toy_card import toy_card
from uniscreen.potentials.base import DifferentiablePotential, Evaluation, Prediction

if TYPE_CHECKING:
    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph

CARD = toy_card({"Al", "Ni", "Cu"}, name="morse", base="morse-base", tuned_elements=frozenset({"Cu"}))


class Morse(DifferentiablePotential):
    """D ((1 - exp(-a (r - r0)))² - 1) with D = 0.34 eV, a = 1.36 / Å, r0 = 2.87 Å, and a smooth cutoff."""

    def __init__(self) -> None:
        self.card = CARD
        self.device = torch.device("cpu")

    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        r = graph.edge_vectors.norm(dim=1)
        switch = (1 - (r / self.card.cutoff) ** 2) ** 3
        return 0.5 * 0.34 * ((1 - torch.exp(-1.36 * (r - 2.87))) ** 2 - 1) * switch

    def predict(self, graph: AtomicGraph) -> Prediction:
        system = graph.system[graph.edge_index[0]]
        zero = graph.positions.new_zeros(graph.n_systems)
        return Prediction(zero.index_add(0, system, self.edge_energy(graph)))


class ReferencesMoved(Morse):
    """Each copper atom has 1 eV more, as from another code: no fault."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        energy = super().predict(graph).energy
        return Prediction(energy.index_add(0, graph.system, (graph.numbers == 29).to(energy.dtype)))


class Shifted(Morse):
    """All energies are off by the same amount an atom."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift  # eV/atom

    def predict(self, graph: AtomicGraph) -> Prediction:
        return Prediction(super().predict(graph).energy + self.shift * graph.n_atoms)


class Soft(Morse):
    """The energy surface is 0.8 times as steep as it should be."""

    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        return 0.8 * super().edge_energy(graph)


class WithAHole(Morse):
    """Two atoms 1.65 Å apart are bound by 20 eV."""

    hole = 1.65  # Å

    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        r = graph.edge_vectors.norm(dim=1)
        return super().edge_energy(graph) - 10 * torch.exp(-(((r - self.hole) / 0.05) ** 2))


class WithAWideHole(WithAHole):
    """Two atoms 2.15 Å apart are: no shorter than bonds may be, but shorter than those of the crystal."""

    hole = 2.15


class PrefersAnAxis(Morse):
    """Bonds along x are stronger."""

    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        along_x = graph.edge_vectors[:, 0] ** 2 / graph.edge_vectors.square().sum(dim=1)
        return super().edge_energy(graph) * (1 + along_x)


class KnowsWhereItIs(Morse):
    """A field along z pulls at the atoms."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        height = graph.positions.new_zeros(graph.n_systems).index_add(0, graph.system, graph.positions[:, 2])
        return Prediction(super().predict(graph).energy + 1e-3 * height)


class Twisting(Morse):
    """The force on each atom is turned a little about z, so that it is no gradient."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        x, y, z = good.forces.T
        return good._replace(forces=torch.stack([x - 0.05 * y, y + 0.05 * x, z], dim=1))


class Uphill(Morse):
    """The forces push away from equilibrium."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(forces=-10 * good.forces)


class Rough(Morse):
    """Ripples of 0.1 Å in the energy of a bond."""

    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        return super().edge_energy(graph) + 0.02 * torch.cos(2 * torch.pi * graph.edge_vectors.norm(dim=1) / 0.1)


class ForgotNickel(Morse):
    """Bonds of nickel are 1.5 times what they were."""

    def edge_energy(self, graph: AtomicGraph) -> Tensor:
        nickel = (graph.numbers == 28)[graph.edge_index].any(dim=0)
        return super().edge_energy(graph) * (1 + 0.5 * nickel)


class NotTuned(Morse):
    """A published potential."""

    def __init__(self) -> None:
        super().__init__()
        self.card = replace(CARD, name="morse-base", base="", tuned_elements=frozenset())


class NotANumber(Morse):
    def predict(self, graph: AtomicGraph) -> Prediction:
        return Prediction(super().predict(graph).energy * torch.nan)


class Broken(Morse):
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        raise RuntimeError("out of order")
