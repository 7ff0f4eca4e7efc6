"""Points of high symmetry in the Brillouin zone, by label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase.cell import Cell

from uniscreen.structures.symmetry import spglib_answer

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray

SYMPREC = 1e-3
"""Å: relaxed crystals have their symmetry only so far."""


def special_points(atoms: Atoms) -> tuple[dict[str, NDArray[np.float64]], int]:
    """The labels of Setyawan and Curtarolo, Comput. Mater. Sci. 49, 299 (2010), and the size of the primitive cell.

    The coordinates are in reciprocal vectors of spglib's primitive cell.

    Raises:
        ValueError: spglib finds no primitive cell.
    """
    import spglib

    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    found = spglib_answer(spglib.find_primitive, cell, symprec=SYMPREC)
    if found is None:
        raise ValueError("no primitive cell is found")
    return points_of(found[0]), len(found[2])


def points_of(cell: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The labelled points of a primitive cell (3, 3) Å, in its reciprocal vectors."""
    return dict(Cell(cell).bandpath(npoints=0).special_points)
