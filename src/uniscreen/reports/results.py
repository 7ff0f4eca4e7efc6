"""A screening's results folder, read back: the table of candidates and the record of the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.screening.columns import is_own_column
from uniscreen.screening.committee_table import COMMITTEE_TYPES, MODEL_TYPES, model_column
from uniscreen.structures.rows import carried_names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pandas import DataFrame, Series

OK = "ok"
NOT_CONVERGED = "not_converged"
STOPPED_EARLY = "stopped_early"
THRESHOLDS_MEV = (0, 25, 50, 100)
"""Distances above the hull, meV/atom, that candidates are counted within."""

TEXT_COLUMNS = (
    "id",
    "status",
    "reason",
    "formula",
    "model",
    "decomposition",
    "decomposition_reaction",
    "space_group_initial",
    "space_group_final",
    "flags",
)
NUMBER_COLUMNS = (
    "rank",
    "n_atoms",
    "energy_eV_per_atom",
    "correction_eV_per_atom",
    "correction_unrelaxed_eV_per_atom",
    "corrected_energy_eV_per_atom",
    "formation_energy_eV_per_atom",
    "formation_energy_uncertainty_eV_per_atom",
    "e_above_hull_eV_per_atom",
    "e_above_hull_uncertainty_eV_per_atom",
    "decomposition_energy_eV_per_atom",
    "relaxation_energy_eV_per_atom",
    "n_steps",
    "max_force_eV_per_A",
    "max_stress_GPa",
    "volume_change_percent",
)

DERIVED_COLUMNS = ("lead_distance_meV", "distance_meV", "formation_eV")
"""Columns that are added on reading; see `ScreenResults`."""

SELF_CONSISTENT = "e_above_hull_self_consistent_eV_per_atom"


@dataclass(frozen=True)
class ScreenResults:
    """One row a candidate, sorted by rank, with the run's record and a checksum of both files.

    Known text columns hold no missing values (they are ""), known number columns are float64 with NaN. In
    addition ``distance_meV`` (meV/atom) and ``formation_eV`` (eV/atom) are the distance to the hull and the formation
    energy by which candidates are ranked, of a committee the means; ``lead_distance_meV`` is the distance that goes
    with the other columns, of a committee the leading model's. ``models`` are a committee's, the leading one first;
    there are none where one model was used.
    """

    frame: DataFrame
    models: tuple[str, ...]
    carried: tuple[str, ...]
    run: Mapping[str, Any]
    sha256: str

    @classmethod
    def read(cls, folder: Path) -> ScreenResults:
        """Read ``results.parquet`` and ``run.json``.

        Raises:
            InputError: a file is missing or cannot be read, or the table lacks a column.

        """
        path = folder / "results.parquet"
        digest = _digest(path)
        raw_run = _read(folder / "run.json")
        digest.update(raw_run)
        table = _table(path)
        _require(table, (*TEXT_COLUMNS, *NUMBER_COLUMNS), path)
        run = _run(raw_run, folder / "run.json")
        models = tuple(map(str, run["models"])) if isinstance(run.get("models"), Mapping) else ()
        added = _committee_columns(models)
        _require(table, added, path)
        table.columns = carried_names(table.columns, DERIVED_COLUMNS)
        return cls(
            frame=_normalised(table, models),
            models=models,
            carried=tuple(
                column for column in map(str, table.columns) if column not in added and not is_own_column(column)
            ),
            run=run,
            sha256=digest.hexdigest(),
        )

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def ok(self) -> DataFrame:
        """Candidates that were relaxed."""
        return _rows(self.frame, self.frame["status"] == OK)

    @cached_property
    def ranked(self) -> DataFrame:
        """Relaxed candidates with a rank, best first."""
        ranked = _rows(self.ok, self.ok["rank"].notna())
        return ranked if ranked["rank"].is_monotonic_increasing else ranked.sort_values("rank", kind="stable")

    @cached_property
    def not_ok(self) -> DataFrame:
        """Candidates that could not be evaluated, did not converge or were stopped early."""
        return _rows(self.frame, self.frame["status"] != OK)

    @cached_property
    def n_not_converged(self) -> int:
        """How many relaxations ran out of steps."""
        return int((self.frame["status"] == NOT_CONVERGED).sum())

    @cached_property
    def n_stopped_early(self) -> int:
        """How many relaxations a prescreening stopped."""
        return int((self.frame["status"] == STOPPED_EARLY).sum())

    @property
    def n_not_evaluated(self) -> int:
        """How many candidates have no energy."""
        return len(self.not_ok) - self.n_not_converged - self.n_stopped_early

    @cached_property
    def distances(self) -> list[float]:
        """Distances to the hull of relaxed candidates that have one, meV/atom, ascending."""
        return sorted(self.ok["distance_meV"].dropna().tolist())

    def n_within(self, threshold_meV: float) -> int:  # noqa: N803 (the unit's own capital)
        """How many candidates lie at most ``threshold_meV`` (meV/atom) above the hull, or below it."""
        return sum(distance <= threshold_meV for distance in self.distances)

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a part of the run's record; empty where it has none."""
        value = self.run.get(name)
        return value if isinstance(value, Mapping) else {}

    @property
    def self_consistent(self) -> bool:
        """Whether the references were evaluated with the model too."""
        return SELF_CONSISTENT in self.frame

    @property
    def hull_of_candidates(self) -> bool:
        """Whether candidates compete with each other, rather than with a fixed hull of references."""
        return self.section("references").get("hull") == "candidates"


