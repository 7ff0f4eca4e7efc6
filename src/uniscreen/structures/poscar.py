"""Read a POSCAR.

pymatgen's reader is not used: it invents elements where the file names none (H, He, Li ...), scales Cartesian
positions wrongly under a negative scale factor, and stops at the declared number of atoms without saying that
more follow. Format: https://www.vasp.at/wiki/POSCAR
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.crystal import atomic_number, check_count, crystal
from uniscreen.structures.guard import shorten

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.structures.candidate import ReadLimits


@dataclass
class _Lines:
    """The lines of a POSCAR and the place reached."""

    lines: list[str]
    at: int = 0

    def next(self, what: str) -> list[str]:
        """Return the words of the next line."""
        if self.at >= len(self.lines):
            raise InvalidStructureError(f"the POSCAR ends after line {len(self.lines)}; expected {what}.")
        self.at += 1
        return self.lines[self.at - 1].split()

    def peek(self) -> list[str]:
        """Return the words of the next line without passing it; none at the end."""
        return self.lines[self.at].split() if self.at < len(self.lines) else []

    def wrong(self, what: str) -> InvalidStructureError:
        """Return the error for the line just passed."""
        found = shorten(self.lines[self.at - 1].strip(), 60)
        return InvalidStructureError(f"POSCAR line {self.at} is {found!r}; expected {what}.")


def parse_poscar(text: str, limits: ReadLimits) -> Atoms:
    """Read a POSCAR (VASP 5 or 6, or VASP 4 with a symbol after each position); velocities are ignored.

    Raises:
        InvalidStructureError: a line is not what the format says, or the elements are not named.
        TooLargeError: the counts line declares more than ``limits.max_atoms`` atoms.

    """
    lines = _Lines(text.splitlines())
    lines.next("a title")
    factors = _leading_floats(lines.next("a scale factor"))
    if len(factors) not in (1, 3) or 0.0 in factors or (len(factors) == 3 and min(factors) < 0.0):
        raise lines.wrong("a scale factor that is not zero, or three positive ones")
    lattice = np.array([_vector(lines, "a lattice vector of three numbers") for _ in range(3)])
    symbols, counts = _composition(lines)
    n_atoms = sum(counts)
    check_count(n_atoms, limits)
    selective = (lines.peek() or [""])[0][:1] in ("s", "S")
    if selective:
        lines.next("Selective dynamics")
    mode = "".join(lines.next("Direct or Cartesian"))[:1].lower()
    if mode not in ("d", "c", "k"):
        raise lines.wrong("Direct or Cartesian")
    coordinates, tails = _coordinates(lines, n_atoms)
    if not symbols:
        symbols, counts = _trailing_symbols(tails, skip=3 if selective else 0), [1] * n_atoms
    numbers = [atomic_number(s) for s, n in zip(symbols, counts, strict=True) for _ in range(n)]
    scale = _scale(factors, lattice)
    positions = coordinates @ (lattice * scale) if mode == "d" else coordinates * scale
    return crystal(numbers, positions, lattice * scale)


def _leading_floats(words: list[str]) -> list[float]:
    """Return the numbers at the start of a line; what follows them is a comment."""
    numbers: list[float] = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            break
    return numbers


def _leading_counts(words: list[str]) -> list[int]:
    counts: list[int] = []
    for word in words:
        if not word.isdecimal() or len(word) > 15:
            break
        counts.append(int(word))
    return counts


def _vector(lines: _Lines, what: str) -> list[float]:
    numbers = _leading_floats(lines.next(what)[:3])
    if len(numbers) != 3:
        raise lines.wrong(what)
    return numbers


def _composition(lines: _Lines) -> tuple[list[str], list[int]]:
    """Return the element symbols (empty in a VASP 4 file) and how many atoms each has.

    VASP wraps both after 20 groups, and writes ``Fe_pv/<hash>`` for ``Fe``.
    """
    what = "element symbols or the number of atoms of each element"
    symbols: list[str] = []
    counts = _leading_counts(words := lines.next(what))
    while not counts:
        if not words or not words[0][0].isalpha():
            raise lines.wrong(what)
        for word in words:
            if word[0] in "!#":
                break
            symbols.append(word.split("/")[0].split("_")[0])
        counts = _leading_counts(words := lines.next(what))
    while len(counts) < len(symbols) and (more := _leading_counts(lines.peek())):
        lines.next(what)
        counts += more
    if symbols and len(symbols) != len(counts):
        raise lines.wrong(f"{len(symbols)} numbers of atoms, one for each element symbol")
    return symbols, counts


def _coordinates(lines: _Lines, n_atoms: int) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Return the coordinates (n, 3) as written, and the words after them on each line."""
    coordinates, tails = [], []
    for k in range(n_atoms):
        what = f"the three coordinates of atom {k + 1} of {n_atoms}"
        coordinates.append(_vector(lines, what))
        tails.append(lines.lines[lines.at - 1].split()[3:])
    if len(_leading_floats(lines.peek()[:3])) == 3:
        lines.at += 1
        raise lines.wrong(f"the end or a blank line after {n_atoms} positions, which is what the counts line says")
    return np.array(coordinates), tails


def _trailing_symbols(tails: list[list[str]], skip: int) -> list[str]:
    if any(len(tail) <= skip for tail in tails):
        raise InvalidStructureError(
            "the POSCAR names no elements (VASP 4). Add a line of element symbols above the numbers of atoms."
        )
    return [tail[skip] for tail in tails]


def _scale(factors: list[float], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor for each Cartesian axis, (3,); a single negative one is minus the volume in Å³."""
    if len(factors) == 1 and factors[0] < 0.0:
        volume = abs(float(np.linalg.det(lattice)))
        if volume == 0.0:
            raise InvalidStructureError("the lattice vectors lie in one plane, so the cell has no volume.")
        return np.full(3, (-factors[0] / volume) ** (1 / 3))
    return np.broadcast_to(np.array(factors), (3,))
