"""What backends with an ASE calculator share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from uniscreen.potentials.isolated.worker import Batch, Frames


def labelled_atoms(frames: Frames) -> list[Atoms]:
    """Atoms whose calculator holds their labels in ASE's units and signs."""
    result = []
    for (numbers, positions, cell, pbc), energy, forces, stress in frames.structures():
        atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
        labels: dict[str, Any] = {"energy": energy, "forces": forces}
        if stress is not None:
            labels["stress"] = full_3x3_to_voigt_6_stress(stress)
        atoms.calc = SinglePointCalculator(atoms, **labels)
        result.append(atoms)
    return result


def evaluate_each(calculator: Calculator, batch: Batch) -> dict[str, np.ndarray]:
    """One system after the other. Without a full cell there is no stress: NaN."""
    energy, forces, stress = [], [], []
    for numbers, positions, cell, pbc in batch.systems():
        atoms = Atoms(numbers, positions, cell=cell, pbc=pbc, calculator=calculator)
        energy.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces().copy())
        stress.append(atoms.get_stress(voigt=False) if batch.stress and pbc.all() else np.full((3, 3), np.nan))
    return {"energy": np.array(energy), "forces": np.concatenate(forces), "stress": np.array(stress)}
