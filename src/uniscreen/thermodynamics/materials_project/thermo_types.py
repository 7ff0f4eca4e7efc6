"""Thermo types: which set of energies of the Materials Project belongs to which functional."""

from __future__ import annotations

from uniscreen.errors import ReferenceMismatchError
from uniscreen.thermodynamics.references import THERMO_TYPES

MIXED = "GGA_GGA+U_R2SCAN"
"""PBE and r2SCAN energies on one scale; what the Materials Project gives by default since April 2026."""


def thermo_type_of(functional: str) -> str:
    """Name the energies that those of a model with this functional can be compared with.

    Raises:
        ReferenceMismatchError: the Materials Project has none.

    """
    if functional not in THERMO_TYPES:
        raise ReferenceMismatchError(
            f"The Materials Project has no energies that go with the functional '{functional}'; it has some for "
            f"{' and '.join(THERMO_TYPES)}. Choose a model of one of these."
        )
    return THERMO_TYPES[functional]
