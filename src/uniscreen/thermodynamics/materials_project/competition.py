"""Competing entries for chemical systems, as a file of references."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError, MaterialsProjectError
from uniscreen.thermodynamics.database import MATERIALS_PROJECT, DatabaseOrigin
from uniscreen.thermodynamics.materials_project.documents import compact_entry
from uniscreen.thermodynamics.materials_project.systems import all_subsystems, maximal_systems, system_name
from uniscreen.thermodynamics.materials_project.thermo_types import MIXED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from uniscreen.thermodynamics.materials_project.cache import DocumentCache
    from uniscreen.thermodynamics.materials_project.client import MaterialsProject
    from uniscreen.thermodynamics.materials_project.systems import ChemicalSystem

BATCH = 20
"""Chemical systems in one request; an interrupted fetch continues after the last whole batch."""


def fetch_references(
    database: MaterialsProject,
    systems: Iterable[ChemicalSystem],
    thermo_type: str,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    allow_empty: bool = False,
) -> bytes:
    """Fetch all entries of one thermo type within chemical systems, as the content of a file of references.

    Entries of every subsystem are included, each once. What is on disk is not fetched again; what is fetched is put
    there. ``on_progress`` is told how many subsystems are done, and of how many. The same content has the same bytes.
    With ``allow_empty`` some of the systems may have no entries, but not all.

    Raises:
        InputError: a system has too many elements, or the thermo type mixes functionals.
        MaterialsProjectError: see ``MaterialsProject``; or there is no entry in one of the systems.

    """
    if thermo_type == MIXED:
        raise InputError(
            f"Energies of thermo type {MIXED} are on a scale of their own in each chemical system, so those of several "
            "systems cannot be put into one set; and no model has such labels. Ask for GGA_GGA+U or R2SCAN."
        )
    wanted = maximal_systems(systems)
    cached = _fetch_systems(database, all_subsystems(wanted), thermo_type, on_progress)
    empty = [system for system in wanted if not any(cached[name]["entries"] for name in all_subsystems([system]))]
    if empty and not (allow_empty and len(empty) < len(wanted)):
        raise MaterialsProjectError(
            f"The Materials Project (version {database.version}) has no {thermo_type} entry in the chemical system "
            f"{system_name(empty[0])}, nor in any within it. Is it the system that was meant?"
        )
    retrieved = max(content["retrieved"] for content in cached.values())
    origin = DatabaseOrigin(MATERIALS_PROJECT, database.version, thermo_type, retrieved)
    content = {
        "database": origin.as_dict() | {"chemical_systems": [system_name(system) for system in wanted]},
        "entries": [entry for name in cached for entry in cached[name]["entries"]],
    }
    return gzip.compress(json.dumps(content).encode(), mtime=0)


def _fetch_systems(
    database: MaterialsProject, names: list[str], thermo_type: str, on_progress: Callable[[int, int], None] | None
) -> Mapping[str, dict[str, Any]]:
    """Give the entries of each named system (not of those within it), from the disk where they are there."""
    cache = database.cache(thermo_type)
    found = {name: cache.load(name) for name in names}
    missing = [name for name in names if found[name] is None]
    if on_progress is not None:
        on_progress(len(names) - len(missing), len(names))
    for start in range(0, len(missing), BATCH):
        found |= _fetch_batch(database, missing[start : start + BATCH], thermo_type, cache)
        if on_progress is not None:
            on_progress(len(names) - len(missing[start + BATCH :]), len(names))
    return {name: found[name] or {} for name in names}


def _fetch_batch(
    database: MaterialsProject, names: list[str], thermo_type: str, cache: DocumentCache
) -> dict[str, dict[str, Any] | None]:
    documents = database.thermo_documents(["entries"], thermo_type, chemsys=names)
    grouped: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    try:
        for document in documents:
            for entry in document["entries"].values():
                grouped[system_name(entry["composition"])].append(compact_entry(entry))
    except (AttributeError, KeyError, TypeError) as error:
        raise MaterialsProjectError(
            f"The Materials Project gave entries in a form that is not known here ({type(error).__name__}: {error}). A "
            "newer mp-api or uniscreen may be needed."
        ) from None
    today = datetime.now(UTC).date().isoformat()
    contents: dict[str, dict[str, Any] | None] = {}
    for name, entries in grouped.items():
        content = {"retrieved": today, "entries": sorted(entries, key=lambda entry: str(entry["entry_id"]))}
        cache.save(name, content)
        contents[name] = content
    return contents
