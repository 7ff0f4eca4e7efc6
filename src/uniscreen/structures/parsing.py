"""Turn the text of one structure into checked, fully periodic ASE Atoms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.cif import parse_cif
from uniscreen.structures.crystal import atomic_number, check_count, crystal, finite_array
from uniscreen.structures.frames import parse_extxyz
from uniscreen.structures.guard import shorten
from uniscreen.structures.poscar import parse_poscar

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from ase import Atoms

    from uniscreen.structures.candidate import ReadLimits
    from uniscreen.structures.formats import StructureFormat


CHARGED = 1e-3
"""e of a cell: less is rounding."""


def parse(text: str, kind: StructureFormat, limits: ReadLimits) -> Atoms:
    """Read a text in the named format.

    Raises:
        InvalidStructureError: it is not a crystal in that format.
        TooLargeError: it has more than ``limits.max_atoms`` atoms.

    """
    match kind:
        case "cif":
            return parse_cif(text, limits)
        case "poscar":
            return parse_poscar(text, limits)
        case "extxyz":
            return parse_extxyz(text, limits)
        case "json":
            return parse_json(text, limits)
        case _:
            assert_never(kind)


def parse_json(text: str, limits: ReadLimits) -> Atoms:
    """Read a pymatgen Structure, or an entry that has one under ``structure``, from JSON.

    Only the lattice matrix, species and coordinates are read, and the site property ``magmom``; no class that
    the text names is imported. Oxidation states are ignored.

    Raises:
        InvalidStructureError: it is not such a structure, has partial occupancy, or is not periodic.
        TooLargeError: it has more than ``limits.max_atoms`` sites.

    """
    value = json.loads(text)
    if isinstance(value, dict) and "sites" not in value:
        value = value.get("structure")
    return structure_from_dict(value, limits)


def structure_from_dict(value: Any, limits: ReadLimits) -> Atoms:
    """Read the dict of a pymatgen Structure; see ``parse_json``."""
    if not isinstance(value, dict) or not isinstance(value.get("sites"), list):
        raise InvalidStructureError("the JSON holds no pymatgen Structure; expected an object with lattice and sites.")
    sites = value["sites"]
    check_count(len(sites), limits)
    lattice = value.get("lattice")
    if not isinstance(lattice, dict) or "matrix" not in lattice:
        raise InvalidStructureError("has no lattice.matrix, so it is not a periodic crystal.")
    if not all(lattice.get("pbc") or (True,)):
        raise InvalidStructureError(f"lattice.pbc is {lattice['pbc']}; expected true in all three directions.")
    matrix = finite_array(lattice["matrix"], (3, 3), "lattice vectors")
    numbers = [_element(site, k) for k, site in enumerate(sites, start=1)]
    positions = [_position(site, k, matrix) for k, site in enumerate(sites, start=1)]
    _require_neutral(value)
    magmoms = [(site.get("properties") or {}).get("magmom") for site in sites]
    return crystal(numbers, positions, matrix, None if None in magmoms else magmoms)


def _require_neutral(structure: Mapping[str, Any]) -> None:
    """Raise for a charged cell; the sum of guessed oxidation states, which pymatgen has for its charge, is none."""
    charge = structure.get("charge")
    if not isinstance(charge, int | float) or abs(charge) < CHARGED:
        return
    species = [each for site in structure["sites"] for each in site["species"]]
    states = [each.get("oxidation_state") for each in species]
    if not any(states) or abs(charge - sum(state or 0 for state in states)) > CHARGED:
        raise InvalidStructureError(
            f"has a charge of {charge:+g}, and the models know neutral cells only. Set it to 0 for the neutral one."
        )


def _element(site: Any, k: int) -> int:
    species = site.get("species") if isinstance(site, dict) else None
    if not isinstance(species, list) or not species or not all(isinstance(s, dict) for s in species):
        raise InvalidStructureError(f"site {k} has no list of species.")
    occupancies = [(str(s.get("element")), float(s.get("occu", 1.0))) for s in species]
    if len(occupancies) != 1 or abs(occupancies[0][1] - 1.0) > 1e-6:
        found = shorten(", ".join(f"{symbol} {occupancy:g}" for symbol, occupancy in occupancies), 80)
        raise InvalidStructureError(
            f"site {k} is partially occupied ({found}); expected one element with occupancy 1. "
            "Order the structure first (pymatgen: OrderDisorderedStructureTransformation)."
        )
    return atomic_number(occupancies[0][0])


def _position(site: dict[str, Any], k: int, matrix: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """Return the Cartesian position of a site, (3,) Å, from its fractional coordinates where it has them."""
    if "abc" in site:
        return finite_array(site["abc"], (3,), f"coordinates (abc) of site {k}") @ matrix
    return finite_array(site.get("xyz"), (3,), f"coordinates (xyz) of site {k}")
