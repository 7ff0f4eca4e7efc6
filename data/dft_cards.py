"""The card of a DFT set: what its numbers are, where they come from, and a checksum."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING

from ase.io import read

if TYPE_CHECKING:
    from pathlib import Path

    from dft_frames import Plan

    from uniscreen.training.labelling import LabelRun, LabelSettings

PAW_DATASETS = "gpaw-setups 0.9.20000 (PBE)"


def write_card(folder: Path, plan: Plan, labelled: Path, runs: dict[str, tuple[LabelSettings, LabelRun]]) -> None:
    """Write `card.toml`, TOML whose values are JSON's too, of runs by the file of their settings."""
    frames = read(labelled, ":")
    tables: dict[str, dict[str, object]] = {
        "": {
            "name": plan.name,
            "description": f"{plan.formula}, {plan.prototype}: rattled, strained, high temperature, and {plan.defect}",
            "file": labelled.name,
            "sha256": hashlib.sha256(labelled.read_bytes()).hexdigest(),
            "licence": "CC0-1.0",
            "source": "computed for uniscreen; made by data/build_dft_sets.py",
            "frames": len(frames),
            "failed": [f"{row.id}: {row.reason}" for _, run in runs.values() for row in run.failed],
            "elements": sorted({symbol for frame in frames for symbol in frame.symbols}),
        },
        "units": {
            "energy": "eV, total, of the structure, extrapolated to zero smearing; counted from GPAW's reference atoms",
            "free_energy": "eV, with the smearing's entropy; the forces are its derivative",
            "forces": "eV/Å",
            "stress": "eV/Å³, tension positive",
        },
        **{key: table for file, run in runs.items() for key, table in _calculation(file, *run).items()},
        "groups": dict(Counter(frame.info["group"] for frame in frames)),
    }
    (folder / "card.toml").write_text("\n".join(map(_table, tables.items())), encoding="utf-8")


def _calculation(file: str, settings: LabelSettings, run: LabelRun) -> dict[str, dict[str, object]]:
    """Return the tables of the calculations with the settings of one file."""
    provenance = json.loads((run.folder / "provenance.json").read_text(encoding="utf-8"))
    log = (run.folder / "worker-0" / "calculator.log").read_text(encoding="utf-8", errors="replace")
    chosen = settings.parameters
    name = file.removesuffix(".yaml").replace("gpaw", "calculation")
    return {
        name: {
            "code": f"GPAW {provenance['versions']['gpaw']} with ASE {provenance['versions']['ase']}",
            "libxc": found[1] if (found := re.search(r"libxc:\s*(\S+)", log)) else "unknown",
            "functional": chosen["xc"],
            "spin_polarised": False,
            "basis": "plane waves",
            "cutoff_eV": chosen["mode"]["ecut"],
            "k_points": chosen["kpts"]["size"],
            "smearing": f"{chosen['occupations']['name']}, {chosen['occupations']['width']} eV",
            "paw_datasets": PAW_DATASETS,
            "settings": file,
            "settings_sha256": provenance["settings_sha256"],
            "convergence": "convergence.csv",
        },
        f"{name}.paw_ids": dict(sorted(re.findall(r"^  (\w+):\n    name: .*\n    id: (\w+)", log, flags=re.MULTILINE))),
    }


def _table(item: tuple[str, dict[str, object]]) -> str:
    name, values = item
    lines = [
        f"{json.dumps(key) if '.' in key else key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
    ]
    return "\n".join([*([f"[{name}]"] if name else []), *lines]) + "\n"
