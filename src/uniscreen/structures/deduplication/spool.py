"""Crystals kept on disk between two passes over them, so that memory does not grow with their number."""

from __future__ import annotations

import pickle
import tempfile
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from ase import Atoms


class CrystalSpool:
    """A temporary file of crystals by name; only places in it are in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._places: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, name: int, atoms: Atoms) -> None:
        """Keep the elements, positions and cell of a crystal."""
        self._places[name] = self._file.seek(0, 2)
        pickle.dump((atoms.numbers, atoms.positions, atoms.cell.array), self._file, pickle.HIGHEST_PROTOCOL)

    def get(self, name: int) -> Atoms:
        """Read a crystal back."""
        from ase import Atoms

        self._file.seek(self._places[name])
        numbers, positions, cell = pickle.load(self._file)  # noqa: S301  # only this process has written it
        return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=True)
