"""Elastic constants from the stresses of small strains, with relaxed ions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.benchmarking.physics.at_rest import IN_CELL, relaxed_in_cell
from uniscreen.benchmarking.physics.measurement import Found, NotMeasured, Probe, percent
from uniscreen.benchmarking.physics.points import SYMPREC
from uniscreen.structures.symmetry import spglib_answer
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.benchmarking.physics.at_rest import Bulk
    from uniscreen.benchmarking.physics.properties import Elastic

STRAIN = 0.005
"""Of each component, both ways; shears are engineering strains, twice the tensor's component."""

_ORTHORHOMBIC, _TETRAGONAL, _CUBIC = 16, 75, 195
"""The first space groups of these systems."""

_ALONG = 1e-3
"""How far the cosine of an axis that lies along another may be from 1."""

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

INDEPENDENT = (
    (195, "c11 c12 c44"),  # cubic
    (168, "c11 c12 c13 c33 c44"),  # hexagonal
    (143, "c11 c12 c13 c14 c33 c44"),  # trigonal
    (75, "c11 c12 c13 c33 c44 c66"),  # tetragonal
    (16, "c11 c12 c13 c22 c23 c33 c44 c55 c66"),  # orthorhombic
    (1, " ".join(f"c{i}{j}" for i in range(1, 7) for j in range(i, 7))),
)
"""By the first space group of a system, constants that describe it: Nye, Physical Properties of Crystals, table 9.

Of those that only the lower Laue class of a system has (c15, c16), none.
"""


def probe(bulk: Bulk, asked: Elastic) -> Probe:
    """The constants of the crystal's system and those whose values are known, and the mean error of the latter."""
    reference = asked.constants_GPa
    names = sorted({*independent(bulk.given), *reference})
    axes = standard_axes(bulk.given)

    def measure() -> dict[str, Found]:
        crystals = relaxed_in_cell(bulk.potential, strained(bulk.atoms), IN_CELL, "a strained crystal")
        tensor = turned(fit([result.stress for result in bulk.potential.evaluate(crystals)]), axes)
        values = {name: float(tensor[int(name[1]) - 1, int(name[2]) - 1]) for name in names}
        found = {f"{name}:{bulk.name}": Found(value) for name, value in values.items()}
        errors = [percent(values[name], value) for name, value in reference.items()]
        return found | ({f"elastic_error:{bulk.name}": Found(float(np.mean(errors)), len(errors))} if errors else {})

    metrics = [*names, *(["elastic_error"] if reference else [])]
    return Probe(f"{bulk.name}: elastic constants", tuple(f"{name}:{bulk.name}" for name in metrics), measure)


def strained(atoms: Atoms, size: float = STRAIN) -> list[Atoms]:
    """The crystal under each of the six strains, plus and minus."""
    copies = []
    for i, j in VOIGT:
        for signed in (size, -size):
            strain = np.zeros((3, 3))
            strain[i, j] += signed / 2
            strain[j, i] += signed / 2
            copy = atoms.copy()
            copy.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            copies.append(copy)
    return copies


def fit(stresses: Sequence[NDArray[np.float64]], size: float = STRAIN) -> NDArray[np.float64]:
    """The elastic constants (6, 6) in GPa from the stresses (3, 3) eV/Å³ of the structures of ``strained``, in order.

    A constant is the central difference of stress by strain; the two that symmetry makes one are averaged.

    Raises:
        NotMeasured: a stress is not finite.
    """
    voigt = np.array([[stress[i, j] for i, j in VOIGT] for stress in stresses])
    if not np.isfinite(voigt).all():
        raise NotMeasured("a stress is not finite")
    constants = EV_PER_CUBIC_ANGSTROM_TO_GPA * (voigt[0::2] - voigt[1::2]) / (2 * size)
    return (constants + constants.T) / 2


def independent(atoms: Atoms) -> tuple[str, ...]:
    """The names of the constants that describe a crystal of this symmetry."""
    number = _space_group(atoms)[0]
    return tuple(next(names for first, names in INDEPENDENT if number >= first).split())


def standard_axes(atoms: Atoms) -> NDArray[np.float64]:
    """The rotation (3, 3) from a crystal's axes as built to those of its conventional cell, as spglib places it.

    The identity where the axes lie along x, y and z as they should, and for monoclinic and triclinic crystals, whose
    conventional cell is a choice: the one that was built is taken for what is meant. So is the order of the axes of an
    orthorhombic crystal.
    """
    number, rotation = _space_group(atoms)
    along = np.isclose(np.abs(rotation), 1, atol=_ALONG)
    keeps_z = along[2, 2] or number < _TETRAGONAL or number >= _CUBIC
    return np.eye(3) if number < _ORTHORHOMBIC or (along.any(axis=1).all() and keeps_z) else rotation


def turned(tensor: NDArray[np.float64], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Elastic constants (6, 6) in axes that a rotation (3, 3) leads to."""
    pair = {frozenset(axes): place for place, axes in enumerate(VOIGT)}
    place = np.array([[pair[frozenset((i, j))] for j in range(3)] for i in range(3)])
    full = tensor[place[:, :, None, None], place[None, None]]
    full = np.einsum("ai,bj,ck,dl,ijkl", rotation, rotation, rotation, rotation, full)
    i, j = np.array(VOIGT).T
    return np.asarray(full[i[:, None], j[:, None], i[None], j[None]])


def _space_group(atoms: Atoms) -> tuple[int, NDArray[np.float64]]:
    """The number of the space group, and the rotation to its standard cell; 1 and none where there is no answer."""
    import spglib

    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    dataset = spglib_answer(spglib.get_symmetry_dataset, cell, symprec=SYMPREC)
    return (1, np.eye(3)) if dataset is None else (dataset.number, np.asarray(dataset.std_rotation_matrix))
