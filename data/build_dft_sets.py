"""Make the sets of DFT labels: frames, a convergence test, the labels, and the card. A stopped run continues.

    python data/build_dft_sets.py nacl --python /usr/bin/python3 --workers 2

The steps leave `frames.extxyz` and `*-label/` (not kept in the repository), `convergence.csv`, `<set>.extxyz` and
`card.toml` in the set's folder. The labels come from `uniscreen label` with the settings in `gpaw.yaml`, those of the
frames with a vacancy with the settings in `gpaw-vacancy.yaml` where a set has them.
"""

from __future__ import annotations

import argparse
import copy
import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.io import read, write
from dft_cards import write_card
from dft_frames import PLANS, frames

from uniscreen.potentials import load_potential
from uniscreen.training.labelling import LabelSettings, read_label_settings, run_labelling
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.training.labelling.outputs import LabelRow

HERE = Path(__file__).resolve().parent

PROBES = {
    "nacl": ("rattled-0.10A", "md-1000K-0", "vacancy-rattled-0.06A"),
    "sic": ("rattled-0.10A", "md-2000K-0", "vacancy-rattled-0.06A"),
}
"""The groups whose first frames test the settings: the bulk, a hot cell, and the vacancy."""

CHANGES = {
    "nacl": {"gpaw.yaml": {"ecut": 900, "kpts": 4}},
    "sic": {"gpaw.yaml": {"ecut": 800, "kpts": 6}, "gpaw-vacancy.yaml": {"ecut": 800, "kpts": 8}},
}
"""What the convergence test makes denser, one at a time: the cutoff (eV), and the k-points along each axis."""


def make_frames(name: str) -> list[Atoms]:
    """Return the frames of a set; made once, since a trajectory's last digits may differ between machines."""
    path = HERE / name / "frames.extxyz"
    if not path.exists():
        write(path, frames(PLANS[name], load_potential("chgnet-0.3.0").calculator()))
    return read(path, ":")


def parts(name: str) -> dict[str, list[Atoms]]:
    """Return the frames of a set by the file of the settings they are labelled with."""
    own = (HERE / name / "gpaw-vacancy.yaml").exists()
    found: dict[str, list[Atoms]] = {}
    for frame in make_frames(name):
        vacated = own and frame.info["group"].startswith("vacancy")
        found.setdefault("gpaw-vacancy.yaml" if vacated else "gpaw.yaml", []).append(frame)
    return found


def converge(name: str, python: Path, workers: int) -> None:
    """Compare the set's settings with denser ones on three frames, and write `convergence.csv`.

    Energies are compared between the frames of one settings file, since a change that all atoms share is of no account:
    the mean change per atom is taken off.
    """
    folder = HERE / name
    rows = []
    for file, found in parts(name).items():
        chosen = [frame for group in PROBES[name] for frame in found if frame.info["group"] == group]
        chosen = list({frame.info["group"]: frame for frame in reversed(chosen)}.values())[::-1]
        probes = folder / "convergence-label" / f"{Path(file).stem}.extxyz"
        probes.parent.mkdir(exist_ok=True)
        write(probes, chosen)
        settings = read_label_settings(folder / file)
        base = _labels(probes, settings, "as used", python, workers)
        for what, change in _changes(settings, **CHANGES[name][file]).items():
            denser = settings.model_copy(update={"parameters": copy.deepcopy(settings.parameters) | change})
            rows += _differences(what, chosen, base, _labels(probes, denser, what, python, workers))
    with (folder / "convergence.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _changes(settings: LabelSettings, ecut: int, kpts: int) -> dict[str, dict[str, object]]:
    mesh = "x".join([str(kpts)] * 3)
    return {
        f"cutoff {ecut} eV": {"mode": settings.parameters["mode"] | {"ecut": ecut}},
        f"k-points {mesh}": {"kpts": {"size": [kpts] * 3}},
    }


def _labels(probes: Path, settings: LabelSettings, what: str, python: Path, workers: int) -> list[LabelRow]:
    out = probes.with_name(f"{probes.stem}-{what.replace(' ', '-')}.extxyz")
    run = run_labelling(probes, settings, out, python=python, workers=workers)
    assert not run.failed, run.failed
    return list(run.rows)


def _differences(
    what: str, chosen: list[Atoms], base: list[LabelRow], denser: list[LabelRow]
) -> list[dict[str, object]]:
    """One row a frame: what a denser setting changes."""

    def change(quantity: str, k: int) -> np.ndarray:
        assert base[k].labels is not None
        assert denser[k].labels is not None
        return np.subtract(denser[k].labels[quantity], base[k].labels[quantity])

    energy = [1000 * float(change("energy", k)) / len(frame) for k, frame in enumerate(chosen)]
    return [
        {
            "change": what,
            "group": frame.info["group"],
            "energy_shift_meV_per_atom": round(energy[k], 2),
            "energy_shift_from_mean_meV_per_atom": round(energy[k] - float(np.mean(energy)), 2),
            "force_change_max_meV_per_A": round(1000 * float(np.abs(change("forces", k)).max()), 2),
            "stress_change_max_GPa": round(EV_PER_CUBIC_ANGSTROM_TO_GPA * float(np.abs(change("stress", k)).max()), 3),
        }
        for k, frame in enumerate(chosen)
    ]


def label(name: str, python: Path, workers: int) -> None:
    """Label the frames, put them into one file, and write the card."""
    folder = HERE / name
    runs = {}
    for file, found in parts(name).items():
        settings = read_label_settings(folder / file)
        source = folder / f"{Path(file).stem}-label" / "frames.extxyz"
        source.parent.mkdir(exist_ok=True)
        write(source, found)
        out = source.with_name("labelled.extxyz")
        runs[file] = settings, run_labelling(source, settings, out, python=python, workers=workers, on_progress=_say)
    out = folder / f"{name}.extxyz"
    out.write_text("".join(run.out.read_text(encoding="utf-8") for _, run in runs.values()), encoding="utf-8")
    write_card(folder, PLANS[name], out, runs)


def _say(row: LabelRow, done: int, total: int) -> None:
    print(f"{done}/{total} {row.id} {row.group} {row.status} {row.seconds:.0f} s {row.reason}", flush=True)


def main() -> None:
    """Make the sets that are named, or only test their settings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", choices=PLANS)
    parser.add_argument("--python", type=Path, default=Path("/usr/bin/python3"), help="the interpreter that has GPAW")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--converge", action="store_true", help="test the settings only")
    options = parser.parse_args()
    for name in options.sets:
        (converge if options.converge else label)(name, options.python, options.workers)


if __name__ == "__main__":
    main()
