"""Labelled structures in JSON: the layouts of chgnet and MPtrj, of mlearn, and of MatPES."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.candidate import ReadLimits
from uniscreen.structures.labels.extxyz import GROUP_NAMES, first
from uniscreen.structures.labels.labelled import VASP_CONVENTIONS, LabelConventions, RawFrame
from uniscreen.structures.parsing import structure_from_dict
from uniscreen.structures.sources import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENERGY_NAMES = ("energy", "uncorrected_total_energy", "energy_per_atom")
FORCES_NAMES = ("forces", "force")
STRESS_NAMES = ("stress", "virial_stress")
EXPECTED = (
    "a list of objects with structure, energy, forces and stress (MatPES; mlearn has them under outputs), an object "
    "with the lists structure, force, stress ... (chgnet), or one object of such objects for each material (MPtrj)"
)


def read_json(_path: Path, data: bytes, given: LabelConventions) -> Iterator[RawFrame]:
    """Yield the structures of a JSON file; stresses are VASP's (kbar, compression positive) unless told otherwise.

    Energies are total ones: ``energy`` or ``uncorrected_total_energy``; or else ``energy_per_atom``. No class that the
    file names is imported.

    Raises:
        InvalidStructureError: it has none of these layouts, or a structure cannot be read.
    """
    names = GROUP_NAMES if given.group_key is None else (given.group_key,)
    for place, entry, group in _entries(json.loads(decode(data))):
        found = {**entry, **(entry.get("outputs") or {})}
        energy_name = given.energy_key or next((name for name in ENERGY_NAMES if name in found), "energy")
        stress_name = given.stress_key or next((name for name in STRESS_NAMES if name in found), "stress")
        own = first(found, names)
        try:
            atoms = structure_from_dict(entry["structure"], ReadLimits(max_atoms=100_000))
        except InvalidStructureError as error:
            raise InvalidStructureError(f"{place}: {error}") from None
        yield RawFrame(
            place=place,
            atoms=atoms,
            energy=found.get(energy_name),
            forces=first(found, (given.forces_key,) if given.forces_key else FORCES_NAMES),
            stress=found.get(stress_name),
            group=group if own is None else str(own),
            usual=_usual(energy_name, stress_name),
        )


def _usual(energy_name: str, stress_name: str) -> LabelConventions:
    """VASP's stress, in its own order of six where it is called virial (mlearn), and in ASE's elsewhere (MatPES)."""
    usual = replace(VASP_CONVENTIONS, energy="per-atom" if energy_name.endswith("per_atom") else "total")
    return usual if stress_name.startswith("virial") else replace(usual, stress_order="xx yy zz yz xz xy")


def _entries(document: Any) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Yield place, labels with their structure, and the group that the layout implies."""
    if isinstance(document, dict) and isinstance(document.get("structure"), list):
        columns = {name: values for name, values in document.items() if isinstance(values, list)}
        for k in range(len(columns["structure"])):
            yield f"entry {k + 1}", {name: values[k] for name, values in columns.items() if k < len(values)}, None
        return
    if isinstance(document, dict) and _is_labelled(document):
        document = [document]
    if isinstance(document, list) and all(_is_labelled(entry) for entry in document):
        for k, entry in enumerate(document, start=1):
            yield f"entry {k}", entry, None
        return
    if isinstance(document, dict) and all(isinstance(frames, dict) for frames in document.values()):
        for material, frames in document.items():
            for name, entry in frames.items():
                if not _is_labelled(entry):
                    raise InvalidStructureError(f"{material}: expected {EXPECTED}.")
                yield f"{material} {name}", entry, material
        return
    raise InvalidStructureError(f"expected {EXPECTED}.")


def _is_labelled(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("structure"), dict)
