"""Candidates a second of a screen on the hardware at hand, against chgnet's StructOptimizer on the same device.

    python benchmarks/screen_throughput.py [wbm-972.json.gz] [--device cuda] [--size 5000] [--atoms 20] [--peer 20]

The candidates are supercells of one size, strained by up to 3 % and rattled by 0.1 Å, so that nothing is symmetric;
CHGNet 0.3.0, fmax 0.05 eV/Å with the cell, at most 500 steps, every result written. A screen of START of them is
taken off, which is what starting takes. chgnet's relaxes the first ``--peer`` of them one by one, loaded beforehand,
one of them before the clock starts. The last line is the ratio of candidates a second.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from perturbed import of_one_size
from pymatgen.io.ase import AseAtomsAdaptor

import uniscreen

if TYPE_CHECKING:
    from ase import Atoms

FMAX = 0.05
START = 8
DAY = 86_400


def main() -> None:
    """Screen some, screen all, relax a few of them in chgnet's way, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--atoms", type=int, default=20)
    parser.add_argument("--peer", type=int, default=20)
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    crystals = of_one_size(arguments.file, arguments.size, arguments.atoms)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"{len(crystals)} candidates of {arguments.atoms} atoms, {name}, torch {torch.__version__}")

    start, _ = _screened(crystals[:START], arguments.device, arguments.workers)
    seconds, energies = _screened(crystals, arguments.device, arguments.workers)
    rate = (len(crystals) - START) / (seconds - start)
    print(f"uniscreen              {rate:9.2f} a second, {DAY * rate:.3g} a day; {seconds:.1f} s, start {start:.1f} s")
    print(f"  {np.isfinite(energies).sum()} have an energy")

    theirs, peer_seconds = _struct_optimizer(crystals[: arguments.peer], arguments.device)
    peer_rate = len(theirs) / peer_seconds
    difference = 1000 * (theirs / arguments.atoms - energies[: len(theirs)])
    kinds = abs(difference) <= 1, difference < -1, difference > 1, np.isnan(difference)
    print(f"chgnet StructOptimizer {peer_rate:9.2f} a second, {DAY * peer_rate:.3g} a day")
    print(
        f"  its energy against ours: within 1 meV/atom, lower, higher, none: {', '.join(str(k.sum()) for k in kinds)}"
    )
    print(f"ratio={rate / peer_rate:.2f}")


def _screened(crystals: list[Atoms], device: str, workers: int | None) -> tuple[float, np.ndarray]:
    """Seconds of a screen with its report, and the energies, eV/atom; NaN where there is none."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = uniscreen.screen(crystals, out=Path(folder) / "run", fmax=FMAX, device=device, workers=workers)
        seconds = time.perf_counter() - started
    table = table.set_index("id").loc[[f"structure-{i}" for i in range(len(crystals))]]
    return seconds, table["energy_eV_per_atom"].to_numpy(dtype=float)


def _struct_optimizer(crystals: list[Atoms], device: str) -> tuple[np.ndarray, float]:
    """The energies, eV, and the seconds that they took."""
    from chgnet.model import StructOptimizer

    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in crystals]
    with contextlib.redirect_stdout(io.StringIO()):
        relaxer = StructOptimizer(use_device=device)
        relaxer.relax(structures[0], fmax=FMAX, verbose=False)
        started = time.perf_counter()
        results = [relaxer.relax(structure, fmax=FMAX, verbose=False) for structure in structures]
        seconds = time.perf_counter() - started
    return np.array([result["trajectory"].energies[-1] for result in results]), seconds


if __name__ == "__main__":
    main()
