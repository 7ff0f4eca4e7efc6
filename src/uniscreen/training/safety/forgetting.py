"""How far the fine-tuning has moved the potential on everything else that it knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import StructureError
from uniscreen.training.errors import Errors
from uniscreen.training.reference_energies import composition_matrix
from uniscreen.training.safety.result import Measurement, NotRun
from uniscreen.training.safety.sample import crystals_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.potentials.base import Potential, SystemResult
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.safety.subject import Subject

MAX_ENERGY = 29.0
MAX_FORCE = 68.0
"""meV/atom and meV/Å: CHGNet 0.3.0's own errors on the test set of MPtrj, by the README of its weights.

A larger change is one that the published model's error does not hide: it is likely a new error of that size.
"""


def forgetting(subject: Subject) -> tuple[Measurement, Measurement]:
    """Mean absolute differences between the potential and the pretrained one, meV/atom and meV/Å.

    The energies differ by refitted reference energies too, which is no forgetting: a shift of each element of the
    fine-tuning (of every element, where they are not known) is fitted and taken off.
    """
    tuned, pretrained = subject.potential, subject.pretrained
    if pretrained is None:
        raise NotRun("needs the model that it was trained from: --against BASE")
    labelled = [one for one in subject.sample or () if _is_known(one.atoms, (tuned, pretrained))]
    if subject.sample is None:
        built = crystals_of(tuned.card.elements & pretrained.card.elements)
        structures = [atoms for atoms in built if _is_known(atoms, (tuned, pretrained))]
    else:
        structures = [one.atoms for one in labelled]
    if not structures:
        raise NotRun(f"no structure of the sample can be evaluated with both {tuned.card.name} and its base")
    new, old = tuned.evaluate(structures), pretrained.evaluate(structures)
    moved = np.array([b.energy - a.energy for a, b in zip(old, new, strict=True)])
    moved -= _shift(structures, moved, tuned.card.tuned_elements)
    energy = 1000 * float(np.mean(np.abs(moved) / [len(atoms) for atoms in structures]))
    force = 1000 * float(np.mean(np.abs(np.concatenate([b.forces - a.forces for a, b in zip(old, new, strict=True)]))))
    n_elements = len({symbol for atoms in structures for symbol in atoms.symbols})
    what = f"against {pretrained.card.name} on {len(structures)} structures of {n_elements} elements"
    energy_errors, force_errors = _errors(labelled, old, new)
    return Measurement(energy, what + energy_errors), Measurement(force, what + force_errors)


def _is_known(atoms: Atoms, potentials: Sequence[Potential]) -> bool:
    """Whether each of the potentials can evaluate a structure."""
    try:
        for potential in potentials:
            potential.graph([atoms])
    except StructureError:
        return False
    return True


def _shift(structures: Sequence[Atoms], moved: NDArray[np.float64], tuned: frozenset[str]) -> NDArray[np.float64]:
    """What a shift of each tuned element, fitted to the energies per atom, explains of the changes (m,), in eV."""
    elements, counts = composition_matrix(structures)
    counts = counts[:, [symbol in tuned for symbol in elements]] if tuned else counts
    n = np.array([len(atoms) for atoms in structures])
    shifts, *_ = np.linalg.lstsq(counts / n[:, None], moved / n, rcond=None)
    return counts @ shifts


def _errors(
    labelled: Sequence[LabelledStructure], old: Sequence[SystemResult], new: Sequence[SystemResult]
) -> tuple[str, str]:
    """Where the sample has labels, the errors of both potentials against them, in words: energies and forces."""
    if not labelled:
        return "", ""
    before, after = (Errors.of(labelled, results) for results in (old, new))
    return (
        f"; errors {before.energy_mae_meV_per_atom:.1f} before, {after.energy_mae_meV_per_atom:.1f} after",
        f"; errors {before.force_mae_meV_per_A:.1f} before, {after.force_mae_meV_per_A:.1f} after",
    )
