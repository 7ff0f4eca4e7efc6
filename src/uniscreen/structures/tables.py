"""Read candidates from a CSV or Parquet table."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.structures.guard import describe, shorten
from uniscreen.structures.rows import ID_NAMES, Rows
from uniscreen.structures.sources import MATERIAL_ID, FileSource, IdSource, TextSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from uniscreen.structures.candidate import StructureSource

STRUCTURE_NAMES = ("structure", "cif", "poscar")


def read_csv(path: Path, data: bytes) -> Rows:
    """Read a comma-separated table in UTF-8 with a header line; paths in it are relative to its folder.

    Raises:
        InputError: it is no such table, or lacks an id or a structure column.

    """
    import pandas as pd

    header, records, lines = _split_csv(path, data)

    def values(name: str) -> list[str]:
        return [record[header.index(name)] for record in records]

    keys = _key_columns(path, header, values)
    ids, structures = map(values, keys)
    others = [k for k, name in enumerate(header) if name not in _used(keys)]
    text = StringIO(newline="")
    csv.writer(text).writerows([record[k] for k in others] for record in [header, *records])
    text.seek(0)
    try:
        columns = pd.read_csv(text, low_memory=False, skip_blank_lines=False) if others else None
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path} cannot be read as CSV: {shorten(describe(error))}") from error
    if columns is None:
        columns = pd.DataFrame(index=pd.RangeIndex(len(records)))
    assert len(columns) == len(records)
    places = [f"line {line}" for line in lines]
    return Rows([given.strip() for given in ids], places, _sources(path, keys[1], structures), columns)


def read_parquet(path: Path, data: bytes) -> Rows:
    """Read a Parquet table with the columns of a CSV; an index with the name of an id column counts as one.

    Raises:
        InputError: it is no such table, or lacks an id or a structure column.

    """
    import pandas as pd

    try:
        frame = pd.read_parquet(BytesIO(data))
    except Exception as error:  # pyarrow raises many types for a damaged file
        raise InputError(f"{path} cannot be read as Parquet: {shorten(describe(error))}") from error
    if frame.index.name in ID_NAMES and frame.index.name not in frame.columns:
        frame = frame.reset_index()
    keys = _key_columns(path, [str(name) for name in frame.columns], lambda name: list(map(_text, frame[name])))
    ids = [_text(value) for value in frame[keys[0]]]
    structures = [_structure_text(path, k, value) for k, value in enumerate(frame[keys[1]], start=1)]
    columns = frame.drop(columns=list(_used(keys))).reset_index(drop=True)
    places = [f"row {k}" for k in range(1, len(frame) + 1)]
    return Rows(ids, places, _sources(path, keys[1], structures), columns)


def _split_csv(path: Path, data: bytes) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header, the records, and the line of the file on which each record begins."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as CSV UTF-8.") from error
    records, lines = [], []
    with _long_fields(len(text)):
        reader = csv.reader(StringIO(text, newline=""), strict=True)
        begin = 1
        try:
            for record in reader:
                if any(record) if len(record) > 1 else record and record[0].strip():
                    records.append(record)
                    lines.append(begin)
                begin = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{path}: the record that begins on line {begin} is not CSV: {error}") from error
    if not records:
        raise InputError(f"{path} is empty; expected a header line and one line a candidate.")
    header = [name.strip() for name in records[0]]
    for record, line in zip(records, lines, strict=True):
        if len(record) != len(header):
            raise InputError(f"{path}: line {line} has {len(record)} fields; the header has {len(header)}.")
    return header, records[1:], lines[1:]


@contextmanager
def _long_fields(length: int) -> Iterator[None]:
    """Let the csv module read fields as long as an inline CIF; its limit is global, so it is put back."""
    previous = csv.field_size_limit(max(length, 1))
    try:
        yield
    finally:
        csv.field_size_limit(previous)


def _key_columns(path: Path, names: Sequence[str], values: Callable[[str], Sequence[str]]) -> tuple[str, str]:
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


def _sources(path: Path, column: str, structures: Sequence[str]) -> list[StructureSource]:
    if column not in STRUCTURE_NAMES:
        return [IdSource(given.strip()) for given in structures]
    if column == "structure":
        root = path.parent.resolve()
        return [FileSource(root, given.strip()) for given in structures]
    return [TextSource(given, "cif" if column == "cif" else "poscar") for given in structures]


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
