"""One training on several cores: the passes of a batch are shared with processes that hold the same potential.

Batches are cut into passes by their frames alone and the gradients are added up in the order of the passes, so the
weights do not depend on how many processes there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch

from uniscreen.training.assignment import adapted
from uniscreen.training.objective import Objective
from uniscreen.training.process import TrainingProcess
from uniscreen.training.strategies import Adaptation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from torch import Tensor

    from uniscreen.potentials.base import SystemResult
    from uniscreen.potentials.trainable import TrainablePotential
    from uniscreen.processes import Parent
    from uniscreen.training.assignment import Assignment
    from uniscreen.training.objective import Factors, Sample

Found = TypeVar("Found")


class Request(NamedTuple):
    """Passes of a batch, by the places of their samples, with the values that the parameters have.

    ``share`` is None where predictions are wanted and not gradients.
    """

    values: list[np.ndarray]
    passes: list[list[int]]
    factors: Factors
    share: float | None


class SharedObjective(Objective):
    """An objective whose passes are evaluated by this process and by others at the same time."""

    def __init__(self, assignment: Assignment, potential: TrainablePotential, adaptation: Adaptation) -> None:
        """Start as many processes as the largest batch has passes, at most those that the assignment may have."""
        super().__init__(potential, adaptation.parameters, assignment.recipe.loss, assignment.material)
        largest = sorted(self.train, key=lambda one: -one.n_edges)[: assignment.recipe.optimiser.batch_size]
        n_processes = min(assignment.processes, len(self.passes(largest))) if potential.device.type == "cpu" else 1
        self._helpers = [TrainingProcess(_help) for _ in range(n_processes - 1)]
        for helper in self._helpers:
            helper.send(assignment)

    def close(self) -> None:
        """End the other processes."""
        for helper in self._helpers:
            helper.close()

    def gradients(
        self, passes: Sequence[Sequence[Sample]], factors: Factors, share: float
    ) -> Iterable[tuple[float, list[Tensor | None]]]:
        """As an objective has them."""
        if not self._helpers or len(passes) == 1:
            return super().gradients(passes, factors, share)
        places = self._hand_out(passes, factors, share)
        return self._collect(places, super().gradients([passes[k] for k in places[0]], factors, share), _as_tensors)

    def evaluations(
        self, passes: Sequence[Sequence[Sample]], factors: Factors
    ) -> Iterable[tuple[float, list[SystemResult]]]:
        """As an objective has them."""
        if not self._helpers or len(passes) == 1:
            return super().evaluations(passes, factors)
        places = self._hand_out(passes, factors, None)
        return self._collect(places, super().evaluations([passes[k] for k in places[0]], factors), _as_they_are)

    def _hand_out(self, passes: Sequence[Sequence[Sample]], factors: Factors, share: float | None) -> list[list[int]]:
        """Send every process passes of about as many edges; the places of each one's are returned, our own first."""
        places: list[list[int]] = [[] for _ in range(1 + len(self._helpers))]
        edges = [0] * len(places)
        sizes = [sum(one.n_edges for one in part) for part in passes]
        for k in sorted(range(len(passes)), key=lambda k: -sizes[k]):
            least = edges.index(min(edges))
            places[least].append(k)
            edges[least] += sizes[k]
        values = [parameter.detach().numpy() for parameter in self._parameters]
        for helper, theirs in zip(self._helpers, places[1:], strict=True):
            helper.send(Request(values, [[one.place for one in passes[k]] for k in theirs], factors, share))
        return places

    def _collect(
        self, places: Sequence[Sequence[int]], ours: Iterable[Found], read: Callable[[Any], Found]
    ) -> list[Found]:
        """What was found for all passes, in their order; ``read`` takes what another process found for one."""
        found = dict(zip(places[0], ours, strict=True))
        for helper, theirs in zip(self._helpers, places[1:], strict=True):
            found.update(zip(theirs, map(read, helper.receive()), strict=True))
        return [found[k] for k in range(len(found))]


def _help(parent: Parent) -> None:
    """Evaluate passes for another process until it wants no more."""
    assignment: Assignment = parent.receive()
    potential = adapted(assignment)
    adaptation = Adaptation(potential, assignment.recipe.strategy, assignment.seed)
    objective = Objective(potential, adaptation.parameters, assignment.recipe.loss, assignment.material)
    while True:
        request: Request = parent.receive()
        with torch.no_grad():
            for parameter, value in zip(adaptation.parameters, request.values, strict=True):
                parameter.copy_(torch.from_numpy(value))
        passes = [[objective.samples[place] for place in places] for places in request.passes]
        found: list[Any]
        if request.share is None:
            found = list(objective.evaluations(passes, request.factors))
        else:
            found = [_as_arrays(one) for one in objective.gradients(passes, request.factors, request.share)]
        parent.send(found)


def _as_arrays(found: tuple[float, list[Tensor | None]]) -> tuple[float, list[np.ndarray | None]]:
    """A loss and its gradients as they are sent: tensors take ten times as long to pickle."""
    return found[0], [None if one is None else one.numpy() for one in found[1]]


def _as_tensors(found: tuple[float, list[np.ndarray | None]]) -> tuple[float, list[Tensor | None]]:
    """The same as it was."""
    return found[0], [None if one is None else torch.from_numpy(one) for one in found[1]]


def _as_they_are(found: Any) -> Any:
    return found
