"""Materials by their ids: structures, and the DFT energies that a screen can be judged against."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.errors import MaterialsProjectError
from uniscreen.structures.sources import MATERIAL_ID
from uniscreen.thermodynamics.materials_project.documents import compact_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from uniscreen.thermodynamics.materials_project.client import MaterialsProject

BATCH = 100
"""Materials in one request; their ids are in its address, whose length is limited."""


@dataclass(frozen=True)
class Material:
    """A material as the Materials Project has it.

    ``structure`` is the dict of a pymatgen Structure, from the calculation that the energies are of; ``e_above_hull``
    and ``formation_energy`` in eV/atom, None where there are no energies of the thermo type asked for.
    """

    material_id: str
    structure: dict[str, Any]
    e_above_hull: float | None = None
    formation_energy: float | None = None

    @classmethod
    def from_thermo(cls, document: dict[str, Any]) -> Material:
        """Take one from a thermo document, with the structure of the entry whose energy it gives."""
        entries = document["entries"]
        entry = entries.get(document.get("energy_type")) or next(iter(entries.values()))
        return cls(
            plain_id(document),
            compact_structure(entry["structure"]),
            document["energy_above_hull"],
            document["formation_energy_per_atom"],
        )

    @classmethod
    def from_summary(cls, document: dict[str, Any]) -> Material:
        """Take one from a summary document, whose energies may be of any functional and are left out."""
        return cls(plain_id(document), compact_structure(document["structure"]))

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain values, as they are written to files."""
        return asdict(self)


def canonical_id(text: str) -> str | None:
    """Spell an id as the Materials Project's client asks for it (mp-149 for mp-ft); None where it cannot be one."""
    if not MATERIAL_ID.fullmatch(text):
        return None
    from mp_api.client.core.utils import validate_ids

    return str(validate_ids([text])[0])


def plain_id(document: dict[str, Any]) -> str:
    """Read the id of a document, which may be spelled in letters (mp-aaaaaaft)."""
    given = str(document["material_id"])
    return canonical_id(given) or given


def fetch_materials(
    database: MaterialsProject,
    ids: Sequence[str],
    thermo_type: str | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Material]:
    """Fetch materials by their ids; those that are not there are left out.

    Without a thermo type, or where a material has no energies of it, there is the structure alone. ``on_progress`` is
    told how many materials are done, and of how many.

    Raises:
        MaterialsProjectError: see ``MaterialsProject``.

    """
    spelled = {given: canonical_id(given) for given in ids}
    wanted = list(dict.fromkeys(name for name in spelled.values() if name is not None))
    found: dict[str, Material] = {}
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        if thermo_type is not None:
            found |= with_energies(database, batch, thermo_type)
        if rest := [name for name in batch if name not in found]:
            found |= _structures(database, rest)
        if on_progress is not None:
            on_progress(min(start + BATCH, len(wanted)), len(wanted))
    return {given: found[name] for given, name in spelled.items() if name in found}


def with_energies(
    database: MaterialsProject, ids: list[str], thermo_type: str, e_above_hull: tuple[float, float] | None = None
) -> dict[str, Material]:
    """Those of at most 100 materials that have energies of a thermo type, within a range of hull distances (eV/atom).

    Raises:
        MaterialsProjectError: see ``MaterialsProject``.

    """
    fields = ["energy_type", "energy_above_hull", "formation_energy_per_atom", "entries"]
    return _fetched(
        database,
        thermo_type,
        f"thermo {e_above_hull} {','.join(ids)}",
        lambda: [
            Material.from_thermo(document)
            for document in database.thermo_documents(
                fields, thermo_type, material_ids=ids, energy_above_hull=e_above_hull
            )
        ],
    )


def _structures(database: MaterialsProject, ids: list[str]) -> dict[str, Material]:
    return _fetched(
        database,
        "summary",
        f"summary {','.join(ids)}",
        lambda: [
            Material.from_summary(document) for document in database.summary_documents(["structure"], material_ids=ids)
        ],
    )


def _fetched(
    database: MaterialsProject, group: str, query: str, fetch: Callable[[], Iterable[Material]]
) -> dict[str, Material]:
    """Answer a query from the disk, or ask and keep the answer; by id."""
    cache = database.cache(group)
    name = f"materials-{hashlib.sha256(query.encode()).hexdigest()[:32]}"
    content = cache.load(name)
    if content is None:
        try:
            content = {"query": query, "materials": [material.as_dict() for material in fetch()]}
        except (AttributeError, KeyError, TypeError, StopIteration) as error:
            raise MaterialsProjectError(
                f"The Materials Project gave materials in a form that is not known here ({type(error).__name__}: "
                f"{error}). A newer mp-api or uniscreen may be needed."
            ) from None
        content = json.loads(json.dumps(content))
        cache.save(name, content)
    materials = [Material(**values) for values in content["materials"]]
    return {material.material_id: material for material in materials}
