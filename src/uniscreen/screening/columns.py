"""The columns of the results table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMN_TYPES = {
    "id": "string",
    "rank": "Int64",
    "status": "string",
    "reason": "string",
    "formula": "string",
    "n_atoms": "Int64",
    "model": "string",
    "energy_eV_per_atom": "float64",
    "correction_eV_per_atom": "float64",
    "correction_unrelaxed_eV_per_atom": "float64",
    "corrected_energy_eV_per_atom": "float64",
    "formation_energy_eV_per_atom": "float64",
    "formation_energy_uncertainty_eV_per_atom": "float64",
    "e_above_hull_eV_per_atom": "float64",
    "e_above_hull_uncertainty_eV_per_atom": "float64",
    "decomposition": "string",
    "decomposition_energy_eV_per_atom": "float64",
    "decomposition_reaction": "string",
    "relaxation_energy_eV_per_atom": "float64",
    "n_steps": "Int64",
    "max_force_eV_per_A": "float64",
    "max_stress_GPa": "float64",
    "volume_change_percent": "float64",
    "space_group_initial": "string",
    "space_group_final": "string",
    "flags": "string",
}
"""The columns of every results table, in order, with their pandas types; optional and carried columns follow."""

SELF_CONSISTENT_TYPES = {
    "e_above_hull_self_consistent_eV_per_atom": "float64",
    "decomposition_self_consistent": "string",
}
"""Those of a screen whose references were evaluated with the model too."""

ENSEMBLE_TYPES = {"energy_std_eV_per_atom": "float64", "max_force_std_eV_per_A": "float64"}
"""Those of a screen with an ensemble."""

REFERENCE_ENERGIES = "reference energies"
"""The name of the adjustment that takes off what a fine-tuning added to the reference energies."""

_ADJUSTMENT = re.compile(r"MP2020 (?:GGA/GGA\+U )?(anion|mixing) correction \((\w+)\)")
_CORRECTION_COLUMN = re.compile(r"correction_(reference_energies|(anion|mixing)_\w+)_eV_per_atom")


def correction_column(adjustment: str) -> str:
    """The column of one named adjustment: ``correction_anion_oxide_eV_per_atom``, ``correction_mixing_Co_eV_per_atom``.

    ``adjustment`` is pymatgen's name: ``MP2020 anion correction (oxide)``, ``MP2020 GGA/GGA+U mixing correction (Co)``;
    or that of REFERENCE_ENERGIES.
    """
    if adjustment == REFERENCE_ENERGIES:
        return "correction_reference_energies_eV_per_atom"
    match = _ADJUSTMENT.fullmatch(adjustment)
    assert match is not None, adjustment
    return f"correction_{match[1]}_{match[2]}_eV_per_atom"


def is_correction_column(name: str) -> bool:
    """Whether a column of the results is that of one named adjustment."""
    return _CORRECTION_COLUMN.fullmatch(name) is not None


def taken_names(names: Iterable[str], types: Iterable[str]) -> set[str]:
    """Names that no column of the input may have: the run's own, and what other runs would have of corrections."""
    return {
        *types,
        *SELF_CONSISTENT_TYPES,
        *ENSEMBLE_TYPES,
        *(name for name in map(str, names) if is_correction_column(name)),
    }


def is_own_column(name: str) -> bool:
    """Whether a column of the results of one model is the run's own, not one of the input."""
    return name in COLUMN_TYPES | ENSEMBLE_TYPES | SELF_CONSISTENT_TYPES or is_correction_column(name)


def column_types(adjustments: Iterable[str], *, ensemble: bool, self_consistent: bool) -> dict[str, str]:
    """All columns of one run but the carried ones: one for each named adjustment that occurs in it."""
    named = sorted({correction_column(name) for name in adjustments})
    optional = (ENSEMBLE_TYPES if ensemble else {}) | (SELF_CONSISTENT_TYPES if self_consistent else {})
    return COLUMN_TYPES | optional | dict.fromkeys(named, "float64")
