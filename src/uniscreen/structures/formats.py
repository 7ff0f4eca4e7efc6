"""Which structure format a file has, by its name alone: contents are never sniffed."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final, Literal

StructureFormat = Literal["cif", "poscar", "extxyz", "json"]

SUFFIXES: Final[dict[str, StructureFormat]] = {
    ".cif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".json": "json",
}
ACCEPTED: Final = f"{', '.join(SUFFIXES)} or a name beginning with POSCAR or CONTCAR, each also with .gz"


def structure_format(name: str) -> tuple[StructureFormat | None, str]:
    """Return the format of a file of this name (None: no structure file), and the name without its suffix."""
    base = without_gz(PurePath(name).name)
    suffix = PurePath(base).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix], base[: -len(suffix)]
    if base.startswith(("POSCAR", "CONTCAR")):
        return "poscar", base
    return None, base


def is_gz(name: str) -> bool:
    """Whether the file name says that the file is compressed with gzip."""
    return name.lower().endswith(".gz")


def without_gz(name: str) -> str:
    """Return the file name without a final ``.gz``."""
    return name[:-3] if is_gz(name) else name
