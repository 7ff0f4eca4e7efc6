"""From a recipe to a folder that is a potential."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.durable import keep_manifest, locked, sha256_of
from uniscreen.errors import InputError, UnknownModelError
from uniscreen.machine import usable_cores
from uniscreen.potentials import find_card, load_potential
from uniscreen.potentials.loading import own_environment
from uniscreen.potentials.trainable import TrainablePotential
from uniscreen.structures import read_candidates
from uniscreen.training import outputs
from uniscreen.training.assignment import Assignment
from uniscreen.training.dataset import read_data
from uniscreen.training.members import train_members
from uniscreen.training.objective import Material
from uniscreen.training.plan import Plan
from uniscreen.training.recipe import IsolatedAtoms
from uniscreen.training.reference_energies import isolated_atom_shifts, residual_shifts
from uniscreen.training.replay import pseudolabelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.potentials.loading import Device
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.dataset import TrainingData
    from uniscreen.training.members import Epoch
    from uniscreen.training.recipe import Recipe
    from uniscreen.training.splits import Split


@dataclass(frozen=True)
class Prepared:
    """What all members of a run share: data, the shifts of the reference energies (eV an atom), replayed frames.

    ``sha256`` are the checksums of all files that decide the weights.
    """

    recipe: Recipe
    device: Device
    trust_model_file: bool
    potential: TrainablePotential
    data: TrainingData
    shifts: Mapping[str, float]
    replay: tuple[LabelledStructure, ...]
    sha256: Mapping[str, str]

    @property
    def n_members(self) -> int:
        """How many potentials are trained."""
        return max(self.recipe.ensemble.members, len(self.data.splits))

    def assignments(self, folder: Path, processes: int) -> list[Assignment]:
        """What each member is to do, where all have so many processes; a single one works in the folder itself."""
        return [
            Assignment(
                recipe=self.recipe,
                device=self.device,
                trust_model_file=self.trust_model_file,
                shifts=dict(self.shifts),
                material=self._material(split),
                others=[self._material(other) for other in self.data.other_splits],
                referenced=self.data.known.at(split.train).labels,
                elements=self.data.elements,
                seed=self.recipe.seed + number,
                folder=folder if self.n_members == 1 else folder / outputs.MEMBERS / str(number),
                number=number,
                processes=max(1, processes // self.n_members),
                refit=self.recipe.refits(len(self.data.known)),
            )
            for number, split in ((n, self.data.splits[n % len(self.data.splits)]) for n in range(self.n_members))
        ]

    def _material(self, split: Split) -> Material:
        known = self.data.known
        return Material(known.at(split.train).labels, known.at(split.validation).labels, self.replay)


def require_startable(recipe: Recipe) -> None:
    """Raise an InputError if the model cannot be trained, or a file that the recipe names besides its data is missing.

    Nothing is loaded: of a model in a file or folder, loading it says whether it can be trained.
    """
    with suppress(UnknownModelError):  # it is a folder or a file then
        card = find_card(recipe.model)
        if own_environment(card) is not None:  # which loading would make
            raise _untrainable(card)
    for key, path in recipe.files().items():
        if not path.exists() and not key.startswith("data."):  # of those, reading them says it
            others = "; data/replay/crystals.extxyz of uniscreen's repository holds many elements"
            raise InputError(
                f"{key} is {path}, which does not exist. Give yours: {key}=FILE{others if 'replay' in key else ''}."
            )


def prepare(recipe: Recipe, *, device: Device = "auto", trust_model_file: bool = False) -> Prepared:
    """Load the model, read the data, and re-reference the model to it.

    Raises:
        InputError: the model cannot be trained, a file that the recipe names is missing, or what ``load_potential`` and
            ``read_data`` raise.
    """
    require_startable(recipe)
    potential = load_potential(recipe.model, device=device, head=recipe.head, trust_model_file=trust_model_file)
    if not isinstance(potential, TrainablePotential):
        raise _untrainable(potential.card)
    data = read_data(recipe.data, potential)
    _require_groups(recipe.loss.groups, data.groups)
    shifts = _shifts(recipe, potential, data)
    energies = potential.reference_energies
    potential.reference_energies = {symbol: energies[symbol] + shift for symbol, shift in shifts.items()}
    sha256 = dict(data.sha256)
    replay: tuple[LabelledStructure, ...] = ()
    if isinstance(recipe.reference_energies, IsolatedAtoms):
        sha256["isolated_atoms"] = sha256_of(recipe.reference_energies.isolated_atoms)
    if recipe.replay is not None:
        table = read_candidates(recipe.replay.structures)
        sha256["replay"], replay = table.sha256, pseudolabelled(potential, table)
    return Prepared(recipe, device, trust_model_file, potential, data, shifts, replay, sha256)


def plan(
    recipe: Recipe, *, device: Device = "auto", trust_model_file: bool = False, workers: int | None = None
) -> Plan:
    """What a fine-tuning would do and take, from a few steps that are thrown away."""
    prepared = prepare(recipe, device=device, trust_model_file=trust_model_file)
    return Plan.of(prepared.assignments(Path(), workers or usable_cores()), prepared.data)


def finetune(
    recipe: Recipe,
    out: Path | None = None,
    *,
    device: Device = "auto",
    trust_model_file: bool = False,
    workers: int | None = None,
    restart: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_check: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Train by a recipe; the summary of the run is returned, and ``out`` is a potential.

    The same call continues a run that was stopped, and does nothing where it is done. ``workers`` processes train,
    as many as there are cores by default; the weights do not depend on it. ``on_epoch`` is told of every epoch of a
    member, and ``on_check`` of every check of the trained potential that begins.

    Raises:
        InputError: what ``prepare`` raises, ``out`` is a file or the model that is trained, or it holds other files of
            the names that a run writes.
        ResumeError: ``out`` holds a run of another recipe or other data.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}, expected at least 1.")
    out = out if out is not None else usual_folder(recipe)
    model = Path(recipe.model).resolve()
    if model == out.resolve() or model.is_relative_to(out.resolve() / outputs.MEMBERS):
        raise InputError(f"{out} is the model that is trained further, and would be replaced. Give another --out.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; expected a folder for the run. Give another --out.")
    prepared = prepare(recipe, device=device, trust_model_file=trust_model_file)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", out):
        left = _left_by_a_run(out)
        if restart:
            _remove(left)
        keep_manifest(out / outputs.MANIFEST, outputs.manifest(prepared))
        (out / outputs.RECIPE).write_text(recipe.as_yaml(), encoding="utf-8")
        done = outputs.read_summary(out)
        if done is not None:
            return done
        processes = workers or usable_cores()
        assignments = prepared.assignments(out, processes)
        trained = train_members(assignments, processes, on_epoch)
        summary = outputs.write(out, prepared, assignments, trained, on_check)
        for assignment in assignments:
            shutil.rmtree(assignment.checkpoint.parent, ignore_errors=True)
        return summary


def _untrainable(card: ModelCard) -> InputError:
    return InputError(
        f"{card.name} ({card.architecture}) cannot be trained here. "
        "Those that can: CHGNet, M3GNet, TensorNet and MACE models ('uniscreen models')."
    )


def _require_groups(weighted: Iterable[str], known: frozenset[str]) -> None:
    """Raise an InputError if a group that is to count more or less is none of the data's."""
    unknown = sorted(set(weighted) - known)
    if unknown:
        raise InputError(
            f"loss.groups names {', '.join(unknown)}, but the data have "
            f"{'the groups ' + ', '.join(sorted(known)) if known else 'no groups (data.group_key names their key)'}."
        )


