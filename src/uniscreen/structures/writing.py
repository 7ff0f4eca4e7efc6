"""Write a candidates table: one row a crystal, its structure as text in the row."""

from __future__ import annotations

import csv
import gzip
import io
import os
from typing import IO, TYPE_CHECKING, Any, Self

from uniscreen.errors import InputError
from uniscreen.structures.formats import is_gz

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from ase import Atoms

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text cell that begins with one of these for a formula."""


class CandidateWriter:
    """Writes a CSV that ``read_candidates`` reads: ``id``, the given columns, and ``poscar``, the crystal's text.

    The file appears whole when the block ends, and not at all if the block fails; ``.gz`` at the end of its name
    compresses it. Rows are written as they come, so that memory does not grow with them.

    >>> with CandidateWriter(Path("new.csv"), ["seed"]) as writer:  # doctest: +SKIP
    ...     writer.write("NaCl", atoms, {"seed": "mp-22862"})
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        check_writable(path)
        self.path = path
        self._columns = list(columns)
        self._temporary = path.with_name(f".{path.name}.tmp")

    def __enter__(self) -> Self:
        opened = gzip.open if is_gz(self.path.name) else open
        self._file: IO[str] = opened(self._temporary, "wt", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(["id", *map(harmless, self._columns), "poscar"])
        return self

    def write(self, name: str, atoms: Atoms | None, values: Mapping[str, Any]) -> None:
        """Write one row; a value that is None or missing is an empty cell, and so is a crystal that is None."""
        text = "" if atoms is None else poscar_text(atoms)
        self._csv.writerow([harmless(name), *(harmless(values.get(column)) for column in self._columns), text])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink()


def check_writable(path: Path, endings: tuple[str, ...] = (".csv", ".csv.gz")) -> None:
    """Check that a file with one of the ``endings`` can be written at a path, before anything long is done for it.

    Raises:
        InputError: the name has another ending or is that of a folder, or there is no such folder that can be written
            to.
    """
    if not path.name.lower().endswith(endings):
        raise InputError(f"{path} has no known ending; expected a name that ends in {' or '.join(endings)}.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}. Make it first.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: no permission to write to its folder. Give another.")


def harmless(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would run as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def poscar_text(atoms: Atoms) -> str:
    """Return a crystal as the text of a POSCAR, its atoms sorted by element."""
    from ase.io.vasp import write_vasp

    text = io.StringIO()
    write_vasp(text, atoms, direct=True, sort=True, vasp5=True)
    return text.getvalue()
