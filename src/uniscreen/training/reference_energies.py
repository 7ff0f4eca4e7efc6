"""The energy that each element carries beyond the model: what two codes or functionals count differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from uniscreen.errors import InputError, InvalidStructureError
from uniscreen.structures.labels.extxyz import label

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.potentials.base import SystemResult
    from uniscreen.potentials.trainable import TrainablePotential
    from uniscreen.structures.labels import LabelledStructure

RELATIVE_RANK = 1e-8
"""Combinations of elements whose singular value is below this share of the largest are not identifiable."""


FREE = 1e-6
"""Elements with a larger part in a combination that is not identifiable are not, either."""

ASTRAY = 3.0
"""eV/atom: no model is as far off, and no frame that is worth training on."""


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


def residual_shifts(labels: Sequence[LabelledStructure], results: Sequence[SystemResult]) -> dict[str, float]:
    """The shifts that fit the differences between labelled and predicted energies; see ``fit_shifts``.

    Frames that are left farther off than ASTRAY, and ten times the median, have no say: one calculation that went wrong
    would move all others.
    """
    atoms = [label.atoms for label in labels]
    residuals = np.array([label.energy - result.energy for label, result in zip(labels, results, strict=True)])
    shifts = fit_shifts(atoms, residuals)
    left = (residuals - total_shift(atoms, shifts)) / [len(one) for one in atoms]
    off = np.abs(left - np.median(left))
    kept = np.flatnonzero(off <= max(ASTRAY, 10 * float(np.median(off))))
    of_kept = fit_shifts([atoms[k] for k in kept], residuals[kept])
    return of_kept if of_kept.keys() == shifts.keys() else shifts


def undetermined(structures: Sequence[Atoms]) -> list[str]:
    """Return the elements whose shift energies of these compositions do not fix, by atomic number.

    Of one binary compound they fix only the sum, and both elements are in the list; the crystal of one element beside
    it fixes both.
    """
    elements, counts = composition_matrix(structures)
    fractions = counts / counts.sum(axis=1)[:, None]
    _, values, directions = np.linalg.svd(np.linalg.qr(fractions, mode="r"))
    free = directions[np.count_nonzero(values > RELATIVE_RANK * values[0]) :]
    return [element for element, parts in zip(elements, free.T, strict=True) if np.abs(parts).max(initial=0) > FREE]


def total_shift(structures: Sequence[Atoms], shifts: dict[str, float]) -> NDArray[np.float64]:
    """The shift of each structure's energy (m,), eV; an element without a shift has none."""
    elements, counts = composition_matrix(structures)
    return counts @ np.array([shifts.get(element, 0.0) for element in elements])


def left_per_atom(structures: Sequence[Atoms], energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """What fitted shifts of the elements leave of energies (m,) in eV; eV/atom. See ``fit_shifts``."""
    rest = energies - total_shift(structures, fit_shifts(structures, energies))
    return rest / np.array([len(atoms) for atoms in structures])


def composition_matrix(structures: Sequence[Atoms]) -> tuple[list[str], NDArray[np.float64]]:
    """The elements that occur, by atomic number, and how many atoms of each every structure has (m, k)."""
    found = np.unique(np.concatenate([atoms.numbers for atoms in structures]))
    counts = np.array([[np.count_nonzero(atoms.numbers == z) for z in found] for atoms in structures], dtype=float)
    return [chemical_symbols[z] for z in found], counts


def isolated_atom_shifts(
    path: Path, energy_key: str | None, potential: TrainablePotential, elements: Collection[str]
) -> dict[str, float]:
    """Shifts, eV an atom, that make the reference energies those of single atoms in a file, one frame an element.

    Their energies have ``energy_key`` for a name, else one of those that are found in labelled frames.

    Raises:
        InputError: the potential's reference energies are not those of single atoms, or a frame is not one with an
            energy, or an element is one that the potential does not know, or is there twice with different energies, or
            one of ``elements`` is not in the file.
    """
    from ase.io import read

    if not potential.references_are_isolated_atoms:
        raise InputError(
            f"The reference energies of {potential.card.name} are fitted to compounds, so those of isolated atoms "
            "cannot stand in for them. Set reference_energies: refit."
        )
    try:
        frames = read(path, ":")
    except Exception as error:  # whatever ASE's readers raise on a file that is none
        raise InputError(f"reference_energies.isolated_atoms: {path} cannot be read: {error}") from error
    known = potential.reference_energies
    shifts: dict[str, float] = {}
    for number, atoms in enumerate(frames, start=1):
        results = {} if atoms.calc is None else atoms.calc.results
        found = {**atoms.info, **results}
        try:
            energy = found.get(energy_key, label(found, "energy", None))
        except InvalidStructureError as error:
            raise InputError(f"{path}, frame {number} {error}") from None
        symbol = str(atoms.symbols[0]) if len(atoms) == 1 else ""
        if not isinstance(energy, int | float | np.number) or not np.isfinite(energy) or symbol not in known:
            raise InputError(
                f"{path}, frame {number} holds {atoms.get_chemical_formula()} with the energy {energy}; expected one "
                f"atom of an element of {potential.card.name}, with its energy in eV as {energy_key or 'energy'}."
            )
        shift = float(energy) - known[symbol]
        if shifts.setdefault(symbol, shift) != shift:
            raise InputError(
                f"{path}, frame {number} holds {symbol} with {energy} eV, and one before it {symbol} with "
                f"{shifts[symbol] + known[symbol]:.6g} eV. Leave the one that is meant, as a rule the ground state."
            )
    if missing := sorted(set(elements) - shifts.keys()):
        raise InputError(f"{path} holds no single atom of {', '.join(missing)}; expected one of each of the data's.")
    return shifts