def _shifts(recipe: Recipe, potential: TrainablePotential, data: TrainingData) -> dict[str, float]:
    """What is added to the reference energies, eV an atom, for the elements of the data."""
    if recipe.reference_energies == "keep":
        return {}
    if recipe.reference_energies != "refit":
        return isolated_atom_shifts(
            recipe.reference_energies.isolated_atoms, recipe.data.energy_key, potential, data.elements
        )
    places = sorted({place for split in data.splits for place in split.train})
    frames = data.known.at(places)
    if frames.elements < data.elements:  # better than nothing for those that only frames that validate have
        frames = data.known
    return residual_shifts(frames.labels, frames.pretrained)


def usual_folder(recipe: Recipe) -> Path:
    """The folder of a run that was given none: by the names of the data and of the model."""
    data = recipe.data.train.name.split(".")[0] if recipe.data.train is not None else "run"
    return Path("runs") / f"{data}-{Path(recipe.model).name.replace(':', '-')}"


def _left_by_a_run(folder: Path) -> list[Path]:
    """What an earlier run left, its manifest last: what is removed only in part is still known for that run's.

    Raises:
        InputError: there are files of the names of ours, but they are not a fine-tuning's.
    """
    names = (outputs.MEMBERS, outputs.CHECKPOINT, *reversed(outputs.FILES))
    left = [path for name in names if (path := folder / name).exists()]
    if left and not outputs.is_run(folder):
        raise InputError(
            f"{folder} holds {left[-1].name}, but no fine-tuning, and a run there would replace it. Give another --out."
        )
    return left


def _remove(left: Sequence[Path]) -> None:
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
