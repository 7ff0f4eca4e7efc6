"""The energy that each element carries beyond the model: what two codes or functionals count differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

RELATIVE_RANK = 1e-8
"""Combinations of elements whose singular value is below this share of the largest are not identifiable."""


def fit_shifts(structures: Sequence[Atoms], residuals: NDArray[np.float64]) -> dict[str, float]:
    """Fit energy shifts, eV an atom, of the elements to ``residuals`` (m,), E_reference - E_model in eV.

    Least squares of the residuals per atom, so that large cells do not outweigh small ones, and of all solutions the
    one of least norm: where the data fix only a combination of elements (one stoichiometry), nothing else is changed.
    Elements that do not occur are not in the result.
    """
    elements, counts = composition_matrix(structures)
    n_atoms = counts.sum(axis=1)
    shifts, *_ = np.linalg.lstsq(counts / n_atoms[:, None], residuals / n_atoms, rcond=RELATIVE_RANK)
    return dict(zip(elements, shifts.tolist(), strict=True))


def total_shift(structures: Sequence[Atoms], shifts: dict[str, float]) -> NDArray[np.float64]:
    """The shift of each structure's energy (m,), eV; an element without a shift has none."""
    elements, counts = composition_matrix(structures)
    return counts @ np.array([shifts.get(element, 0.0) for element in elements])


def composition_matrix(structures: Sequence[Atoms]) -> tuple[list[str], NDArray[np.float64]]:
    """The elements that occur, by atomic number, and how many atoms of each every structure has (m, k)."""
    found = np.unique(np.concatenate([atoms.numbers for atoms in structures]))
    counts = np.array([[np.count_nonzero(atoms.numbers == z) for z in found] for atoms in structures], dtype=float)
    return [chemical_symbols[z] for z in found], counts
