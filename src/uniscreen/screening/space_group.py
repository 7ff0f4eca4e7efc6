"""Space groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.structures.symmetry import spglib_answer

if TYPE_CHECKING:
    from ase import Atoms

SYMPREC = 0.1
"""Å. The Materials Project's tolerance, loose enough for structures relaxed to 0.05 eV/Å."""


def space_group(atoms: Atoms) -> str:
    """Symbol and number, e.g. ``Fm-3m (225)``; empty where spglib finds none."""
    import spglib

    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    return (spglib_answer(spglib.get_spacegroup, cell, symprec=SYMPREC) or "").strip()
