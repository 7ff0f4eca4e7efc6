"""What is kept of an entry that the Materials Project gives: all that carries information, and no more."""

from __future__ import annotations

from typing import Any

ENTRY_KEYS = ("@module", "@class", "energy", "composition", "entry_id", "correction", "energy_adjustments")
PARAMETER_KEYS = ("run_type", "is_hubbard", "hubbards")


def compact_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Shorten the dict of a ComputedStructureEntry; pymatgen reads the result as the same entry.

    Pseudopotentials and what follows from the lattice matrix and the fractional coordinates are left out.
    """
    parameters = entry.get("parameters") or {}
    return {
        **{key: entry[key] for key in ENTRY_KEYS if key in entry},
        "parameters": {key: parameters[key] for key in PARAMETER_KEYS if parameters.get(key) is not None},
        "data": {key: value for key, value in (entry.get("data") or {}).items() if value is not None},
        "structure": compact_structure(entry["structure"]),
    }


def compact_structure(structure: dict[str, Any]) -> dict[str, Any]:
    """Shorten the dict of a Structure in the same way."""
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": structure.get("charge"),
        "lattice": {"matrix": structure["lattice"]["matrix"], "pbc": structure["lattice"].get("pbc", [True] * 3)},
        "sites": [
            {
                "species": site["species"],
                "abc": site["abc"],
                "properties": {
                    key: value for key, value in (site.get("properties") or {}).items() if value is not None
                },
            }
            for site in structure["sites"]
        ],
    }
