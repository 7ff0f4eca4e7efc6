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


def write_card(folder: Path, plan: Plan, settings: LabelSettings, run: LabelRun) -> None:
    """Write `card.toml`, TOML whose values are JSON's too."""
    provenance = json.loads((run.folder / "provenance.json").read_text(encoding="utf-8"))
    log = (run.folder / "worker-0" / "calculator.log").read_text(encoding="utf-8", errors="replace")
    frames = read(run.out, ":")
    chosen = settings.parameters
    tables: dict[str, dict[str, object]] = {
        "": {
            "name": plan.name,
            "description": f"{plan.formula}, {plan.prototype}: rattled, strained, high temperature, and {plan.defect}",
            "file": run.out.name,
            "sha256": hashlib.sha256(run.out.read_bytes()).hexdigest(),
            "licence": "CC0-1.0",
            "source": "computed for uniscreen; made by data/build_dft_sets.py",
            "frames": len(frames),
            "failed": [f"{row.id}: {row.reason}" for row in run.failed],
            "elements": sorted({symbol for frame in frames for symbol in frame.symbols}),
        },
        "units": {
            "energy": "eV, total, of the structure, extrapolated to zero smearing; counted from GPAW's reference atoms",
            "free_energy": "eV, with the smearing's entropy; the forces are its derivative",
            "forces": "eV/Å",
            "stress": "eV/Å³, tension positive",
        },
        "calculation": {
            "code": f"GPAW {provenance['versions']['gpaw']} with ASE {provenance['versions']['ase']}",
            "libxc": found[1] if (found := re.search(r"libxc:\s*(\S+)", log)) else "unknown",
            "functional": chosen["xc"],
            "spin_polarised": False,
            "basis": "plane waves",
            "cutoff_eV": chosen["mode"]["ecut"],
            "k_points": chosen["kpts"]["size"],
            "smearing": f"{chosen['occupations']['name']}, {chosen['occupations']['width']} eV",
            "paw_datasets": PAW_DATASETS,
            "settings": "gpaw.yaml",
            "settings_sha256": provenance["settings_sha256"],
            "convergence": "convergence.csv",
        },
        "calculation.paw_ids": dict(
            sorted(re.findall(r"^  (\w+):\n    name: .*\n    id: (\w+)", log, flags=re.MULTILINE))
        ),
        "groups": dict(Counter(frame.info["group"] for frame in frames)),
    }
    (folder / "card.toml").write_text("\n".join(map(_table, tables.items())), encoding="utf-8")


def _table(item: tuple[str, dict[str, object]]) -> str:
    name, values = item
    lines = [
        f"{json.dumps(key) if '.' in key else key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
    ]
    return "\n".join([*([f"[{name}]"] if name else []), *lines]) + "\n"
