"""A small network that keeps what a trainable potential promises, and ones that break one promise each."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from broken_potentials import CARD

from uniscreen.potentials.base import Evaluation, Prediction
from uniscreen.potentials.trainable import TrainablePotential, by_atomic_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from torch.nn import Parameter

    from uniscreen.potentials.trainable import Block
    from uniscreen.structures.graph import AtomicGraph


class Network(torch.nn.Module):
    """The density of Gaussians of the neighbours, each weighted by its element, through a layer and a readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.element = torch.nn.Embedding(119, width)
        self.mix = torch.nn.Linear(width, width)
        self.readout = torch.nn.Linear(width, 1)
        self.register_buffer("used", torch.tensor(0))

    def forward(self, graph: AtomicGraph, cutoff: float) -> Tensor:
        centre, neighbour = graph.edge_index
        r = graph.edge_vectors.norm(dim=1, keepdim=True)
        centres = torch.linspace(1.5, cutoff, self.mix.in_features, dtype=r.dtype)
        radial = torch.exp(-4 * (r - centres) ** 2) * (1 - (r / cutoff) ** 2) ** 3
        messages = radial * self.element(graph.numbers[neighbour])
        density = messages.new_zeros(len(graph.numbers), messages.shape[1]).index_add(0, centre, messages)
        return self.readout(torch.tanh(self.mix(density)))[:, 0]


class Learned(TrainablePotential):
    blocks: ClassVar = {"embedding": ("element",), "interaction": ("mix",), "readout": ("readout",)}

    def __init__(self, card: Any = CARD, weights: Path = Path("none"), *_: Any) -> None:
        super().__init__(card, weights, torch.device("cpu"), torch.float64)

    @classmethod
    def read(cls, card: Any, weights: Path) -> tuple[torch.nn.Module, Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return cls.build({"width": 8}), by_atomic_number({11: -1.5, 17: -2.25, 29: -3.0})

    @staticmethod
    def build(architecture: Mapping[str, Any]) -> torch.nn.Module:
        return Network(architecture["width"])

    def architecture(self) -> dict[str, Any]:
        return {"width": self.model.mix.in_features}

    def predict(self, graph: AtomicGraph) -> Prediction:
        atoms = self.model(graph, self.card.cutoff)
        return Prediction(self.reference_energy(graph).index_add(0, graph.system, atoms))


class ForgetsAParameter(Learned):
    def parameter_blocks(self) -> dict[Block, list[tuple[str, Parameter]]]:
        blocks = super().parameter_blocks()
        blocks["interaction"].pop()
        return blocks


class HasAParameterInTwoBlocks(Learned):
    def parameter_blocks(self) -> dict[Block, list[tuple[str, Parameter]]]:
        blocks = super().parameter_blocks()
        blocks["readout"].append(blocks["interaction"][0])
        return blocks


class TrainsACopy(Learned):
    """Its blocks hold one parameter that is not the network's."""

    def parameter_blocks(self) -> dict[Block, list[tuple[str, Parameter]]]:
        blocks = super().parameter_blocks()
        blocks["readout"].append(("copy", torch.nn.Parameter(torch.zeros(1))))
        return blocks


class ForgetsAbsentElements(Learned):
    """Setting some reference energies puts the others to zero."""

    @property
    def reference_energies(self) -> dict[str, float]:
        return super().reference_energies

    @reference_energies.setter
    def reference_energies(self, energies: Mapping[str, float]) -> None:
        TrainablePotential.reference_energies.fset(self, dict.fromkeys(self.card.elements, 0.0) | dict(energies))


class AddsReferencesOncePerCrystal(Learned):
    """For its first atom; the published energies are all zero, so that only new ones show it."""

    @classmethod
    def read(cls, card: Any, weights: Path) -> tuple[torch.nn.Module, Tensor]:
        return super().read(card, weights)[0], by_atomic_number({})

    def reference_energy(self, graph: AtomicGraph) -> Tensor:
        return self._references[graph.numbers[graph.ptr[:-1]]]


class SavesInHalfPrecision(Learned):
    def save(self, folder: Path) -> None:
        rounded = copy.deepcopy(self)
        rounded.model.half().double()
        super(SavesInHalfPrecision, rounded).save(folder)


class GoesOnWithItsOldWeights(Learned):
    """What it computed from the weights when it was loaded is not renewed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.old = self.read(self.card, Path("none"))[0].double()

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        live, self.model = self.model, self.old
        try:
            return super().evaluate_graph(graph, stress=stress)
        finally:
            self.model = live


class ForcesWithoutAGradient(Learned):
    def derivatives(self, graph: AtomicGraph, *, stress: bool = True, create_graph: bool = False) -> Evaluation:
        attached = super().derivatives(graph, stress=stress, create_graph=create_graph)
        return attached._replace(forces=attached.forces.detach())


class CountsItsUse(Learned):
    """The network changes as it is used, although its energy does not."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        self.model.used += 1
        return super().predict(graph)


class TrainsNothing(Learned):
    """One block has parameters that the energy does not depend on."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        with torch.no_grad():
            weight = self.model.element.weight.clone()
        live = self.model.element.weight
        self.model.element.weight = torch.nn.Parameter(weight, requires_grad=False)
        try:
            return super().predict(graph)
        finally:
            self.model.element.weight = live
