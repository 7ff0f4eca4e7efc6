"""What training makes small: the errors in energy, forces and stress of a batch, and the gradient of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import smooth_l1_loss

from uniscreen.errors import InputError
from uniscreen.potentials.base import naming_out_of_memory, split
from uniscreen.structures.graph import AtomicGraph
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms
    from torch import Tensor
    from torch.nn import Parameter

    from uniscreen.potentials.base import Evaluation, SystemResult
    from uniscreen.potentials.trainable import TrainablePotential
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.recipe import LossSection

CPU_EDGES = 4000
"""Directed edges evaluated at once on a CPU: larger passes of CHGNet are no faster, and take more memory."""

CUDA_EDGES = 1_000_000
"""The same on CUDA, until its memory has been found to be too small for it."""


class Sample(NamedTuple):
    """A frame as training needs it: energy eV, forces (n, 3) eV/Å, stress (3, 3) eV/Å³ or None, and its edges.

    ``place`` is its place among all frames of the training; its errors count ``weight`` times.
    """

    place: int
    weight: float
    atoms: Atoms
    energy: float
    forces: Tensor
    stress: Tensor | None
    n_edges: int


class Material(NamedTuple):
    """What a potential is trained on: frames that train, that validate, and those replayed."""

    train: Sequence[LabelledStructure]
    validation: Sequence[LabelledStructure]
    replay: Sequence[LabelledStructure]


class Factors(NamedTuple):
    """What the error of one frame's energy, of one force and of one stress component counts in the loss of a batch.

    The loss is a sum of means: over its frames, their force components, and the stress components of those that have
    them. Errors of a frame of another weight than 1 count so many times in these.
    """

    energy: float
    force: float
    stress: float

    @classmethod
    def of(cls, batch: Sequence[Sample], weights: LossSection) -> Factors:
        """Those of a batch."""
        n_forces = 3 * sum(len(one.atoms) for one in batch)
        n_stresses = 9 * sum(one.stress is not None for one in batch)
        return cls(weights.energy / len(batch), weights.forces / n_forces, weights.stress / max(1, n_stresses))


class Objective:
    """The loss of a potential on its material, evaluated in passes of so many edges that they fit the memory."""

    def __init__(
        self, potential: TrainablePotential, parameters: Sequence[Parameter], loss: LossSection, material: Material
    ) -> None:
        """``parameters`` are those that gradients are taken for; of ``loss`` are its width and what groups count."""
        self._potential = potential
        self._parameters = parameters
        self._huber_width = loss.huber
        self._groups = loss.groups
        self.material = material
        self._max_edges = CPU_EDGES if potential.device.type == "cpu" else CUDA_EDGES
        self.samples = self._samples([*material.train, *material.validation, *material.replay])
        n_train, n_validation = len(material.train), len(material.validation)
        self.train = self.samples[:n_train]
        self.validation = self.samples[n_train : n_train + n_validation]
        self.replay = self.samples[n_train + n_validation :]

    def backward(self, batch: Sequence[Sample], weights: LossSection, share: float = 1.0) -> float:
        """Add the gradient of ``share`` times the loss of a batch to the parameters; the loss itself is returned.

        A CUDA device that runs out of memory gets smaller passes from then on.

        Raises:
            InputError: a single sample does not fit into the device's memory.
        """
        while True:
            try:
                loss, sums = 0.0, [parameter.grad for parameter in self._parameters]
                for part_loss, gradients in self.gradients(self.passes(batch), Factors.of(batch, weights), share):
                    loss += part_loss
                    sums = [_added(total, one) for total, one in zip(sums, gradients, strict=True)]
            except torch.OutOfMemoryError:
                self._make_smaller(batch)
            else:
                break
        for parameter, gradient in zip(self._parameters, sums, strict=True):
            parameter.grad = gradient
        return loss

    def evaluate(self, batch: Sequence[Sample], weights: LossSection) -> tuple[float, list[SystemResult]]:
        """The loss of some samples, without a gradient, and what is predicted for each; passes as in ``backward``.

        Raises:
            InputError: as ``backward``.
        """
        while True:
            try:
                found = list(self.evaluations(self.passes(batch), Factors.of(batch, weights)))
            except torch.OutOfMemoryError:
                self._make_smaller(batch)
            else:
                return sum(loss for loss, _ in found), [result for _, results in found for result in results]

    def gradients(
        self, passes: Sequence[Sequence[Sample]], factors: Factors, share: float
    ) -> Iterable[tuple[float, list[Tensor | None]]]:
        """What each pass adds to the loss of its batch, and the gradient of ``share`` times that (None for 0)."""
        for part in passes:
            graph = self._potential.graph([one.atoms for one in part])
            stress = any(one.stress is not None for one in part) and factors.stress > 0
            predicted = self._potential.derivatives(graph, stress=stress, create_graph=True)
            loss = self._loss(predicted, graph, part, factors)
            with naming_out_of_memory():
                found = torch.autograd.grad(share * loss, self._parameters, allow_unused=True)
            yield float(loss.detach()), [None if one is None else one.contiguous() for one in found]

    def evaluations(
        self, passes: Sequence[Sequence[Sample]], factors: Factors
    ) -> Iterable[tuple[float, list[SystemResult]]]:
        """What each pass adds to the loss of its batch, and its predictions."""
        for part in passes:
            graph = self._potential.graph([one.atoms for one in part])
            predicted = self._potential.evaluate_graph(graph)
            yield float(self._loss(predicted, graph, part, factors)), split(graph, predicted)

    def passes(self, batch: Sequence[Sample]) -> list[Sequence[Sample]]:
        """The samples in their order, cut where the edges of a pass would be too many."""
        passes: list[list[Sample]] = [[]]
        edges = 0
        for one in batch:
            if passes[-1] and edges + one.n_edges > self._max_edges:
                passes.append([])
                edges = 0
            passes[-1].append(one)
            edges += one.n_edges
        return [*passes]

    def _samples(self, labels: Iterable[LabelledStructure]) -> list[Sample]:
        """The samples of labelled structures, on the potential's device."""
        device, cutoff = self._potential.device, self._potential.card.cutoff
        return [
            Sample(
                place=place,
                weight=1.0 if one.group is None else self._groups.get(one.group, 1.0),
                atoms=one.atoms,
                energy=one.energy,
                forces=torch.as_tensor(one.forces, device=device),
                stress=None if one.stress is None else torch.as_tensor(one.stress, device=device),
                n_edges=AtomicGraph.from_atoms([one.atoms], cutoff).edge_index.shape[1],
            )
            for place, one in enumerate(labels)
        ]

    def _loss(self, predicted: Evaluation, graph: AtomicGraph, part: Sequence[Sample], factors: Factors) -> Tensor:
        """What a part of a batch adds to the batch's loss."""
        energy, weights = torch.tensor(
            [(one.energy, one.weight) for one in part], dtype=torch.float64, device=graph.cells.device
        ).T
        errors = (predicted.energy - energy) / graph.n_atoms
        loss = factors.energy * self._huber(errors, weights)
        if factors.force:
            errors = predicted.forces - torch.cat([one.forces for one in part])
            loss = loss + factors.force * self._huber(errors, weights[graph.system, None])
        labelled = [k for k, one in enumerate(part) if one.stress is not None]
        if factors.stress and labelled:
            assert predicted.stress is not None
            errors = predicted.stress[labelled] - torch.stack([part[k].stress for k in labelled])  # type: ignore[misc]
            loss = loss + factors.stress * self._huber(
                EV_PER_CUBIC_ANGSTROM_TO_GPA * errors, weights[labelled, None, None]
            )
        return loss

    def _huber(self, errors: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of Huber's loss, divided by its width."""
        losses = smooth_l1_loss(errors, torch.zeros_like(errors), beta=self._huber_width, reduction="none")
        return (weights * losses).sum()

    def _make_smaller(self, samples: Sequence[Sample]) -> None:
        """Halve the passes."""
        torch.cuda.empty_cache()
        largest = max(samples, key=lambda one: one.n_edges)
        if self._max_edges < largest.n_edges:
            raise InputError(
                f"A frame of {len(largest.atoms)} atoms ({largest.n_edges} edges) does not fit into the memory of "
                f"{self._potential.device}. Use --device cpu, or leave it out."
            )
        self._max_edges //= 2


def _added(total: Tensor | None, one: Tensor | None) -> Tensor | None:
    """The sum of two gradients, either of which may be 0."""
    if total is None or one is None:
        return one if total is None else total
    return total + one
