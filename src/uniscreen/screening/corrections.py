"""Which correction a model's energies call for, and what it is for one candidate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from uniscreen.screening.columns import REFERENCE_ENERGIES
from uniscreen.structures.guard import ExpiredError, time_limit
from uniscreen.thermodynamics import Correction, CorrectionScheme, mp2020_correction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ase import Atoms

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.record import Record

CLASS_TOLERANCE = 1e-6
"""eV/atom by which two corrections may differ and still be one."""


CORRECTION_SECONDS = 60.0
"""pymatgen guesses oxidation states by trying all combinations, which of ten metals with a few states each are many."""


def required_correction(card: ModelCard) -> CorrectionScheme:
    """The correction still to be applied to a model's energies: MP2020 to raw PBE ones, else none."""
    if card.functional == "PBE" and card.energy_convention == "raw":
        return CorrectionScheme.MP2020
    return CorrectionScheme.NONE


def hull_scheme(card: ModelCard) -> CorrectionScheme:
    """The scheme of the model's energies once corrected, which its references must share."""
    return CorrectionScheme.MP2020 if card.functional == "PBE" else CorrectionScheme.NONE


def correction_of(atoms: Atoms, energy: float) -> Correction:
    """The MP2020 correction of a crystal whose raw total energy is ``energy`` eV.

    Raises:
        TimeoutError: it takes longer than CORRECTION_SECONDS.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    try:
        with time_limit(CORRECTION_SECONDS):
            return mp2020_correction(AseAtomsAdaptor.get_structure(atoms), energy)
    except ExpiredError:
        raise TimeoutError(f"its MP2020 correction was not found in {CORRECTION_SECONDS:g} s") from None


def reference_energies(numbers: Iterable[int], card: ModelCard) -> dict[str, float]:
    """What takes off the reference energies that a fine-tuning added for atoms of these numbers, eV; empty without.

    They are those of the labels' code and settings, from which no reference counts its energies: what is left is
    counted as the base's energies are, which are compared with references.
    """
    from ase.data import chemical_symbols

    shifts = dict(card.reference_shifts)
    total = sum(shifts.get(chemical_symbols[number], 0.0) for number in numbers)
    return {REFERENCE_ENERGIES: -total} if shifts else {}


def applied_correction(record: Record, card: ModelCard) -> Correction:
    """The correction to add to the model's energy of an evaluated record, if any.

    That of MP2020 where its energies do not hold it already, and what takes a fine-tuning's reference energies off.
    """
    return _with_reference_energies(record, card, record.correction)


def unrelaxed_correction(record: Record, card: ModelCard) -> Correction:
    """The correction that the structure would have had as it was given."""
    return _with_reference_energies(record, card, record.initial_correction)


def _with_reference_energies(record: Record, card: ModelCard, of_structure: Correction | None) -> Correction:
    shifts = reference_energies(record.crystal.numbers, card) if record.crystal is not None else {}
    if required_correction(card) is CorrectionScheme.NONE:
        return Correction(shifts, {})
    assert of_structure is not None
    return replace(of_structure, adjustments={**of_structure.adjustments, **shifts})


def class_changed(record: Record, card: ModelCard) -> bool:
    """Whether relaxing changed what is corrected, such as a superoxide into an oxide; only where it is applied."""
    relaxed, given = applied_correction(record, card).adjustments, unrelaxed_correction(record, card).adjustments
    assert record.n_atoms is not None
    return any(
        abs(relaxed.get(name, 0.0) - given.get(name, 0.0)) > CLASS_TOLERANCE * record.n_atoms
        for name in {*relaxed, *given}
    )
