"""The potentials that a run trains: one, or several in processes of their own, one a core."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from uniscreen.potentials import load_potential
from uniscreen.potentials.trainable import TrainablePotential
from uniscreen.training.checkpoints import Checkpoint
from uniscreen.training.loop import Material, Trainer
from uniscreen.training.recipe import Scratch
from uniscreen.training.reference_energies import residual_shifts
from uniscreen.training.strategies import Adaptation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from uniscreen.potentials.loading import Device
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.checkpoints import State
    from uniscreen.training.recipe import Recipe


@dataclass(frozen=True)
class Assignment:
    """What one member is to do: everything that its process needs, with the data already prepared.

    ``shifts`` eV an atom are added to the reference energies; ``elements`` are those of all the data.
    """

    recipe: Recipe
    device: Device
    trust_model_file: bool
    shifts: dict[str, float]
    train: Sequence[LabelledStructure]
    validation: Sequence[LabelledStructure]
    replay: Sequence[LabelledStructure]
    elements: frozenset[str]
    seed: int
    folder: Path
    number: int

    @property
    def checkpoint(self) -> Path:
        """The file of its state while it trains."""
        return self.folder / "checkpoint" / "state.pt"


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


def train_members(
    assignments: Sequence[Assignment], workers: int | None, on_epoch: Callable[[Epoch], None]
) -> list[Trained]:
    """Train all, each into its folder; the calls of ``on_epoch`` come from this process."""
    if len(assignments) == 1:
        return [train_member(assignments[0], on_epoch)]
    n_workers = min(len(assignments), workers or _cores())
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(n_workers, context, torch.set_num_threads, (1,)) as pool:
        told = manager.Queue()
        futures = [pool.submit(_train_apart, assignment, told) for assignment in assignments]
        for future in futures:
            future.add_done_callback(lambda _: told.put(None))
        ended = 0
        while ended < len(futures):
            progress = told.get()
            if progress is None:
                ended += 1
            else:
                on_epoch(progress)
        return [future.result() for future in futures]


def train_member(assignment: Assignment, on_epoch: Callable[[Epoch], None]) -> Trained:
    """Train one potential and save it in its folder; a checkpoint there is continued."""
    potential = adapted(assignment)
    adaptation = Adaptation(potential, assignment.recipe.strategy, assignment.seed)
    material = Material(assignment.train, assignment.validation, assignment.replay)
    checkpoint = Checkpoint(assignment.checkpoint)
    trainer = Trainer(potential, adaptation, material, assignment.recipe, seed=assignment.seed, checkpoint=checkpoint)
    state = trainer.run(lambda row, epochs: on_epoch(Epoch(assignment.number, row, epochs)))
    adaptation.finish()
    potential.save(assignment.folder)
    return Trained(assignment.number, state, adaptation.count)


def adapted(assignment: Assignment) -> TrainablePotential:
    """The pretrained potential with the reference energies of the data, and a card that knows the data's elements."""
    potential = load_potential(
        assignment.recipe.model,
        device=assignment.device,
        head=assignment.recipe.head,
        trust_model_file=assignment.trust_model_file,
    )
    assert isinstance(potential, TrainablePotential)
    shifts = assignment.shifts
    if isinstance(assignment.recipe.strategy, Scratch):
        potential.reset(assignment.seed)
        shifts = residual_shifts(assignment.train, potential.evaluate([one.atoms for one in assignment.train]))
    energies = potential.reference_energies
    potential.reference_energies = {symbol: energies[symbol] + shift for symbol, shift in shifts.items()}
    potential.card = replace(potential.card, tuned_elements=assignment.elements)
    return potential


def _train_apart(assignment: Assignment, told: Any) -> Trained:
    """Train in a process of its own, which says what it does through the queue."""
    return train_member(assignment, told.put)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
