"""Phonon frequencies from finite displacements, by phonopy."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from uniscreen.benchmarking.physics.measurement import Found, Probe
from uniscreen.benchmarking.physics.points import SYMPREC, points_of
from uniscreen.errors import MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from uniscreen.benchmarking.physics.at_rest import Bulk
    from uniscreen.benchmarking.physics.properties import Phonons, Supercell

IMAGINARY = -0.1
"""THz, imaginary frequencies being negative: what is left of acoustic modes at G is nearer to zero."""

ACOUSTIC = 3


def require_phonopy() -> None:
    """Refuse to begin without the package.

    Raises:
        MissingPackageError: phonopy is not installed.
    """
    if importlib.util.find_spec("phonopy") is None:
        raise MissingPackageError("Phonons need phonopy, which is not installed: pip install 'uniscreen[physics]'")


def probe(bulk: Bulk, asked: Phonons) -> Probe:
    """The highest frequency at each point, the mean error over all modes of the points, and imaginary modes.

    The latter are counted over all wave vectors that the supercell holds, where nothing is interpolated.
    """
    reference = {label: values for label, values in asked.frequencies_THz.items() if values}

    def measure() -> dict[str, Found]:
        lattice = Lattice(bulk.atoms, asked.supercell, asked.displacement_A, given=bulk.given)
        results = bulk.potential.evaluate(lattice.displaced())
        lattice.take([result.forces for result in results])
        at = {label: lattice.frequencies(label) for label in asked.frequencies_THz}
        commensurate = lattice.commensurate_frequencies()
        found = {f"imaginary_modes:{bulk.name}": Found(int((commensurate < IMAGINARY).sum()), commensurate.size)}
        found |= {f"phonon_frequency:{bulk.name} {label}": Found(float(max(at[label]))) for label in at}
        errors = [abs(at[label] - np.sort(values)) for label, values in reference.items()]
        if errors:
            every = np.concatenate(errors)
            found[f"phonon_mae:{bulk.name}"] = Found(float(every.mean()), every.size)
        return found

    metrics = [
        f"imaginary_modes:{bulk.name}",
        *(f"phonon_frequency:{bulk.name} {label}" for label in asked.frequencies_THz),
    ]
    metrics += [f"phonon_mae:{bulk.name}"] if reference else []
    return Probe(f"{bulk.name}: phonons", tuple(metrics), measure)


class Lattice:
    """A crystal at rest whose atoms are displaced, and what their forces say of its vibrations.

    Its primitive cell and labelled points are those of the crystal as ``given``: one that becomes more symmetric has
    other labels, and under the same labels other points.
    """

    def __init__(self, atoms: Atoms, supercell: Supercell, displacement: float, *, given: Atoms) -> None:
        from phonopy import Phonopy
        from phonopy.structure.cells import guess_primitive_matrix

        to_primitive = guess_primitive_matrix(_for_phonopy(given), symprec=SYMPREC)
        self._phonopy: Any = Phonopy(
            _for_phonopy(atoms),
            supercell_matrix=np.diag(supercell),
            primitive_matrix=to_primitive,
            symprec=SYMPREC,
            log_level=0,
        )
        self._phonopy.generate_displacements(distance=displacement)
        self._points = points_of(to_primitive.T @ given.cell.array)

    def displaced(self) -> list[Atoms]:
        """The supercells with one atom displaced, as many as the symmetry needs."""
        return [
            Atoms(numbers=one.numbers, cell=one.cell, scaled_positions=one.scaled_positions, pbc=True)
            for one in self._phonopy.supercells_with_displacements
        ]

    def take(self, forces: Sequence[NDArray[np.float64]]) -> None:
        """Take the forces (n, 3) eV/Å of the displaced supercells, in order; each sums to zero as it should."""
        self._phonopy.forces = np.array([one - one.mean(axis=0) for one in forces])
        self._phonopy.produce_force_constants()
        self._phonopy.symmetrize_force_constants()

    def frequencies(self, label: str) -> NDArray[np.float64]:
        """In THz, ascending, at a labelled point; at G without the acoustic modes."""
        found = np.sort(self._at([self._points[label]])[0])
        if label != "G":
            return found
        return np.sort(found[np.argsort(abs(found))[ACOUSTIC:]])

    def commensurate_frequencies(self) -> NDArray[np.float64]:
        """In THz, (q, modes), at all wave vectors that the supercell holds."""
        from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

        to_primitive = np.linalg.inv(self._phonopy.primitive_matrix) @ self._phonopy.supercell_matrix
        return self._at(get_commensurate_points(np.rint(to_primitive).astype(int)))

    def _at(self, points: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> NDArray[np.float64]:
        self._phonopy.run_qpoints(points)
        return np.asarray(self._phonopy.qpoints.frequencies)


def _for_phonopy(atoms: Atoms) -> Any:
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell.array, scaled_positions=atoms.get_scaled_positions())
