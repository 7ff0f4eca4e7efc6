"""The potentials that a run trains: one, or several in processes of their own."""

from __future__ import annotations

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

    from uniscreen.processes import Parent
    from uniscreen.training.assignment import Assignment
    from uniscreen.training.checkpoints import State


class Epoch(NamedTuple):
    """One more epoch of a member: its row of ``metrics.csv``, and how many epochs there are at most."""

    member: int
    row: dict[str, Any]
    epochs: int


class Trained(NamedTuple):
    """What a member came to."""

    number: int
    state: State
    n_trained: int


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
    with closing(SharedObjective(assignment, potential, adaptation)) as objective:
        trainer = Trainer(
            objective, adaptation, assignment.recipe, seed=assignment.seed, checkpoint=Checkpoint(assignment.checkpoint)
        )
        state = trainer.run(lambda row, epochs: on_epoch(Epoch(assignment.number, row, epochs)))
    adaptation.finish()
    potential.save(assignment.folder)
    return Trained(assignment.number, state, adaptation.count)


def _train_apart(parent: Parent) -> None:
    """Train in a process of its own, which tells its parent of every epoch and of the end."""
    parent.send(train_member(parent.receive(), parent.send))
