"""Checks that the energy does not depend on how a crystal is written down, and what follows for forces and stress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from uniscreen.potentials.testing.result import Deviation, Subject, largest
from uniscreen.potentials.testing.structures import LOW_SYMMETRY, ONE_ATOM

if TYPE_CHECKING:
    from collections.abc import Iterator

REPEATS = (2, 1, 2)
"""How often a cell is repeated along each lattice vector to make the supercell."""

TURN = Rotation.from_euler("zyx", [0.4, 1.1, -2.0]).as_matrix()
"""A rotation about no axis in particular."""

RIGID_SHIFT = np.array([0.3, -1.7, 11.0])
"""Å, out of the cell in two directions."""


def supercell(subject: Subject) -> Iterator[Deviation]:
    """A supercell of n cells has n times the energy, and each copy of an atom the same force."""
    n_cells = int(np.prod(REPEATS))
    for name in (ONE_ATOM, *LOW_SYMMETRY):
        single, repeated = subject.alone([subject.structures[name], subject.structures[name] * REPEATS])
        expected = single._replace(
            energy=n_cells * single.energy,
            forces=np.tile(single.forces, (n_cells, 1)),
            stress=repeated.stress,  # an error in its volume is the business of the check of derivatives
            magnetic_moments=None,
        )
        yield from subject.compare(repeated, expected, name)


def rotation(subject: Subject) -> Iterator[Deviation]:
    """The energy is the same for a crystal that is turned; its forces and stress turn with it."""
    for name in LOW_SYMMETRY:
        atoms = subject.structures[name]
        turned = atoms.copy()
        turned.set_cell(atoms.cell.array @ TURN.T, scale_atoms=True)
        original, result = subject.alone([atoms, turned])
        expected = original._replace(forces=original.forces @ TURN.T, stress=TURN @ original.stress @ TURN.T)
        yield from subject.compare(result, expected, name)


def permutation(subject: Subject) -> Iterator[Deviation]:
    """The energy does not depend on the order of the atoms; forces follow their atoms."""
    for name in LOW_SYMMETRY:
        atoms = subject.structures[name]
        order = np.roll(np.arange(len(atoms))[::-1], 2)  # neither sorted backwards nor with the same atom first
        original, result = subject.alone([atoms, atoms[order]])
        moments = original.magnetic_moments
        expected = original._replace(
            forces=original.forces[order], magnetic_moments=None if moments is None else moments[order]
        )
        yield from subject.compare(result, expected, name)


def lattice_translation(subject: Subject) -> Iterator[Deviation]:
    """Moving an atom by a lattice vector changes nothing."""
    for name in LOW_SYMMETRY:
        atoms = subject.structures[name]
        moved = atoms.copy()
        moved.positions[-1] += np.array([1, -2, 0]) @ atoms.cell.array
        original, result = subject.alone([atoms, moved])
        yield from subject.compare(result, original, name)


def rigid_translation(subject: Subject) -> Iterator[Deviation]:
    """Moving all atoms by the same vector changes nothing."""
    for name in LOW_SYMMETRY:
        moved = subject.structures[name].copy()
        moved.positions += RIGID_SHIFT
        original, result = subject.alone([subject.structures[name], moved])
        yield from subject.compare(result, original, name)


def stress_symmetric(subject: Subject) -> Iterator[Deviation]:
    """The stress is a symmetric tensor."""
    for name in LOW_SYMMETRY:
        stress = subject.alone([subject.structures[name]])[0].stress
        yield Deviation(largest(stress, stress.T), subject.tolerances.stress, "eV/Å³", name)


def net_force(subject: Subject) -> Iterator[Deviation]:
    """The forces on all atoms of a crystal add up to zero."""
    for name in (*LOW_SYMMETRY, ONE_ATOM):
        total = subject.alone([subject.structures[name]])[0].forces.sum(axis=0)
        yield Deviation(float(np.abs(total).max()), subject.tolerances.forces, "eV/Å", name)
