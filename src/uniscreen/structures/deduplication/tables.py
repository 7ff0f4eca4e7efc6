"""Write what is left of a candidates table without its duplicates, and which row repeats which."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from uniscreen.errors import StructureError
from uniscreen.structures.deduplication.duplicates import LIMITS
from uniscreen.structures.formats import without_gz
from uniscreen.structures.rows import ID_NAMES, carried_names
from uniscreen.structures.tables import STRUCTURE_NAMES
from uniscreen.structures.writing import CandidateWriter, harmless

if TYPE_CHECKING:
    from pathlib import Path

    from uniscreen.structures.candidate import CandidateTable
    from uniscreen.structures.deduplication.duplicates import Duplicates


def write_unique(table: CandidateTable, found: Duplicates, path: Path, *, against: bool) -> Path:
    """Write the candidates that repeat no other one, and beside it the list of those that do; returns its path.

    The columns of the table follow its ids, then ``duplicates`` (ids that a row stands for, separated by ``;``),
    ``novelty`` (``known`` or ``new``) and ``known_as`` (the reference's id) where there was something to compare
    with, and ``not_compared`` (why a row could not be compared). The list has ``id`` and ``duplicate_of``.

    Raises:
        InputError: there is no such folder, or the name is not that of a CSV.
    """
    repeats: dict[int, list[str]] = defaultdict(list)
    for row, kept in found.duplicate_of.items():
        repeats[kept].append(table.candidates[row].id)
    own = ["duplicates", *(["novelty", "known_as"] if against else []), "not_compared"]
    taken = {*own, *ID_NAMES[:1], *STRUCTURE_NAMES}
    names = carried_names(table.columns.columns, taken)
    carried = {new: table.columns[name] for new, name in zip(names, table.columns.columns, strict=True)}
    with CandidateWriter(path, [*carried, *own]) as writer:
        for row, candidate in enumerate(table):
            if row in found.duplicate_of:
                continue
            reason = found.not_compared.get(row)
            values: dict[str, Any] = {name: _cell(column.iloc[row]) for name, column in carried.items()}
            values |= {"duplicates": ";".join(repeats.get(row, ())), "not_compared": reason}
            if against and reason is None:
                values |= {"novelty": "known" if row in found.known_as else "new", "known_as": found.known_as.get(row)}
            try:
                atoms = candidate.source.load(LIMITS)
            except StructureError:  # its reason is in the row
                atoms = None
            writer.write(candidate.id, atoms, values)
    return _write_list(table, found, path)


def _write_list(table: CandidateTable, found: Duplicates, path: Path) -> Path:
    """Write which row repeats which."""
    stem = without_gz(path.name)[: -len(".csv")]
    place = path.with_name(f"{stem}-duplicates.csv")
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "duplicate_of"])
        for row, kept in found.duplicate_of.items():
            writer.writerow([harmless(table.candidates[row].id), harmless(table.candidates[kept].id)])
    return place


def _cell(value: Any) -> Any:
    """Return a value of a table as it is written; a missing one is None."""
    import pandas as pd

    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value
