"""Read candidates from a CSV or Parquet table."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.structures.csv_table import CsvTable
from uniscreen.structures.guard import describe, shorten
from uniscreen.structures.rows import ID_NAMES, Rows
from uniscreen.structures.sources import MATERIAL_ID, FileSource, IdSource
from uniscreen.structures.spool import SpooledTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pyarrow.parquet import ParquetFile

    from uniscreen.structures.candidate import StructureSource

STRUCTURE_NAMES = ("structure", "cif", "poscar")

ROWS_AT_A_TIME = 1_000
"""Rows of a Parquet table whose structures are in memory."""


def read_csv(path: Path, file: IO[bytes]) -> Rows:
    """Read a comma-separated table in UTF-8 with a header line; paths in it are relative to its folder.

    It is read in several passes, so that only ids, paths and carried columns are in memory.

    Raises:
        InputError: it is no such table, or lacks an id or a structure column.

    """
    table = CsvTable(path, file)
    keys = _key_columns(path, table.header, table.values)
    ids = [given.strip() for given in table.values(keys[0])]
    others = [k for k, name in enumerate(table.header) if name not in _used(keys)]
    places = [f"line {line}" for line in table.lines]
    return Rows(ids, places, _sources(path, keys[1], table.values(keys[1])), table.frame(others))


def read_parquet(path: Path, file: IO[bytes]) -> Rows:
    """Read a Parquet table with the columns of a CSV; an index that has a name is a column like others.

    Raises:
        InputError: it is no such table, or lacks an id or a structure column.

    """
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        others = [name for name in names if name not in STRUCTURE_NAMES]
        frame = table.read(columns=others, use_pandas_metadata=True).to_pandas()
    except Exception as error:  # pyarrow raises many types for a damaged file
        raise InputError(f"{path} cannot be read as Parquet: {shorten(describe(error))}") from error
    index = [name for name in frame.index.names if name is not None and name not in {*frame.columns, *STRUCTURE_NAMES}]
    if index:
        frame = frame.reset_index(level=index)
    structures = [name for name in names if name in STRUCTURE_NAMES]
    keys = _key_columns(path, [*map(str, frame.columns), *structures], lambda name: map(_text, frame[name]))
    ids = [_text(value) for value in frame[keys[0]]]
    values = _values(table, keys[1]) if keys[1] in structures else frame[keys[1]]
    texts = (_structure_text(path, k, value) for k, value in enumerate(values, start=1))
    columns = frame.drop(columns=keys[0]).reset_index(drop=True)
    places = [f"row {k}" for k in range(1, len(frame) + 1)]
    return Rows(ids, places, _sources(path, keys[1], texts), columns)


def _values(table: ParquetFile, column: str) -> Iterator[Any]:
    """The values of one column; only some rows of it are in memory at a time."""
    for batch in table.iter_batches(ROWS_AT_A_TIME, columns=[column]):
        yield from batch.column(0).to_pylist()


def _key_columns(path: Path, names: Sequence[str], values: Callable[[str], Iterable[str]]) -> tuple[str, str]:
    """Return the names of the id column and the structure column.

    Without any structure, ids of the Materials Project stand for it; ``values`` gives those of a column.
    """
    found = ", ".join(shorten(name, 40) for name in names) or "none"
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise InputError(f"{path}: two columns are called {shorten(twice[0], 40)!r}; give each its own name.")
    ids = [name for name in ID_NAMES if name in names]
    if not ids:
        raise InputError(f"{path} has no id column; expected one of {', '.join(ID_NAMES)}. Its columns: {found}.")
    structures = [name for name in STRUCTURE_NAMES if name in names]
    materials = "material_id" if "material_id" in names else ids[0]
    if not structures and any(MATERIAL_ID.fullmatch(given.strip()) for given in values(materials)):
        return ids[0], materials
    if len(structures) != 1:
        raise InputError(
            f"{path} has {len(structures)} structure columns ({', '.join(structures) or 'none'}); expected "
            "exactly one of structure (a file's path), cif or poscar (its text), or none and ids of the Materials "
            f"Project such as mp-149. Its columns: {found}."
        )
    return ids[0], structures[0]


def _used(keys: tuple[str, str]) -> set[str]:
    """Return the columns that are not carried through: the id, and the structure where it is not named by an id."""
    return {keys[0], *({keys[1]} & {*STRUCTURE_NAMES})}


def _sources(path: Path, column: str, structures: Iterable[str]) -> Sequence[StructureSource]:
    if column not in STRUCTURE_NAMES:
        return [IdSource(given.strip()) for given in structures]
    if column == "structure":
        root = path.parent.resolve()
        return [FileSource(root, given.strip()) for given in structures]
    return SpooledTexts("cif" if column == "cif" else "poscar", structures)


def _text(value: Any) -> str:
    """Return a value as text; a missing one is empty."""
    import pandas as pd

    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip()


def _structure_text(path: Path, row: int, value: Any) -> str:
    if isinstance(value, str):
        return value
    if _text(value):
        raise InputError(f"{path}: row {row} has a {type(value).__name__} for its structure; expected text.")
    return ""
