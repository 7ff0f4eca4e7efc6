"""Read candidates from entries in JSON, as the Materials Project gives them, and from multi-frame extxyz."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from uniscreen.errors import InputError, InvalidStructureError
from uniscreen.structures.formats import structure_format
from uniscreen.structures.frames import raw_value, split_frames
from uniscreen.structures.guard import describe, shorten
from uniscreen.structures.input_file import as_text
from uniscreen.structures.json_list import NoListError, list_elements
from uniscreen.structures.rows import ID_NAMES, Rows, ScalarColumns
from uniscreen.structures.spool import SpooledTexts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from uniscreen.structures.frames import Frame

ENTRY_ID_NAMES = ("entry_id", "material_id", "id", "candidate_id")
EXPECTED = "a list of pymatgen ComputedStructureEntry or Structure dicts, or an object with such a list as entries"


def read_entries(path: Path, file: IO[bytes]) -> Rows:
    """Read a JSON list of entries or structures; scalar values beside the structure become columns.

    Nothing that the file names is imported, and each structure stays text until it is loaded.

    Raises:
        InputError: it is not such a list.

    """
    _, stem = structure_format(path.name)
    ids: list[str] = []
    sources, columns, any_structure = SpooledTexts("json"), ScalarColumns(), False
    for k, entry in enumerate(_entries(path, file)):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: entry {k + 1} is a {type(entry).__name__}; expected {EXPECTED}.")
        any_structure = any_structure or "structure" in entry or "sites" in entry
        key = _id_key(entry)
        ids.append(_entry_id(entry, key, f"{stem}-{k}"))
        columns.append(_scalars(entry, key))
        sources.append(_structure_json(entry))
    if ids and not any_structure:
        raise InputError(f"{path}: no entry holds a structure; expected {EXPECTED}.")
    return Rows(ids, [f"entry {k}" for k in range(1, len(ids) + 1)], sources, columns.frame())


def _entries(path: Path, file: IO[bytes]) -> Iterator[Any]:
    try:
        with as_text(file) as text:
            yield from list_elements(text, "entries")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {shorten(describe(error))}") from error
    except NoListError as error:
        raise InputError(f"{path}: expected {EXPECTED}.") from error


def _id_key(entry: dict[str, Any]) -> str | None:
    return next((key for key in ENTRY_ID_NAMES if entry.get(key) is not None), None)


def _entry_id(entry: dict[str, Any], key: str | None, default: str) -> str:
    if key is None:
        extra = entry.get("data")
        found = extra.get("material_id") if isinstance(extra, dict) else None
        return default if found is None else str(found).strip()
    return str(entry[key]).strip()


def _scalars(entry: dict[str, Any], id_key: str | None) -> dict[str, Any]:
    """Return what is carried through: an entry's scalar values; a bare structure has none."""
    if "sites" in entry:
        return {}
    return {
        key: value
        for key, value in entry.items()
        if key not in (id_key, "structure")
        and not key.startswith("@")
        and (value is None or isinstance(value, str | int | float))
    }


def _structure_json(entry: dict[str, Any]) -> str:
    return json.dumps(entry if "sites" in entry else entry.get("structure"))


def read_frames(path: Path, file: IO[bytes]) -> Rows:
    """Read a multi-frame extxyz; scalar values of the comment lines become columns, arrays do not.

    The ids are those of the comment lines if every frame has one, else ``<stem>-0``, ``<stem>-1`` ...

    Raises:
        InputError: a frame is cut short or its header is not readable.

    """
    _, stem = structure_format(path.name)
    ids: dict[str, list[str]] = {name: [] for name in ID_NAMES}
    places: list[str] = []
    sources, columns = SpooledTexts("extxyz"), ScalarColumns()
    for k, frame in enumerate(_frames(path, file), start=1):
        info = _info(frame)
        raw = {name: raw_value(frame.comment, name) for name in ids}
        ids = {name: found for name, found in ids.items() if raw[name] is not None}
        for name, found in ids.items():
            found.append(raw[name] or "")
        places.append(f"frame {k} (line {frame.line})")
        columns.append(info)
        sources.append(frame.text)
    key = next(iter(ids), None)
    if key is None or not places:
        return Rows([f"{stem}-{k}" for k in range(len(places))], places, sources, columns.frame())
    return Rows(ids[key], places, sources, columns.frame().drop(columns=key, errors="ignore"))


def _frames(path: Path, file: IO[bytes]) -> Iterator[Frame]:
    try:
        with as_text(file) as text:
            yield from split_frames(line.rstrip("\n") for line in text)
    except InvalidStructureError as error:
        raise InputError(f"{path}: {error}") from error


def _info(frame: Frame) -> dict[str, Any]:
    """Return the scalar values of a comment line; one that is not readable fails when its frame is loaded."""
    import numpy as np
    from ase.io.extxyz import key_val_str_to_dict

    try:
        values = key_val_str_to_dict(frame.comment)
    except Exception:  # ASE raises many types here; loading the frame reports it for this candidate
        return {}
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
    if (group := raw_value(frame.comment, "group")) is not None:
        plain["group"] = group
    hidden = ("Lattice", "Properties", "pbc")
    return {k: v for k, v in plain.items() if k not in hidden and isinstance(v, str | int | float)}
