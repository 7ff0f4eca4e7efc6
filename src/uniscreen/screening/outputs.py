"""The files of a finished run."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from uniscreen.durable import write_atomically
from uniscreen.structures.writing import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from uniscreen.screening.record import Record


def write_outputs(
    folder: Path, table: pd.DataFrame, records: Mapping[str, Record], provenance: Mapping[str, Any]
) -> None:
    """Write results.csv, results.parquet, relaxed.extxyz and run.json; ``records`` by id."""
    write_atomically(folder / "results.csv", csv_bytes(table))
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomically(folder / "results.parquet", buffer.getvalue())
    evaluated = [records[name] for name in table["id"] if records[name].crystal is not None]
    write_atomically(folder / "relaxed.extxyz", _extxyz(evaluated))
    write_atomically(folder / "run.json", json.dumps(provenance, indent=2).encode() + b"\n")


def csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as CSV; text that a spreadsheet would run as a formula gets a leading apostrophe, numbers never do."""
    import pandas as pd

    safe = table.copy()
    for name in safe.columns:
        if not (pd.api.types.is_numeric_dtype(safe[name]) or pd.api.types.is_bool_dtype(safe[name])):
            safe[name] = safe[name].map(harmless, na_action="ignore")
    safe.columns = [harmless(name) for name in safe.columns]
    return safe.to_csv(index=False, lineterminator="\n").encode()


def _extxyz(records: Sequence[Record]) -> bytes:
    """The relaxed structures in order of rank, with id, status and the model's total energy (eV)."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_extxyz

    frames = []
    for record in records:
        assert record.crystal is not None
        atoms = record.crystal.atoms()
        atoms.info = {"id": record.id, "status": record.status}
        moments = record.crystal.magnetic_moments
        results = {"energy": record.energy} | ({} if moments is None else {"magmoms": moments})
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    text = io.StringIO()
    if frames:
        write_extxyz(text, frames)
    return text.getvalue().encode()
