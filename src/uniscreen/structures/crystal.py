"""The checks that every structure passes on its way in, whatever file it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from uniscreen.errors import InvalidStructureError, TooLargeError
from uniscreen.structures.guard import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.structures.candidate import ReadLimits

MIN_VOLUME_PER_ATOM = 0.1
"""Å³; hydrogen at 500 GPa has more than 1 Å³ an atom, so less is a mistake and not a dense phase."""

MIN_VECTOR_LENGTH = 0.5
"""Å; an atom would be nearer to its own image than any two nuclei are in a solid."""

MAX_ATOMIC_NUMBER = 118

HYDROGEN_ISOTOPES = {"D": 1, "T": 1}
"""Deuterium and tritium are read as hydrogen: the energy surface is the same."""


def check_count(found: int, limits: ReadLimits) -> None:
    """Check the number of atoms that a file declares, before the file is parsed.

    Raises:
        InvalidStructureError: there are none.
        TooLargeError: there are more than ``limits.max_atoms``.

    """
    if found < 1:
        raise InvalidStructureError(f"holds {found} atoms; a crystal has at least one.")
    if found > limits.max_atoms:
        raise TooLargeError(f"holds {found:,} atoms; at most {limits.max_atoms:,} are allowed.")


def atomic_number(symbol: str) -> int:
    """Return the atomic number of an element symbol; D and T are hydrogen.

    Raises:
        InvalidStructureError: no element has this symbol (a dummy species such as X, for one).

    """
    from ase.data import atomic_numbers

    number = HYDROGEN_ISOTOPES.get(symbol) or int(atomic_numbers.get(symbol, 0))
    if number < 1:
        raise InvalidStructureError(f"{shorten(symbol, 20)!r} is not a chemical element; expected Li, O, Fe ...")
    return number


def reduced_formula(atoms: Atoms) -> str:
    """The reduced formula as pymatgen writes it: ``LiCoO2``, ``O2``."""
    from pymatgen.core import Composition

    return Composition(atoms.get_chemical_formula()).reduced_formula


def finite_array(values: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """Return ``values`` as floats of this shape.

    Raises:
        InvalidStructureError: they have another shape, or one is not a finite number.

    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidStructureError(f"{what} are not numbers: {shorten(str(error), 100)}") from error
    if array.shape != shape:
        raise InvalidStructureError(f"{what} have shape {array.shape}; expected {shape}.")
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InvalidStructureError(f"{what} are not finite (NaN or infinite) in row {row + 1}.")
    return array


def check_cell(cell: NDArray[np.float64], n_atoms: int) -> None:
    """Check that a cell can hold ``n_atoms``: (3, 3) Å, lattice vectors as rows, left-handed or not.

    Raises:
        InvalidStructureError: a vector is shorter than 0.5 Å, or there is less than 0.1 Å³ an atom.

    """
    lengths = np.linalg.norm(cell, axis=1)
    if not lengths.any():
        raise InvalidStructureError("has no lattice, so it is not a periodic crystal.")
    short = int(lengths.argmin())
    if lengths[short] < MIN_VECTOR_LENGTH:
        raise InvalidStructureError(
            f"lattice vector {'abc'[short]} is {lengths[short]:.3g} Å long; expected at least {MIN_VECTOR_LENGTH} Å."
        )
    with np.errstate(all="ignore"):
        volume = abs(float(np.linalg.det(cell))) / n_atoms
    if not np.isfinite(volume) or volume < MIN_VOLUME_PER_ATOM:
        raise InvalidStructureError(
            f"the cell has {volume:.3g} Å³ an atom; expected a finite volume of at least {MIN_VOLUME_PER_ATOM} Å³."
        )


def crystal(numbers: Sequence[int] | NDArray[np.int64], positions: Any, cell: Any, magmoms: Any = None) -> Atoms:
    """Return checked, fully periodic ASE Atoms.

    ``numbers`` (n,) atomic numbers, ``positions`` (n, 3) Å, ``cell`` (3, 3) Å with the lattice vectors as
    rows, and ``magmoms`` (n,) μ_B, which become initial magnetic moments if all are finite numbers.

    Raises:
        InvalidStructureError: no atoms, an impossible atomic number, a value that is not finite, or no
            sensible volume.

    """
    from ase import Atoms

    n_atoms = len(numbers)
    if n_atoms == 0:
        raise InvalidStructureError("holds 0 atoms; a crystal has at least one.")
    z = np.asarray(numbers, dtype=np.int64)
    if (bad := z[(z < 1) | (z > MAX_ATOMIC_NUMBER)]).size:
        raise InvalidStructureError(f"atomic number {bad[0]} is not a chemical element; expected 1 to 118.")
    xyz = finite_array(positions, (n_atoms, 3), "positions")
    vectors = finite_array(cell, (3, 3), "lattice vectors")
    check_cell(vectors, n_atoms)
    atoms = Atoms(numbers=z, positions=xyz, cell=vectors, pbc=True)
    if (moments := _usable_moments(magmoms, n_atoms)) is not None:
        atoms.set_initial_magnetic_moments(moments)
    return atoms


def _usable_moments(magmoms: Any, n_atoms: int) -> NDArray[np.float64] | None:
    try:
        moments = np.asarray(magmoms, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return moments if moments.shape == (n_atoms,) and bool(np.isfinite(moments).all()) else None
