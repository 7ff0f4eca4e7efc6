"""Labelled rows of an ASE database (SQLite)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.structures.labels.extxyz import GROUP_NAMES, first, label, stress_and_virial
from uniscreen.structures.labels.labelled import LabelConventions, RawFrame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_database(path: Path, _data: bytes, given: LabelConventions) -> Iterator[RawFrame]:
    """Yield the rows of a database in the order of their ids; ASE keeps labels as eV, eV/Å and eV/Å³.

    Labels may also lie in a row's key-value pairs or data. Nothing that the file names is imported: ASE decodes JSON
    and arrays only.
    """
    from ase.db import connect

    names = GROUP_NAMES if given.group_key is None else (given.group_key,)
    with connect(path, type="db", use_lock_file=False) as database:
        for row in database.select(sort="id"):
            found = {**row.data, **row.key_value_pairs}
            known = ("energy", "free_energy", "forces", "stress")
            found |= {name: row.get(name) for name in known if row.get(name) is not None}
            group = first(found, names)
            stress, virial = stress_and_virial(found, given.stress_key)
            yield RawFrame(
                place=f"row {row.id}",
                atoms=row.toatoms(),
                energy=label(found, "energy", given.energy_key),
                forces=label(found, "forces", given.forces_key),
                stress=stress,
                virial=virial,
                group=None if group is None else str(group),
            )
