"""Which materials are wanted, by their chemistry, size and DFT energy."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError, MaterialsProjectError
from uniscreen.thermodynamics.materials_project.materials import BATCH, Material, plain_id, with_energies
from uniscreen.thermodynamics.materials_project.systems import parse_system, system_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.thermodynamics.materials_project.client import MaterialsProject

ROUNDING = 1e-6
"""eV/atom. A stable phase may have a distance of -1e-16, which 0 as the least one is not meant to leave out."""


@dataclass(frozen=True)
class Selection:
    """What materials must be.

    ``systems``: of one of these chemical systems exactly, e.g. Li-Co-O, or of one with a wildcard, e.g. Li-*-O;
    ``elements``: with all of these; ``excluded``: with none of these; ``n_atoms``: fewest and most atoms in the cell;
    ``e_above_hull``: least and largest distance to the DFT hull, eV/atom; ``limit``: the first so many of them by id.
    """

    systems: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    n_atoms: tuple[int, int] | None = None
    e_above_hull: tuple[float, float] | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if not (self.systems or self.elements):
            raise InputError(
                "No chemistry is given, which would mean the whole database. Give --chemsys or --elements."
            )
        if any("*" in system for system in self.systems) and len(self.systems) > 1:
            raise InputError("A chemical system with a wildcard can only be given alone, as the API has it.")
        for system in self.systems:
            parse_system("-".join(part for part in system.split("-") if part != "*") or "H")
        for symbol in (*self.elements, *self.excluded):
            if len(parse_system(symbol)) != 1:
                raise InputError(f"{symbol!r} is not one element; expected symbols such as Li,Co,O.")
        for name, span in (("--n-atoms", self.n_atoms), ("--e-above-hull", self.e_above_hull)):
            if span is not None and not span[0] <= span[1]:
                raise InputError(f"{name} is {span[0]} {span[1]}, expected the smaller number first.")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit is {self.limit}, expected at least 1.")

    def criteria(self) -> dict[str, Any]:
        """What mp-api's summary search is asked for; the hull distance is not among it.

        A summary has that of the mixed hull.
        """
        named = [system if "*" in system else system_name(parse_system(system)) for system in self.systems]
        given = {
            "chemsys": named,
            "elements": list(self.elements),
            "exclude_elements": list(self.excluded),
            "num_sites": self.n_atoms,
        }
        return {name: value for name, value in given.items() if value}

    def hull_range(self) -> tuple[float, float] | None:
        """Least and largest hull distance, eV/atom, with room for rounding."""
        return None if self.e_above_hull is None else (self.e_above_hull[0] - ROUNDING, self.e_above_hull[1] + ROUNDING)


def select_materials(
    database: MaterialsProject,
    selection: Selection,
    thermo_type: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Material]:
    """Fetch the materials that a selection describes and that have energies of a thermo type, in order of their ids.

    ``on_progress`` is told how many materials were looked at, and of how many.

    Raises:
        MaterialsProjectError: see ``MaterialsProject``; or there is no such material.

    """
    ids = _ids(database, selection)
    found: list[Material] = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        materials = with_energies(database, batch, thermo_type, selection.hull_range())
        found += sorted(materials.values(), key=lambda material: _id_order(material.material_id))
        if on_progress is not None:
            on_progress(min(start + BATCH, len(ids)), len(ids))
        if selection.limit is not None and len(found) >= selection.limit:
            break
    if not found:
        raise MaterialsProjectError(
            f"The Materials Project (version {database.version}) has no material like that: {len(ids)} of this "
            f"chemistry and size, none of them with {thermo_type} energies in the range asked for."
        )
    return found[: selection.limit]


def _ids(database: MaterialsProject, selection: Selection) -> list[str]:
    """Ids of all materials of the chemistry and size asked for."""
    criteria = selection.criteria()
    cache = database.cache("summary")
    name = f"ids-{hashlib.sha256(repr(criteria).encode()).hexdigest()[:32]}"
    content = cache.load(name)
    if content is None:
        ids = [plain_id(document) for document in database.summary_documents([], **criteria)]
        content = {"query": repr(criteria), "ids": sorted(ids, key=_id_order)}
        cache.save(name, content)
    return list(content["ids"])


def _id_order(material_id: str) -> tuple[str, int, str]:
    """Order ids by their number, as the Materials Project counts: mp-149 before mp-1143; ids in letters last."""
    prefix, _, rest = material_id.partition("-")
    number = int(rest) if re.fullmatch(r"\d+", rest) else 10**18
    return prefix, number, rest
