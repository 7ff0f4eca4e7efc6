"""Which correction a model's energies call for, and what it is for one candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.thermodynamics import Correction, CorrectionScheme, mp2020_correction

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.record import Record

CLASS_TOLERANCE = 1e-6
"""eV/atom by which two corrections may differ and still be one."""


def required_correction(card: ModelCard) -> CorrectionScheme:
    """The correction still to be applied to a model's energies: MP2020 to raw PBE ones, else none."""
    if card.functional == "PBE" and card.energy_convention == "raw":
        return CorrectionScheme.MP2020
    return CorrectionScheme.NONE


def hull_scheme(card: ModelCard) -> CorrectionScheme:
    """The scheme of the model's energies once corrected, which its references must share."""
    return CorrectionScheme.MP2020 if card.functional == "PBE" else CorrectionScheme.NONE


def correction_of(atoms: Atoms, energy: float) -> Correction:
    """The MP2020 correction of a crystal whose raw total energy is ``energy`` eV."""
    from pymatgen.io.ase import AseAtomsAdaptor

    return mp2020_correction(AseAtomsAdaptor.get_structure(atoms), energy)


def applied_correction(record: Record, card: ModelCard) -> Correction:
    """The correction to add to the model's energy of an evaluated record: none where the energies hold it already."""
    if required_correction(card) is CorrectionScheme.NONE:
        return Correction({}, {})
    assert record.correction is not None
    return record.correction


def unrelaxed_correction(record: Record, card: ModelCard) -> Correction:
    """The correction that the structure would have had as it was given."""
    if required_correction(card) is CorrectionScheme.NONE:
        return Correction({}, {})
    assert record.initial_correction is not None
    return record.initial_correction


def class_changed(record: Record, card: ModelCard) -> bool:
    """Whether relaxing changed what is corrected, such as a superoxide into an oxide; only where it is applied."""
    relaxed, given = applied_correction(record, card).adjustments, unrelaxed_correction(record, card).adjustments
    assert record.n_atoms is not None
    return any(
        abs(relaxed.get(name, 0.0) - given.get(name, 0.0)) > CLASS_TOLERANCE * record.n_atoms
        for name in {*relaxed, *given}
    )
