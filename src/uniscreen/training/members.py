"""The potentials that a run trains: one, or several in processes of their own."""

from __future__ import annotations

import math
from collections import deque
from contextlib import closing
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, NamedTuple

from uniscreen.training.assignment import adapted
from uniscreen.training.checkpoints import Checkpoint
from uniscreen.training.loop import Trainer
from uniscreen.training.process import TrainingProcess
from uniscreen.training.sharing import SharedObjective
from uniscreen.training.strategies import Adaptation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from uniscreen.potentials.base import SystemResult
    from uniscreen.potentials.trainable import TrainablePotential
    from uniscreen.processes import Parent
    from uniscreen.training.assignment import Assignment
    from uniscreen.training.checkpoints import State

BATCH_SIZE = 4
"""Frames predicted at once, whatever the batches of training: those are cut by their edges, these are not."""


class Epoch(NamedTuple):
    """One more epoch of a member: its row of ``metrics.csv``, and how many epochs there are at most."""

    member: int
    row: dict[str, Any]
    epochs: int


class Trained(NamedTuple):
    """What a member came to.

    ``state`` is that of the training that validates; ``refit`` that of the one on all frames after it, if there was
    one. ``held_out`` are the predictions for the frames that validate, from before any training on them.
    """

    number: int
    state: State
    refit: State | None
    held_out: list[SystemResult]
    n_trained: int

    @property
    def parts(self) -> list[State]:
        """The one or two trainings."""
        return [self.state] if self.refit is None else [self.state, self.refit]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.csv``: the epochs of the refit come after those before it."""
        later = self.refit.rows[1:] if self.refit is not None else []  # its epoch 0 is that of the first training
        return [*self.state.rows, *(row | {"epoch": self.state.epoch + row["epoch"]} for row in later)]


def train_members(assignments: Sequence[Assignment], at_once: int, on_epoch: Callable[[Epoch], None]) -> list[Trained]:
    """Train all, so many ``at_once``, each into its folder; ``on_epoch`` is called in this process."""
    if len(assignments) == 1:
        return [train_member(assignments[0], on_epoch)]
    waiting, trained = deque(assignments), list[Trained]()
    running: dict[Connection, TrainingProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                process = TrainingProcess(_train_apart)
                process.send(waiting.popleft())
                running[process.connection] = process
            ready = wait(running)
            for connection, process in [one for one in running.items() if one[0] in ready]:
                message = process.receive()
                if isinstance(message, Epoch):
                    on_epoch(message)
                else:
                    trained.append(message)
                    running.pop(connection).close()
    finally:
        for process in running.values():
            process.close()
    return sorted(trained, key=lambda one: one.number)


def train_member(assignment: Assignment, on_epoch: Callable[[Epoch], None]) -> Trained:
    """Train one potential and save it in its folder; a checkpoint there is continued."""
    potential = adapted(assignment)
    adaptation = Adaptation(potential, assignment.recipe.strategy, assignment.seed)
    state = _train(assignment, potential, adaptation, on_epoch)
    validation = [one.atoms for one in assignment.material.validation]
    held_out = potential.evaluate(validation, batch_size=BATCH_SIZE)
    refit = None
    before = [state]
    if assignment.refit and state.best_epoch == 0:
        before += _trials(assignment, potential, adaptation, on_epoch, after=state.epoch)
    if assignment.refit and (state.best_epoch > 0 or _gains_on_average(before)):
        if state.best_epoch == 0:
            state.stopped += ", but with other frames held out training gained, and more"
        adaptation.begin_again()
        n_before = sum(one.epoch for one in before)
        refit = _train(assignment.on_all_frames(), potential, adaptation, on_epoch, after=n_before)
    adaptation.finish()
    potential.save(assignment.folder)
    return Trained(assignment.number, state, refit, held_out, adaptation.count)


def _trials(
    assignment: Assignment,
    potential: TrainablePotential,
    adaptation: Adaptation,
    on_epoch: Callable[[Epoch], None],
    *,
    after: int,
) -> list[State]:
    """Train with other frames held out. Afterwards the weights are those from before training."""
    states: list[State] = []
    for trial in assignment.trials():
        adaptation.begin_again()
        states.append(_train(trial, potential, adaptation, on_epoch, after=after + sum(one.epoch for one in states)))
    adaptation.begin_again()
    return states


def _gains_on_average(states: Sequence[State]) -> bool:
    """Whether training lowers the loss of validation, by the geometric mean over frames that were held out in turn.

    Few frames may be like none of the others: how far off these are then says little of what training is worth.
    """
    return sum(_change(one) for one in states) < 0


def _change(state: State) -> float:
    """The logarithm of the last loss of validation over that of epoch 0; no change where that was 0."""
    losses = [row["validation_loss"] for row in state.rows if "validation_loss" in row]
    return math.log(losses[-1] / losses[0]) if losses[0] else 0.0


def _train(
    assignment: Assignment,
    potential: TrainablePotential,
    adaptation: Adaptation,
    on_epoch: Callable[[Epoch], None],
    *,
    after: int = 0,
) -> State:
    """Train to the end; ``after`` is how many epochs there were before."""

    def told(row: dict[str, Any], epochs: int) -> None:
        on_epoch(Epoch(assignment.number, row | {"epoch": after + row["epoch"]}, after + epochs))

    with closing(SharedObjective(assignment, potential, adaptation)) as objective:
        trainer = Trainer(
            objective, adaptation, assignment.recipe, seed=assignment.seed, checkpoint=Checkpoint(assignment.checkpoint)
        )
        return trainer.run(told)


def _train_apart(parent: Parent) -> None:
    """Train in a process of its own, which tells its parent of every epoch and of the end."""
    parent.send(train_member(parent.receive(), parent.send))
