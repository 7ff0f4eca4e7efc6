"""What a fine-tuning would take: counted, and timed on one step whose gradient is thrown away."""

from __future__ import annotations

import resource
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from uniscreen.training.assignment import adapted
from uniscreen.training.checkpoints import Checkpoint
from uniscreen.training.loop import Length, Trainer
from uniscreen.training.sharing import SharedObjective
from uniscreen.training.strategies import Adaptation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uniscreen.training.assignment import Assignment
    from uniscreen.training.dataset import TrainingData


@dataclass(frozen=True)
class Plan:
    """How much would be trained, on what, for how long at most; times and memory are those of this machine.

    ``epochs_on_all_frames`` follow where those that validate are trained on too in the end, else 0. ``seconds`` are
    those of one member, if nothing ends it before all epochs are done; ``seconds_of_trials`` come to them if no epoch
    is better than epoch 0 and other frames are held out in turn, else 0. ``memory_GB`` is the peak of this process
    after one step, or of the CUDA device; every process of the training takes as much.
    """

    members: int
    parameters: int
    parameters_trained: int
    n_train: int
    n_validation: int
    n_test: int
    n_replay: int
    reference_energy_shifts_eV_per_atom: Mapping[str, float]  # noqa: N815
    steps_per_epoch: int
    epochs: int
    seconds_per_epoch: float
    epochs_on_all_frames: int
    seconds: float
    seconds_of_trials: float
    memory_GB: float  # noqa: N815
    left_out: Sequence[str]
    note: str

    @classmethod
    def of(cls, assignments: Sequence[Assignment], data: TrainingData) -> Plan:
        """The plan of a run by what its members are to do."""
        one = assignments[0]
        potential = adapted(one)
        adaptation = Adaptation(potential, one.recipe.strategy, one.seed)
        with closing(SharedObjective(one, potential, adaptation)) as objective:
            trainer = Trainer(objective, adaptation, one.recipe, seed=one.seed, checkpoint=Checkpoint(Path()))
            step, validation = trainer.time()
        n_frames = len(one.material.train) + len(one.material.validation)
        later = Length.of(one.recipe.optimiser, n_frames) if one.refit else Length(0, 0)
        seconds_per_epoch = trainer.length.steps_per_epoch * step + validation
        return cls(
            members=len(assignments),
            parameters=sum(parameter.numel() for parameter in potential.model.parameters()),
            parameters_trained=adaptation.count,
            n_train=len(one.material.train),
            n_validation=len(one.material.validation),
            n_test=len(data.test),
            n_replay=len(one.material.replay),
            reference_energy_shifts_eV_per_atom=one.shifts,
            steps_per_epoch=trainer.length.steps_per_epoch,
            epochs=trainer.length.epochs,
            seconds_per_epoch=seconds_per_epoch,
            epochs_on_all_frames=later.epochs,
            seconds=trainer.length.epochs * seconds_per_epoch + later.steps * step,
            seconds_of_trials=len(one.others) * trainer.length.epochs * seconds_per_epoch if one.refit else 0.0,
            memory_GB=_peak_memory(potential.device),
            left_out=data.left_out,
            note=data.notes(refit=one.refit, rereferenced=one.recipe.reference_energies == "refit"),
        )


def _peak_memory(device: torch.device) -> float:
    """GB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
