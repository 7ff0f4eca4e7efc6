"""A fine-tuning's folder, read back: the summary, the tables of epochs, frames and atoms, and the recipe."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.potentials.saved import DESCRIPTION
from uniscreen.training import outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pandas import DataFrame

STAGES = ("pretrained", "rereferenced", "trained")
"""Before training; with the reference energies of the data, which moves energies only; after training."""

FORCE_STAGES = ("pretrained", "trained")
SETS = {"test": "test", "validation": "validation", "train": "training"}
"""Sets of frames as the tables name them and in words, those that say most of new structures first."""

_TEXT = ("set", "place", "group", "formula", "event")
_METRICS = (
    "member",
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_energy_mae_meV_per_atom",
    "validation_force_mae_meV_per_A",
    "validation_stress_mae_GPa",
    "event",
)
_FRAMES = (
    "set",
    "place",
    "group",
    "formula",
    "n_atoms",
    "energy_eV",
    *(f"energy_{stage}_eV" for stage in STAGES),
    *(f"force_mae_{stage}_meV_per_A" for stage in FORCE_STAGES),
)
_ATOMS = (
    "set",
    "place",
    "element",
    *(f"f{axis}{suffix}" for suffix in ("", *(f"_{stage}" for stage in FORCE_STAGES)) for axis in "xyz"),
)
_SUMMARY = (
    "model",
    "strategy",
    "members",
    "errors",
    "checks",
    "best_epoch",
    "stopped",
    "rollbacks",
    "left_out",
    "note",
    "n_test_known",
    "unit_checks",
    "reference_energy_shifts_eV_per_atom",
    "elements",
    "seconds",
)


@dataclass(frozen=True)
class TrainingResults:
    """What a run left: ``metrics``, a row an epoch and member; ``frames``, a row each; ``atoms``, a row each.

    Columns are those of ``metrics.csv``, ``predictions.csv`` and ``forces.parquet``; texts hold no missing values. To
    ``frames`` are added ``energy_error_STAGE`` (meV/atom, predicted minus labelled). ``recipe`` is its YAML, ``card``
    the model card of the potential, ``sha256`` a checksum of all the files.
    """

    name: str
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]
    card: Mapping[str, Any]
    recipe: str
    metrics: DataFrame
    frames: DataFrame
    atoms: DataFrame
    sha256: str

    @classmethod
    def read(cls, folder: Path) -> TrainingResults:
        """Read the folder of a run that is done.

        Raises:
            InputError: a file is missing or is not what a fine-tuning writes.
        """
        names = (
            outputs.SUMMARY,
            outputs.MANIFEST,
            outputs.RECIPE,
            outputs.METRICS,
            outputs.PREDICTIONS,
            outputs.FORCES,
        )
        raw = {name: _bytes(folder / name) for name in names}
        description = folder / DESCRIPTION
        described = _record(description) if description.is_file() else {}
        return cls(
            name=folder.resolve().name,
            summary=_record(folder / outputs.SUMMARY, _SUMMARY),
            manifest=_record(folder / outputs.MANIFEST),
            card=described.get("card", {}),
            recipe=raw[outputs.RECIPE].decode("utf-8", "replace"),
            metrics=_table(folder / outputs.METRICS, _csv, _METRICS),
            frames=_with_errors(_table(folder / outputs.PREDICTIONS, _csv, _FRAMES)),
            atoms=_table(folder / outputs.FORCES, _parquet, _ATOMS),
            sha256=hashlib.sha256(b"".join(raw.values())).hexdigest(),
        )

    @property
    def sets(self) -> list[str]:
        """The sets that hold frames, the one that says most first."""
        return [name for name in SETS if name in self.summary["errors"]]

    def errors(self, name: str, stage: str) -> Mapping[str, Any]:
        """The errors over a set at a stage, as the summary has them."""
        return self.summary["errors"][name][stage]

    @property
    def refitted(self) -> bool:
        """Whether training began once more on all frames, after those of validation had chosen an epoch."""
        return any(self.summary.get("epochs_on_all_frames", []))

    @property
    def has_folds(self) -> bool:
        """Whether each training frame trained some members and validated others."""
        split = self.manifest.get("recipe", {}).get("data", {}).get("split", {})
        return split.get("folds") is not None

    @property
    def late_energy(self) -> float | None:
        """The weight that energies have in the second half of the epochs, where it is another one than before."""
        loss = self.manifest.get("recipe", {}).get("loss", {})
        late: float | None = loss.get("late_energy")
        return None if late == loss.get("energy") else late


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"Cannot read {path} ({error.strerror}). Expected the folder of a 'uniscreen finetune' that is done."
        ) from error


def _record(path: Path, keys: Iterable[str] = ()) -> Mapping[str, Any]:
    try:
        content = json.loads(_bytes(path))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Run 'uniscreen finetune' again, with --restart.") from error
    missing = [key for key in keys if key not in content] if isinstance(content, dict) else ["a record"]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; expected what 'uniscreen finetune' writes.")
    return content


def _table(path: Path, read: Callable[[Path], DataFrame], columns: Iterable[str]) -> DataFrame:
    try:
        table = read(path)
    except (ValueError, OSError) as error:  # those of pandas and pyarrow are subclasses of these
        raise InputError(f"{path} is not a table ({error}). Run 'uniscreen finetune' again, with --restart.") from error
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(f"{path} has no column {', '.join(missing)}; expected what 'uniscreen finetune' writes.")
    return table


def _csv(path: Path) -> DataFrame:
    """A group may be called NA or nan, so only what is empty is missing."""
    import pandas as pd

    table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, "object"), keep_default_na=False, na_values=[""])
    for column in table.columns.intersection(list(_TEXT)):
        table[column] = table[column].fillna("")
    return table


def _parquet(path: Path) -> DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


def _with_errors(frames: DataFrame) -> DataFrame:
    added = {
        f"energy_error_{stage}": 1000 * (frames[f"energy_{stage}_eV"] - frames["energy_eV"]) / frames["n_atoms"]
        for stage in STAGES
    }
    return frames.assign(**added)