def _rows(frame: DataFrame, wanted: Series) -> DataFrame:
    """The wanted rows; where they follow each other, as in a table sorted by rank, without a copy."""
    import numpy as np

    places = np.flatnonzero(wanted)
    if len(places) and places[-1] - places[0] < len(places):
        return frame.iloc[places[0] : places[-1] + 1]
    return frame.iloc[places]


def _digest(path: Path) -> hashlib._Hash:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise _cannot_read(path, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _cannot_read(path, error) from error


def _cannot_read(path: Path, error: OSError) -> InputError:
    return InputError(
        f"Cannot read {path} ({error.strerror}). Expected a results folder of 'uniscreen screen' with "
        "results.parquet and run.json."
    )


def _table(path: Path) -> DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pyarrow's own errors are subclasses of these
        raise InputError(f"{path} is not a Parquet table ({error}). Run 'uniscreen screen' again.") from error


def _require(table: DataFrame, columns: Iterable[str], path: Path) -> None:
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; expected the table that 'uniscreen screen' writes."
        )


def _run(raw: bytes, path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Run 'uniscreen screen' again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, expected a dict with the run's record.")
    return content


def _committee_columns(models: tuple[str, ...]) -> dict[str, str]:
    """The columns that a committee adds, with their pandas types; none where there is no committee."""
    each = {model_column(column, model): kind for model in models for column, kind in MODEL_TYPES.items()}
    return COMMITTEE_TYPES | each if models else {}


def _normalised(table: DataFrame, models: tuple[str, ...]) -> DataFrame:
    import numpy as np
    import pandas as pd

    frame = table.reset_index(drop=True)
    added = _committee_columns(models)
    for column in (*TEXT_COLUMNS, *(name for name, kind in added.items() if kind == "string")):
        frame[column] = frame[column].astype("string").fillna("")  # Arrow's, half as large as Python's
    for column in (*NUMBER_COLUMNS, *(name for name, kind in added.items() if kind != "string")):
        numbers = pd.to_numeric(frame[column], errors="coerce").astype("Float64").astype("float64")
        frame[column] = numbers.where(np.isfinite(numbers))
    # Rounded far below any meaning, so that 0.025 eV/atom counts as within 25 meV/atom.
    frame["lead_distance_meV"] = (frame["e_above_hull_eV_per_atom"] * 1000).round(9)
    mean = "_mean" if models else ""
    frame["distance_meV"] = (frame[f"e_above_hull{mean}_eV_per_atom"] * 1000).round(9)
    frame["formation_eV"] = frame[f"formation_energy{mean}_eV_per_atom"]
    return frame
