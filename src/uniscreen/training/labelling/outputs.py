"""What a labelling run writes: the labelled structures, one row a structure, and where the labels come from."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uniscreen.durable import write_atomically, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ase import Atoms


@dataclass(frozen=True)
class LabelRow:
    """What became of one structure: its place in the input (from 0), id, group, status, reason, seconds.

    ``labels`` is None unless the status is "ok": ``energy``, ``free_energy`` eV (the latter where the calculator has
    one), ``forces`` (n, 3) eV/Å, ``stress`` (3, 3) eV/Å³ with tension positive, or None.
    """

    index: int
    id: str
    group: str
    status: str
    reason: str
    seconds: float
    labels: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """The row as plain values, as it is recorded."""
        return asdict(self)


def write_outputs(
    out: Path, folder: Path, rows: Sequence[LabelRow], atoms: Mapping[int, Atoms], provenance: Mapping[str, Any]
) -> None:
    """Write the labelled structures to ``out``, and ``labels.csv`` and ``provenance.json`` to the folder."""
    write_atomically(folder / "labels.csv", _csv(rows, atoms))
    write_json(folder / "provenance.json", provenance)
    write_atomically(out, _extxyz([row for row in rows if row.labels is not None], atoms))


def _csv(rows: Sequence[LabelRow], atoms: Mapping[int, Atoms]) -> bytes:
    import pandas as pd

    columns = [
        "index",
        "id",
        "group",
        "status",
        "reason",
        "n_atoms",
        "energy_eV_per_atom",
        "max_force_eV_per_A",
        "seconds",
    ]
    table = [
        {
            "index": row.index,
            "id": row.id,
            "group": row.group,
            "status": row.status,
            "reason": row.reason,
            "n_atoms": len(atoms[row.index]) if row.index in atoms else None,
            "energy_eV_per_atom": None if row.labels is None else row.labels["energy"] / len(atoms[row.index]),
            "max_force_eV_per_A": None if row.labels is None else np.linalg.norm(row.labels["forces"], axis=1).max(),
            "seconds": round(row.seconds, 1),
        }
        for row in rows
    ]
    return pd.DataFrame(table, columns=columns).to_csv(index=False, lineterminator="\n").encode()


def _extxyz(rows: Sequence[LabelRow], atoms: Mapping[int, Atoms]) -> bytes:
    """Frames in the order of the input, with ``id``, ``group`` and the labels under ASE's own names."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_extxyz
    from ase.stress import full_3x3_to_voigt_6_stress

    frames = []
    for row in rows:
        assert row.labels is not None
        frame = atoms[row.index].copy()
        frame.info = {"id": row.id, "group": row.group}
        labels = {name: np.asarray(value) for name, value in row.labels.items() if value is not None}
        if "stress" in labels:
            labels["stress"] = full_3x3_to_voigt_6_stress(labels["stress"])
        results = {name: float(value) if value.ndim == 0 else value for name, value in labels.items()}
        frame.calc = SinglePointCalculator(frame, **results)
        frames.append(frame)
    text = io.StringIO()
    write_extxyz(text, frames)
    return text.getvalue().encode()
