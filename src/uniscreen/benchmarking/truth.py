"""True energies of a benchmark: columns of its structures' file, or of another table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.errors import InputError
from uniscreen.structures.rows import ID_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from uniscreen.structures import CandidateTable

FORMATION_ENERGY = (
    "e_form_per_atom_mp2020_corrected",
    "corrected_formation_energy_per_atom",
    "e_form_per_atom",
    "dft_formation_energy_eV_per_atom",
)
"""Columns of true formation energies (eV/atom, corrected): of WBM's summary, of its excerpts, of MP entries."""

E_ABOVE_HULL = ("e_above_hull_mp2020_corrected_ppd_mp", "e_above_hull", "dft_e_above_hull_eV_per_atom")
"""Columns of true distances to the hull (eV/atom), likewise."""


@dataclass(frozen=True)
class Truth:
    """True energies of the structures, in their order, NaN where there is none; and the names of their columns.

    ``source`` names the file. ``hull_column`` is None where no distances to the hull are known.
    """

    formation_energy: pd.Series[float]
    e_above_hull: pd.Series[float]
    formation_column: str
    hull_column: str | None
    source: str

    @property
    def has_hull(self) -> bool:
        """Whether any distance to the hull is known."""
        return self.hull_column is not None


def read_truth(
    structures: CandidateTable,
    file: Path | None = None,
    formation_column: str | None = None,
    hull_column: str | None = None,
) -> Truth:
    """Take the true energies from the structures' own columns, or by id from a CSV or Parquet ``file``.

    The columns are the first of FORMATION_ENERGY and E_ABOVE_HULL that there are, unless they are named.

    Raises:
        InputError: there is no such file or column, a value is no number, or no structure has a formation energy.
    """
    import pandas as pd

    table = structures.columns if file is None else _by_id(file).reindex([one.id for one in structures])
    source = structures.name if file is None else file.name
    formation = _column(table, source, formation_column, FORMATION_ENERGY, "formation energies")
    if formation is None:
        raise InputError(
            f"{source} has no column of true formation energies; expected {', '.join(FORMATION_ENERGY)}, or name it "
            f"with --truth-formation-energy. Its columns: {', '.join(map(str, table.columns)) or 'none'}."
        )
    hull = _column(table, source, hull_column, E_ABOVE_HULL, "hull distances")
    energies = _numbers(table, formation, source)
    if energies.isna().all():
        raise InputError(f"{source}: no structure has a value in the column {formation}; do the ids agree?")
    distances = pd.Series(float("nan"), index=energies.index) if hull is None else _numbers(table, hull, source)
    return Truth(energies, distances, formation, hull, source)


def _by_id(file: Path) -> pd.DataFrame:
    import pandas as pd

    if not file.is_file():
        raise InputError(f"--truth {file} does not exist; expected a CSV or Parquet table with a column of ids.")
    name = file.name.lower()
    ids = dict.fromkeys(ID_NAMES, str)  # 001 stays 001, as in the structures' file
    try:
        table = pd.read_parquet(file) if name.endswith(".parquet") else pd.read_csv(file, low_memory=False, dtype=ids)
    except Exception as error:  # both readers raise many types for a damaged file
        raise InputError(f"--truth {file} cannot be read: {type(error).__name__}: {error}") from error
    key = next((key for key in ID_NAMES if key in table.columns), None)
    if key is None:
        raise InputError(f"--truth {file} has no id column; expected one of {', '.join(ID_NAMES)}.")
    table[key] = table[key].astype(str).str.strip()
    if table[key].duplicated().any():
        raise InputError(f"--truth {file} has the id {table.loc[table[key].duplicated(), key].iloc[0]!r} twice.")
    return table.set_index(key)


def _column(table: pd.DataFrame, source: str, given: str | None, known: Sequence[str], what: str) -> str | None:
    if given is None:
        return next((name for name in known if name in table.columns), None)
    if given not in table.columns:
        raise InputError(f"{source} has no column {given!r} of true {what}. Its columns: {', '.join(table.columns)}.")
    return given


def _numbers(table: pd.DataFrame, column: str, source: str) -> pd.Series[float]:
    import pandas as pd

    try:
        return pd.to_numeric(table[column]).astype("float64").reset_index(drop=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: the column {column} holds something that is no number ({error}).") from error
