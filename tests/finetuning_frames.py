"""Labelled frames of small cells: CHGNet at another scale stands for the DFT, with other reference energies.

With E'(x) = E(s x), forces are s F(s x) and stresses s³ σ(s x), so the labels agree with one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from uniscreen.potentials.base import Potential

SCALE = 1.03
"""The lattice constant of the labels is smaller than CHGNet's by this factor."""

SHIFTS = {"Na": -12.0, "Cl": 7.5}
"""eV an atom by which the labels count from other atoms."""


def rattled(count: int, seed: int = 0) -> list[Atoms]:
    """Rock salt cells of two atoms, strained and rattled, in five groups."""
    source = np.random.default_rng(seed)
    frames = []
    for k in range(count):
        atoms = bulk("NaCl", "rocksalt", a=5.6)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + source.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += source.normal(0, 0.1, (2, 3))
        atoms.info["group"] = f"parent-{k % 5}"
        frames.append(atoms)
    return frames


def labelled(frames: list[Atoms], potential: Potential, scale: float = SCALE) -> list[Atoms]:
    """The frames with the labels of a potential at another scale, its energies shifted by SHIFTS."""
    scaled = [atoms.copy() for atoms in frames]
    for atoms in scaled:
        atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
    for atoms, result in zip(frames, potential.evaluate(scaled), strict=True):
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=result.energy + sum(SHIFTS.get(symbol, 0.0) for symbol in atoms.symbols),
            forces=scale * result.forces,
            stress=scale**3 * result.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        )
    return frames


def write_labelled(path: Path, potential: Potential, count: int = 15, seed: int = 0) -> Path:
    """Write so many frames to an extxyz file."""
    write(path, labelled(rattled(count, seed), potential), format="extxyz")
    return path
