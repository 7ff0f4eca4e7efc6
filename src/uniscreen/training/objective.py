"""What training makes small: the errors in energy, forces and stress of a batch, and the gradient of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import smooth_l1_loss

from uniscreen.errors import InputError
from uniscreen.potentials.base import split
from uniscreen.structures.graph import AtomicGraph
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ase import Atoms
    from torch import Tensor

    from uniscreen.potentials.base import Evaluation, SystemResult
    from uniscreen.potentials.trainable import TrainablePotential
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.recipe import LossSection

CPU_EDGES = 100_000
"""Directed edges evaluated at once on a CPU: some GB with CHGNet, and larger passes are no faster."""


class Sample(NamedTuple):
    """A frame as training needs it: energy eV, forces (n, 3) eV/Å, stress (3, 3) eV/Å³ or None, and its edges."""

    atoms: Atoms
    energy: float
    forces: Tensor
    stress: Tensor | None
    n_edges: int


class Objective:
    """The loss of a potential on samples, evaluated in passes of so many edges that they fit the memory."""

    def __init__(self, potential: TrainablePotential, weights: LossSection) -> None:
        self._potential = potential
        self._weights = weights
        self._max_edges = CPU_EDGES if potential.device.type == "cpu" else 10 * CPU_EDGES

    def samples(self, labels: Iterable[LabelledStructure]) -> list[Sample]:
        """The samples of labelled structures, on the potential's device."""
        device, cutoff = self._potential.device, self._potential.card.cutoff
        return [
            Sample(
                atoms=one.atoms,
                energy=one.energy,
                forces=torch.as_tensor(one.forces, device=device),
                stress=None if one.stress is None else torch.as_tensor(one.stress, device=device),
                n_edges=AtomicGraph.from_atoms([one.atoms], cutoff).edge_index.shape[1],
            )
            for one in labels
        ]

    def backward(self, samples: Sequence[Sample], share: float = 1.0) -> float:
        """Add the gradient of ``share`` times the loss of a batch to the parameters; the loss itself is returned.

        A CUDA device that runs out of memory gets smaller passes from then on.

        Raises:
            InputError: a single sample does not fit into the device's memory.
        """
        parameters = [p for p in self._potential.model.parameters() if p.requires_grad]
        before = [None if p.grad is None else p.grad.clone() for p in parameters]
        while True:
            try:
                return sum(self._add_gradient(part, samples, share) for part in self._passes(samples))
            except torch.OutOfMemoryError:
                self._make_smaller(samples)
                for parameter, gradient in zip(parameters, before, strict=True):
                    parameter.grad = gradient

    def evaluate(self, samples: Sequence[Sample]) -> tuple[float, list[SystemResult]]:
        """The loss of some samples, without a gradient, and what is predicted for each."""
        total, results = 0.0, []
        for part in self._passes(samples):
            graph = self._potential.graph([one.atoms for one in part])
            predicted = self._potential.evaluate_graph(graph)
            total += float(self._loss(predicted, graph, part, samples))
            results += split(graph, predicted)
        return total, results

    def _add_gradient(self, part: Sequence[Sample], batch: Sequence[Sample], share: float) -> float:
        graph = self._potential.graph([one.atoms for one in part])
        stress = any(one.stress is not None for one in part) and self._weights.stress > 0
        predicted = self._potential.derivatives(graph, stress=stress, create_graph=True)
        loss = self._loss(predicted, graph, part, batch)
        (share * loss).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _loss(
        self, predicted: Evaluation, graph: AtomicGraph, part: Sequence[Sample], batch: Sequence[Sample]
    ) -> Tensor:
        """What a part of a batch adds to the batch's loss: means over its frames, force and stress components."""
        weights = self._weights
        energy = torch.tensor([one.energy for one in part], dtype=torch.float64, device=graph.cells.device)
        errors = (predicted.energy - energy) / graph.n_atoms
        loss = weights.energy / len(batch) * self._huber(errors)
        if weights.forces:
            n_components = 3 * sum(len(one.atoms) for one in batch)
            errors = predicted.forces - torch.cat([one.forces for one in part])
            loss = loss + weights.forces / n_components * self._huber(errors)
        n_stresses = sum(one.stress is not None for one in batch)
        labelled = [k for k, one in enumerate(part) if one.stress is not None]
        if weights.stress and labelled:
            assert predicted.stress is not None
            errors = predicted.stress[labelled] - torch.stack([part[k].stress for k in labelled])  # type: ignore[misc]
            loss = loss + weights.stress / (9 * n_stresses) * self._huber(EV_PER_CUBIC_ANGSTROM_TO_GPA * errors)
        return loss

    def _huber(self, errors: Tensor) -> Tensor:
        """The sum of Huber's loss, divided by its width."""
        return smooth_l1_loss(errors, torch.zeros_like(errors), beta=self._weights.huber, reduction="sum")

    def _passes(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """The samples in their order, cut where the edges of a pass would be too many."""
        part: list[Sample] = []
        edges = 0
        for one in samples:
            if part and edges + one.n_edges > self._max_edges:
                yield part
                part, edges = [], 0
            part.append(one)
            edges += one.n_edges
        yield part

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
