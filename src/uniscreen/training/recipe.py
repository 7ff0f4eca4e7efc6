"""Recipes: everything that decides a fine-tuning, as YAML. Unknown keys are errors; the defaults are here alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from uniscreen.potentials.trainable import Block
from uniscreen.structures.labels.labelled import EnergyKind, LabelConventions, StressSign, StressUnit, VoigtOrder
from uniscreen.training.splits import SplitBy

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
OptimiserKind = Literal["adam", "soap"]

FEW_FRAMES = 30
"""With at most so many frames none is held out to the end, unless the recipe says so."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitSection(_Section):
    """Which of the training frames validate: whole groups, about the share ``validation`` of the frames.

    ``by``: ``group`` as the file says, ``composition``, ``block`` (ten stretches of one trajectory), ``stretch`` (the
    end of every group) or ``frame``.
    With ``folds`` k there are k members, each with other groups held out, so that every frame trains.
    """

    by: SplitBy = "group"
    validation: Share = 0.2
    folds: Annotated[int, Field(ge=2)] | None = None
    seed: Seed = 0


class DataSection(_Section):
    """Files of labelled structures, and how they give their labels where that is not what is usual in their format.

    ``n_train`` frames of ``train`` are used, spread over its groups, validation included; all by default.
    ``validation`` is a file that stands in for the split. ``check_units`` asks the pretrained potential whether units
    and signs are what they are taken to be.
    """

    train: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    n_train: Annotated[int, Field(ge=2)] | None = None
    split: SplitSection = SplitSection()
    check_units: bool = True
    energy: EnergyKind | None = None
    stress_unit: StressUnit | None = None
    stress_sign: StressSign | None = None
    stress_order: VoigtOrder | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    group_key: str | None = None

    @property
    def conventions(self) -> LabelConventions:
        """How the files give their labels."""
        names = LabelConventions.__dataclass_fields__
        return LabelConventions(**{name: getattr(self, name) for name in names})


class IsolatedAtoms(_Section):
    """Reference energies from a file of single atoms, one for each element."""

    isolated_atoms: Path


class Full(_Section):
    """Train every parameter."""

    kind: Literal["full"] = "full"


class Blocks(_Section):
    """Train some blocks of the network; the others stay as they are to the bit."""

    kind: Literal["blocks"]
    blocks: Annotated[tuple[Block, ...], Field(min_length=1)]


class LoRA(_Section):
    """Train low-rank additions to the linear maps: Hu et al., ICLR 2022. ``alpha`` is the rank by default."""

    kind: Literal["lora"]
    rank: Count = 4
    alpha: Positive | None = None


class Delta(_Section):
    """Train every parameter, and pull it toward its pretrained value: by ``decay`` times the learning rate a step."""

    kind: Literal["delta"]
    decay: Positive = 5.0


class Scratch(_Section):
    """Train every parameter from random values, to see what the pretraining is worth."""

    kind: Literal["scratch"]


Strategy = Annotated[Full | Blocks | LoRA | Delta | Scratch, Field(discriminator="kind")]


class LossSection(_Section):
    """Weights of the errors in energy (eV/atom), forces (eV/Å) and stress (GPa).

    Each error enters by the Huber loss, divided by its width: squared below ``huber``, linear above, so that one bad
    frame does not decide. ``late_energy`` is the weight of energies in the second half of the epochs, by default that
    of the first. Where it differs, it is what is validated with, and the best epoch is one of the second half, if one
    there is better than epoch 0. All errors of a frame whose group is among ``groups`` count so many times.
    """

    energy: Weight = 1.0
    forces: Weight = 1.0
    stress: Weight = 0.1
    huber: Positive = 0.01
    late_energy: Weight | None = None
    groups: dict[str, Positive] = {}

    @property
    def late(self) -> LossSection:
        """The weights at the end of training."""
        return self if self.late_energy is None else self.model_copy(update={"energy": self.late_energy})

    @model_validator(mode="after")
    def _weighs_something(self) -> LossSection:
        if self.energy == self.forces == self.stress == 0:
            raise ValueError("all weights are 0, so there is nothing to train on")
        return self


