"""Relaxed crystals per second on all cores: ours against chgnet's and matcalc's ways, in one run.

    pip install matcalc==0.7.0
    python benchmarks/relax_throughput.py [wbm-972.json.gz] [--size 60]

(a) chgnet's StructOptimizer one by one, as its README shows it; (b) matcalc's RelaxCalc.calc_many, one single-threaded
process a core, with ASE's FIRE and with ASE's LBFGS. All with CHGNet 0.3.0, fmax 0.05 eV/Å, cell included, at most 500
steps; times include loading the model and starting processes. The last two lines are the ratios (a) and (b, the faster
of the two) of their time over ours.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.io import read, write
from perturbed import perturbed
from pymatgen.io.ase import AseAtomsAdaptor

if TYPE_CHECKING:
    from ase import Atoms

FMAX = 0.05


def main() -> None:
    """Run each way in a process of its own, with the threads that it is meant to have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        energies = WAYS[arguments.only](read(arguments.frames, ":"))
        np.save(arguments.frames.with_suffix(".npy"), energies)
        return
    crystals = perturbed(arguments.file, arguments.size)
    atoms = np.array([len(crystal) for crystal in crystals])
    print(f"{len(crystals)} crystals, {atoms.sum()} atoms, {len(os.sched_getaffinity(0))} cores")
    print(f"{'':26} {'s':>7} {'per s':>6}  energy against ours: within 1 meV/atom, lower, higher, none")
    seconds, energies = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "crystals.extxyz"
        write(frames, crystals)
        for name in WAYS:
            seconds[name] = _timed(name, frames)
            energies[name] = np.load(frames.with_suffix(".npy")) / atoms
            difference = 1000 * (energies[name] - energies["uniscreen"])
            kinds = abs(difference) <= 1, difference < -1, difference > 1, np.isnan(difference)
            counts = ", ".join(str(kind.sum()) for kind in kinds)
            print(f"{name:26} {seconds[name]:7.1f} {len(crystals) / seconds[name]:6.2f}  {counts}", flush=True)
    ours = seconds["uniscreen"]
    print(f"ratio_a={seconds['chgnet StructOptimizer'] / ours:.2f}")
    print(f"ratio={min(seconds['matcalc FIRE'], seconds['matcalc LBFGS']) / ours:.2f}")


def _timed(name: str, frames: Path) -> float:
    environment = dict(os.environ)
    if name.startswith("matcalc"):
        environment["OMP_NUM_THREADS"] = "1"
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--only", name, "--frames", frames], check=True, env=environment)
    return time.perf_counter() - started


def _uniscreen(crystals: list[Atoms]) -> np.ndarray:
    import uniscreen

    with tempfile.TemporaryDirectory() as folder:
        table = uniscreen.screen(crystals, out=Path(folder) / "run", fmax=FMAX)
    table = table.set_index("id").loc[[f"structure-{i}" for i in range(len(crystals))]]
    return (table["energy_eV_per_atom"] * table["n_atoms"]).to_numpy(dtype=float)


def _struct_optimizer(crystals: list[Atoms]) -> np.ndarray:
    from chgnet.model import StructOptimizer

    with contextlib.redirect_stdout(io.StringIO()):
        relaxer = StructOptimizer()
        results = [relaxer.relax(AseAtomsAdaptor.get_structure(a), fmax=FMAX, verbose=False) for a in crystals]
    return np.array([result["trajectory"].energies[-1] for result in results])


def _matcalc(optimizer: str, crystals: list[Atoms]) -> np.ndarray:
    import torch
    from chgnet.model.dynamics import CHGNetCalculator
    from matcalc import RelaxCalc

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        calculator = CHGNetCalculator(use_device="cpu")
    relaxation = RelaxCalc(calculator, optimizer=optimizer, fmax=FMAX, max_steps=500)
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in crystals]
    cores = len(os.sched_getaffinity(0))
    results = relaxation.calc_many(structures, n_jobs=cores, allow_errors=True)
    return np.array([np.nan if result is None else result["energy"] for result in results])


WAYS = {
    "uniscreen": _uniscreen,
    "chgnet StructOptimizer": _struct_optimizer,
    "matcalc FIRE": lambda crystals: _matcalc("FIRE", crystals),
    "matcalc LBFGS": lambda crystals: _matcalc("LBFGS", crystals),
}

if __name__ == "__main__":
    main()
