"""Potentials made for one system from its own labelled structures: what there is, and how each is trained."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from uniscreen.errors import BackendUnavailableError, InputError, UnknownModelError
from uniscreen.messages import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from uniscreen.potentials import ModelCard
    from uniscreen.potentials.isolated.environments import Environment
    from uniscreen.structures.labels import LabelledStructure

Hyperparameter = float | int | str | bool

Status = Literal["installed", "can be installed", "cannot be had"]


LOSS_WEIGHTS = ("energy_weight", "forces_weight", "stress_weight")
"""Hyperparameters that say what errors count, where there are any."""


@dataclass(frozen=True)
class Baseline:
    """One kind of dedicated model.

    ``architecture`` is that of the model cards of what is trained; ``package`` is the one that trains and evaluates.
    ``hyperparameters`` are the defaults, which ``hyperparameters_from`` names the source of. ``early_stopping``: it
    needs validation structures. ``unavailable`` is why it cannot be had, empty if it can. ``restricted_use`` is what
    the package's licence restricts its use to, empty if nothing, and ``licence_url`` its text.
    """

    name: str
    title: str
    package: str
    licence: str
    citation: str
    architecture: str = ""
    hyperparameters_from: str = ""
    early_stopping: bool = False
    unavailable: str = ""
    restricted_use: str = ""
    licence_url: str = ""
    hyperparameters: Mapping[str, Hyperparameter] | None = None

    @property
    def environment(self) -> Environment:
        """The environment that its package is in, made or not."""
        from uniscreen.potentials.isolated.environments import environment_of

        return environment_of(self.architecture)

    @property
    def status(self) -> Status:
        """Whether it can be trained here and now."""
        if self.unavailable:
            return "cannot be had"
        return "installed" if self.environment.installed else "can be installed"

    def install(self) -> Environment:
        """Make its environment unless it is there.

        Raises:
            BackendUnavailableError: it cannot be made, or the package cannot be had.
            LicenceError: the package's licence restricts its use and has not been accepted.
        """
        from uniscreen.potentials.licences import require_accepted

        if self.unavailable:
            raise BackendUnavailableError(f"{self.name} cannot be had: {self.unavailable}.")
        require_accepted(self, "baselines install")
        self.environment.ensure(self.name)
        return self.environment

    @property
    def sharing(self) -> list[str]:
        """The other kinds that are trained in the same environment."""
        return [one.name for one in baselines().values() if one.architecture == self.architecture and one != self]

    def resolved(self, given: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
        """All hyperparameters: the given ones, and the defaults of the others.

        Raises:
            InputError: one that there is not, a value of another type than the default's, or one with which nothing can
                be trained.
        """
        defaults = dict(self.hyperparameters or {})
        for name, value in given.items():
            if name not in defaults:
                hint = did_you_mean(name, defaults)
                raise InputError(f"{self.name} has no hyperparameter {name!r}.{hint} It has {', '.join(defaults)}.")
            defaults[name] = _of_type(name, value, defaults[name])
            if name.endswith("cutoff") and defaults[name] == 0:
                raise InputError(f"{name} is 0, so that no atom has a neighbour; expected a distance in Å.")
        if not any(defaults.get(name, 1) for name in LOSS_WEIGHTS):
            raise InputError(f"{', '.join(LOSS_WEIGHTS)} are all 0, so there is nothing to train on.")
        return defaults


@cache
def baselines() -> Mapping[str, Baseline]:
    """All kinds of dedicated models by name, in the order of baselines.toml."""
    text = resources.files("uniscreen.benchmarking").joinpath("baselines.toml").read_text(encoding="utf-8")
    known = {field.name for field in fields(Baseline)}
    found = {}
    for name, table in tomllib.loads(text).items():
        assert set(table) <= known, f"{name}: {set(table) - known}"
        found[name] = Baseline(name=name, **table)
    return found


def find_baseline(name: str) -> Baseline:
    """Look a kind of dedicated model up.

    Raises:
        UnknownModelError: there is none of that name.
    """
    found = baselines().get(name.lower())
    if found is None:
        hint = did_you_mean(name.lower(), baselines())
        raise UnknownModelError(f"Unknown baseline {name!r}.{hint} Known: {', '.join(baselines())}.")
    return found


def train_baseline(
    name: str,
    structures: Sequence[LabelledStructure],
    out: Path,
    *,
    validation: Sequence[LabelledStructure] = (),
    hyperparameters: Mapping[str, Hyperparameter] | None = None,
    seed: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: int = 1,
    seconds: float = 86400.0,
    on_line: Callable[[str], None] = lambda _: None,
) -> ModelCard:
    """Train a dedicated model; ``load_potential(out)`` loads it.

    Args:
        name: of the kind of model, e.g. ``mtp``.
        structures: what it is trained on.
        out: the folder of the model, which must not be there or be empty.
        validation: what decides when to stop, for those that stop early; others do not look at it.
        hyperparameters: those that differ from the defaults.
        seed: of all that is random.
        device: where it is trained.
        threads: with how many.
        seconds: after which it is given up; those that train step by step stop before, with the best they have.
        on_line: is told of every line that the package prints, in a thread of its own.

    Raises:
        UnknownModelError: no such kind of model.
        InputError: a hyperparameter that there is not, no structures, or no validation structures where it needs them.
        BackendUnavailableError: its package cannot be had.
        LicenceError: the package's licence restricts its use and has not been accepted.
        BackendError: the training failed; with the end of its log.
    """
    from uniscreen.potentials.isolated.training import TrainingRequest, train_isolated

    baseline = find_baseline(name)
    resolved = baseline.resolved(hyperparameters or {})
    if baseline.early_stopping and not validation:
        raise InputError(
            f"{baseline.name} trains until its error on structures that it is not trained on grows: give some as "
            "validation (--validation FILE)."
        )
    environment = baseline.install()
    request = TrainingRequest(
        architecture=baseline.architecture,
        hyperparameters=resolved,
        licence=f"as the training data; made with {baseline.package} ({baseline.licence})",
        citation=baseline.citation,
        seed=seed,
        device=device,
        threads=threads,
        seconds=seconds,
        packages=environment.packages(),
    )
    held_out = validation if baseline.early_stopping else ()
    return train_isolated(request, structures, held_out, out, on_line=on_line)


def _of_type(name: str, value: Any, default: Hyperparameter) -> Hyperparameter:
    """A value, of text too, as the type of the default."""
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        converted = kind(value)
    except (ValueError, KeyError, OverflowError):
        converted = None
    if converted is None or (kind is int and float(value) != converted):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise InputError(f"{name} is {value!r}, expected {wanted}, e.g. {default}.")
    if kind is not str and not (math.isfinite(float(converted)) and (float(converted) >= 0 or float(default) < 0)):
        raise InputError(f"{name} is {value!r}, expected a number from 0 on, e.g. {default}.")
    return converted
