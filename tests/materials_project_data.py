"""What the local Materials Project holds: a few crystals of Li-Co-Ni-O and sodium, with energies of our own making."""

from __future__ import annotations

import warnings
from datetime import datetime
from functools import cache
from typing import Any

from emmet.core.thermo import ThermoDoc
from emmet.core.types.enums import ThermoType
from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry


def _primitive(group: str, lattice: Lattice, species: list[str], coordinates: list[list[float]]) -> Structure:
    return Structure.from_spacegroup(group, lattice, species, coordinates).get_primitive_structure()


def _crystals() -> dict[str, tuple[Structure, float]]:
    """Structure and raw energy (eV/atom) by id."""
    origin, body, half = [0.0, 0.0, 0.0], [0.25, 0.25, 0.25], [0.5, 0.5, 0.5]
    rock_salt = [origin, half]
    layered = Structure.from_spacegroup(
        "R-3m", Lattice.hexagonal(2.82, 14.05), ["Li", "Co", "O"], [[0, 0, 0.5], origin, [0, 0, 0.26]]
    ).get_primitive_structure()
    oxygen = Structure(Lattice.orthorhombic(4.0, 4.2, 4.4), ["O", "O"], [[0, 0, 0.36], [0, 0, 0.64]])
    return {
        "mp-135": (_primitive("Im-3m", Lattice.cubic(3.43), ["Li"], [origin]), -1.90),
        "mp-102": (_primitive("Fm-3m", Lattice.cubic(3.52), ["Co"], [origin]), -7.10),
        "mp-23": (_primitive("Fm-3m", Lattice.cubic(3.51), ["Ni"], [origin]), -5.78),
        "mp-12957": (oxygen, -4.94),
        "mp-1960": (_primitive("Fm-3m", Lattice.cubic(4.62), ["Li", "O"], [body, origin]), -4.76),
        "mp-22408": (_primitive("Fm-3m", Lattice.cubic(4.24), ["Co", "O"], rock_salt), -4.80),
        "mp-19009": (_primitive("Fm-3m", Lattice.cubic(4.18), ["Ni", "O"], rock_salt), -5.60),
        "mp-22526": (layered, -5.95),
        "mp-1063": (_primitive("Pm-3m", Lattice.cubic(2.90), ["Li", "Co"], rock_salt), -4.40),
        "mp-127": (_primitive("Im-3m", Lattice.cubic(4.20), ["Na"], [origin]), -1.31),
    }


def _entry(name: str, structure: Structure, energy: float, run_type: str) -> ComputedStructureEntry:
    hubbards = {"Co": 3.32, "Ni": 6.2} if run_type == "GGA+U" else {}
    oxygen = "O" in structure.symbol_set and len(structure.symbol_set) > 1
    return ComputedStructureEntry(
        structure,
        energy * len(structure),
        entry_id=f"{name}-{run_type}",
        parameters={"run_type": run_type, "is_hubbard": bool(hubbards), "hubbards": hubbards},
        data={
            "material_id": name,
            "task_id": name,
            "run_type": run_type,
            "oxide_type": "oxide" if oxygen else "None",
            "last_updated": datetime(2026, 1, 1),
        },
    )


@cache
def documents() -> tuple[dict[str, Any], ...]:
    """Thermo documents of three types, as emmet writes them; each type has energies of its own."""
    corrections = MaterialsProject2020Compatibility(check_potcar=False)
    pbe, r2scan, mixed = [], [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (structure, energy) in _crystals().items():
            symbols = {*structure.symbol_set}
            entry = _entry(name, structure, energy, "GGA+U" if "O" in symbols and symbols & {"Co", "Ni"} else "GGA")
            for adjustment in corrections.get_adjustments(entry):
                entry.energy_adjustments.append(adjustment)
            pbe.append(entry)
            if name != "mp-1063":
                r2scan.append(_entry(name, structure, 1.5 * energy, "r2SCAN"))
            mixed.append(_entry(name, structure, 3.0 * energy, "GGA"))
        made = (
            (pbe, ThermoType.GGA_GGA_U),
            (r2scan, ThermoType.R2SCAN),
            (mixed, ThermoType.GGA_GGA_U_R2SCAN),
        )
        return tuple(
            document.model_dump(mode="json")
            for entries, kind in made
            for document in ThermoDoc.from_entries(entries, kind, deprecated=False)
        )
