"""The symmetric crystal that a frame is, or is a distortion of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ase import Atoms

from uniscreen.structures.symmetry import spglib_answer

if TYPE_CHECKING:
    from typing import Any

AS_GIVEN = 0.01
"""Å: within it a crystal is symmetric as given, and stays what it is."""

TOLERANCES = (0.1, 0.2, 0.3)
"""Å, tried in turn for one that is not; thermal displacements reach the last."""

LEAST_OPERATIONS = 8
"""Of the point group that is found within TOLERANCES: a hot frame of any crystal has one of two or four by accident."""

TRICLINIC = 2
"""Space groups up to this number fix no angle and, but for inversion, no site."""

MAX_CONVENTIONAL = 32
"""Atoms of a conventional cell; of larger ones the primitive cell is taken."""

SAME_SYMMETRY = 0.1
"""Å, the tolerance for symmetries before and after a relaxation: the Materials Project's."""


class Symmetry(NamedTuple):
    """Space group, and the order of its point group."""

    symbol: str
    number: int
    operations: int

    def __str__(self) -> str:
        return f"{self.symbol} ({self.number})"


def parent_of(atoms: Atoms) -> Atoms | None:
    """The idealised cell of the crystal that a frame is within the smallest tolerance that finds one.

    It is the conventional cell unless that is large. None for a frame that is not periodic in all directions, or in
    which no symmetry is found: as given one beyond inversion, else one of LEAST_OPERATIONS.
    """
    if not atoms.pbc.all():
        return None
    for tolerance in (AS_GIVEN, *TOLERANCES):
        found = symmetry(atoms, tolerance)
        least = 1 if tolerance == AS_GIVEN else LEAST_OPERATIONS
        if found is None or found.number <= TRICLINIC or found.operations < least:
            continue
        ideal = _idealised(atoms, tolerance)
        kept = None if ideal is None else symmetry(ideal)
        if kept is not None and kept.operations >= found.operations:  # spglib may find one, and then make another
            return ideal
    return None


def symmetry(atoms: Atoms, tolerance: float = SAME_SYMMETRY) -> Symmetry | None:
    """The symmetry of a periodic structure within a tolerance in Å; None where spglib finds none."""
    import spglib

    primitive = spglib_answer(spglib.find_primitive, _cell(atoms), symprec=tolerance)
    if primitive is None:
        return None
    dataset = spglib_answer(spglib.get_symmetry_dataset, primitive, symprec=tolerance)
    return None if dataset is None else Symmetry(dataset.international, dataset.number, len(dataset.rotations))


def _idealised(atoms: Atoms, tolerance: float) -> Atoms | None:
    """The standard cell with every atom on its site; None where spglib cannot make one of the same composition."""
    import spglib

    for to_primitive in (False, True):
        cell = spglib_answer(spglib.standardize_cell, _cell(atoms), to_primitive=to_primitive, symprec=tolerance)
        if cell is not None and (to_primitive or len(cell[2]) <= MAX_CONVENTIONAL):
            lattice, positions, numbers = cell
            ideal = Atoms(numbers=numbers, scaled_positions=positions, cell=lattice, pbc=True)
            same = ideal.get_chemical_formula(empirical=True) == atoms.get_chemical_formula(empirical=True)
            return ideal if same else None
    return None


def _cell(atoms: Atoms) -> Any:
    return atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
