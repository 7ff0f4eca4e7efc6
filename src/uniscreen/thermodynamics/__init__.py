"""What makes energies comparable: corrections, references, formation energies and convex hulls."""

from uniscreen.thermodynamics.corrections import Correction, CorrectionScheme, mp2020_correction
from uniscreen.thermodynamics.elements import elemental_references
from uniscreen.thermodynamics.entries import CompetingEntry
from uniscreen.thermodynamics.hull import (
    CandidateHull,
    Hull,
    HullDistance,
    OutsiderHull,
    formation_energy,
    hull_over_candidates,
)
from uniscreen.thermodynamics.reactions import reaction
from uniscreen.thermodynamics.references import ReferenceSet

__all__ = [
    "CandidateHull",
    "CompetingEntry",
    "Correction",
    "CorrectionScheme",
    "Hull",
    "HullDistance",
    "OutsiderHull",
    "ReferenceSet",
    "elemental_references",
    "formation_energy",
    "hull_over_candidates",
    "mp2020_correction",
    "reaction",
]