class OptimiserSection(_Section):
    """Adam, or SOAP (``kind``), which is Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., ICLR 2025).

    Training ends after ``epochs``, or when ``patience`` epochs brought nothing better, or after ``steps``. The epoch in
    which ``steps`` are reached is trained to its end.
    ``schedule`` cosine: the rate rises over the first 5 % of the steps and falls to 1 % by the end. ``clip`` is the
    largest norm of the gradient, ``ema`` the decay of the averaged weights, which are what is validated and kept.

    With ``refit`` training begins once more after that, now on all frames, those of validation included, and the
    weights of its last epoch are kept. By default (None) it does so with 30 frames or fewer (``refits``).
    """

    kind: OptimiserKind = "adam"
    learning_rate: Positive = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: Positive = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    epochs: Count = 200
    steps: Count | None = None
    patience: Count = 50
    batch_size: Count = 4
    refit: bool | None = None


class ReplaySection(_Section):
    """Structures that the pretrained model labels itself, mixed into each step, so that it stays what it was elsewhere.

    ``share`` is their part of the loss and of the frames of a step.
    """

    structures: Path
    share: Share = 0.3


class EnsembleSection(_Section):
    """How many potentials are trained, by seeds of their own; more than one make a committee."""

    members: Count = 1


class ChecksSection(_Section):
    """Whether the trained potential is put through ``uniscreen validate``'s checks, and for how long dynamics run."""

    run: bool = True
    md_ps: Positive = 10.0


class Recipe(_Section):
    """A fine-tuning: a model (``head`` names the output of one that has several), data, what is done with them."""

    model: str = Field(min_length=1)
    head: str = ""
    data: DataSection = DataSection()
    reference_energies: Literal["refit", "keep"] | IsolatedAtoms = "refit"
    strategy: Strategy = Full()
    loss: LossSection = LossSection()
    optimiser: OptimiserSection = OptimiserSection()
    replay: ReplaySection | None = None
    ensemble: EnsembleSection = EnsembleSection()
    checks: ChecksSection = ChecksSection()
    seed: Seed = 0

    @field_validator("model", mode="before")
    @classmethod
    def _plain_name(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @model_validator(mode="after")
    def _one_kind_of_members(self) -> Recipe:
        if self.data.split.folds is not None:
            if self.ensemble.members > 1:
                raise ValueError("data.split.folds makes one member a fold, so leave ensemble.members at 1")
            if self.data.validation is not None:
                raise ValueError("data.validation is given, so there is nothing to split into data.split.folds")
            if self.optimiser.refit:
                raise ValueError("with data.split.folds every frame trains some member, so leave optimiser.refit out")
        return self

    def refits(self, n_frames: int) -> bool:
        """Whether training ends with all of so many frames.

        A fifth of a few frames is too little to choose an epoch by, and often all that there is of a kind. A file of
        validation is left to what it is given for, and so are folds, with which each frame trains some member.
        """
        if self.optimiser.refit is not None:
            return self.optimiser.refit
        return n_frames <= FEW_FRAMES and self.data.validation is None and self.data.split.folds is None

    def files(self) -> dict[str, Path]:
        """The files that the recipe names, by key."""
        named = {f"data.{name}": getattr(self.data, name) for name in ("train", "validation", "test")}
        if self.replay is not None:
            named["replay.structures"] = self.replay.structures
        if isinstance(self.reference_energies, IsolatedAtoms):
            named["reference_energies.isolated_atoms"] = self.reference_energies.isolated_atoms
        return {key: path for key, path in named.items() if path is not None}

    def as_yaml(self) -> str:
        """The whole recipe with its defaults."""
        values = self.model_dump(mode="json")
        return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None))
