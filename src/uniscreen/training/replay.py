"""Structures that the pretrained potential labels itself, so that training keeps what it knew.

Rehearsal on pseudo-items, without the data of the pretraining: Robins, Connection Science 7, 123 (1995).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.errors import InputError, StructureError
from uniscreen.structures import ReadLimits
from uniscreen.structures.labels import LabelledStructure

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.potentials.base import Potential
    from uniscreen.structures import CandidateTable


def pseudolabelled(potential: Potential, table: CandidateTable) -> tuple[LabelledStructure, ...]:
    """Label crystals by what the potential says of them, its reference energies included.

    Those that cannot be read or evaluated are left out.

    Raises:
        InputError: none is left.
    """
    labelled = []
    reason = "it holds none"
    for candidate in table:
        try:
            labelled.append(_labelled(potential, candidate.source.load(ReadLimits()), candidate.id))
        except StructureError as error:
            reason = str(error)
    if not labelled:
        raise InputError(
            f"replay.structures: {potential.card.name} can evaluate no structure of {table.name}: {reason}."
        )
    return tuple(labelled)


def _labelled(potential: Potential, atoms: Atoms, place: str) -> LabelledStructure:
    result = potential.evaluate([atoms])[0]
    return LabelledStructure(
        atoms=atoms,
        energy=result.energy,
        forces=result.forces.astype(float),
        stress=result.stress.astype(float),
        group=None,
        place=place,
    )
