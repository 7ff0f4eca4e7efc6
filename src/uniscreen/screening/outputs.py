"""The files of a finished run."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

from uniscreen.durable import replacing, write_json
from uniscreen.structures.writing import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd

    from uniscreen.screening.record import Record

ROWS_AT_A_TIME = 10_000
"""Rows that become text before they are written."""


def write_outputs(
    folder: Path, table: pd.DataFrame, records: Mapping[str, Record], provenance: Mapping[str, Any]
) -> None:
    """Write results.csv, results.parquet, relaxed.extxyz and run.json; ``records`` by id."""
    with replacing(folder / "results.csv") as file:
        _write_csv(table, file)
    with replacing(folder / "results.parquet") as file:
        table.to_parquet(file, index=False)
    with replacing(folder / "relaxed.extxyz") as file:
        _write_extxyz((records[name] for name in table["id"]), file)
    write_json(folder / "run.json", provenance)


def csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as CSV; text that a spreadsheet would run as a formula gets a leading apostrophe, numbers never do."""
    buffer = io.BytesIO()
    _write_csv(table, buffer)
    return buffer.getvalue()


def _write_csv(table: pd.DataFrame, file: IO[bytes]) -> None:
    import pandas as pd

    for start in range(0, max(len(table), 1), ROWS_AT_A_TIME):
        safe = table.iloc[start : start + ROWS_AT_A_TIME].copy()
        for name in safe.columns:
            if not (pd.api.types.is_numeric_dtype(safe[name]) or pd.api.types.is_bool_dtype(safe[name])):
                safe[name] = safe[name].map(harmless, na_action="ignore")
        safe.columns = [harmless(name) for name in safe.columns]
        file.write(safe.to_csv(index=False, header=start == 0, lineterminator="\n").encode())


def _write_extxyz(records: Iterable[Record], file: IO[bytes]) -> None:
    """Write the relaxed structures, in order, with id, status and the model's total energy (eV)."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_extxyz

    text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
    for record in records:
        if record.crystal is None:
            continue
        atoms = record.crystal.atoms()
        atoms.info = {"id": record.id, "status": record.status}
        moments = record.crystal.magnetic_moments
        results = {"energy": record.energy} | ({} if moments is None else {"magmoms": moments})
        atoms.calc = SinglePointCalculator(atoms, **results)
        write_extxyz(text, [atoms])
    text.detach()
