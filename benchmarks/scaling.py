"""Time and memory of a screen against candidates, workers, and atoms of a crystal.

    python benchmarks/scaling.py [--full] [--only screen|assemble|workers|atoms] [--sizes N ...]

screen: n triclinic crystals of two metals in a CSV file with their POSCARs, by what ``uniscreen screen`` runs, with a
    model that costs nothing: an energy that depends on the elements and the volume, no forces, no stress. So what is
    measured is reading, preflight, symmetry, records, hulls, results and report. Candidates compete with each other.
assemble: the same where all records exist already, written here as the workers would have: what the process of the
    command itself does, and all that could grow in it.
workers: 2000 of these candidates with one worker and with two.
atoms: one evaluation of CHGNet 0.3.0 (energy, forces, stress) of a rattled supercell of MgO on one thread, until the
    next size would take more than half of the free memory or four minutes.

Each line is a process of its own; the memory is the most that it held, for screens without that of the workers. Up to
10^4 candidates are screened and 10^5 assembled, with --full 10^6 of each. The last line is the time per candidate of
the largest assembly over that of 10^3, less the start-up, which is taken to be the time of 10^2.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols

MODEL = ["--model", "ase:scaling:calculator", "--trust-model-file", "--functional", "PBE"]
METALS = [chemical_symbols[number] for number in (*range(19, 33), *range(37, 51), *range(55, 84))]
REPEATS = (1, 2, 3, 5, 8, 11)
"""Of MgO's cubic cell of 8 atoms, in each direction."""
MOST_SECONDS = 240


class VolumeEnergy(Calculator):  # type: ignore[misc]  # ASE has no types
    """An energy of the elements and the volume, without forces and stress: it costs nothing and moves nothing."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        """Set the results."""
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": _energy(self.atoms.numbers, self.atoms.get_volume()),
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": np.zeros(6),
        }


def calculator() -> VolumeEnergy:
    """Make the calculator, as ``ase:MODULE:FACTORY`` asks for it."""
    return VolumeEnergy()


def _energy(numbers: Any, volume: float) -> float:
    """Total energy, eV: unlike metals bind, and best at one of many volumes."""
    return -float(len(numbers)) * (8.0 + 0.01 * float(np.std(numbers)) + 0.05 * np.cos(volume))


def main() -> None:
    """Measure each part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", choices=("screen", "assemble", "workers", "atoms"))
    parser.add_argument("--sizes", type=int, nargs="+", help="candidates, for --only screen or assemble")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, *given = arguments.measure
        print(json.dumps(MEASURED[name](*given) | {"mib": _peak_mib()}))
        return
    cores = len(os.sched_getaffinity(0))
    wanted = {arguments.only} if arguments.only else {"screen", "assemble", "workers", "atoms"}
    print(f"{cores} cores; load average {os.getloadavg()[0]:.1f}")
    print(f"{'':10}{'size':>9}{'workers':>9}{'s':>10}{'ms each':>10}{'MiB':>8}")
    if "screen" in wanted:
        for n in arguments.sizes or (100, 1_000, 10_000, *((100_000, 1_000_000) if arguments.full else ())):
            _screened("screen", n, cores)
    if "workers" in wanted:
        for workers in (1, 2):
            _screened("workers", 2_000, workers)
    if "atoms" in wanted:
        _atoms()
    if "assemble" in wanted:
        sizes = arguments.sizes or (100, 1_000, 10_000, 100_000, *((1_000_000,) if arguments.full else ()))
        seconds = {n: _screened("assemble", n, cores) for n in sizes}
        start_up = seconds.get(100, 0.0)
        if len(sizes) > 2:
            each = {n: (taken - start_up) / n for n, taken in seconds.items()}
            print(f"ratio={each[max(sizes)] / each[1_000]:.2f}")


def _screened(part: str, n: int, workers: int) -> float:
    """Screen n candidates in a process of its own; returns the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "candidates.csv"
        _write_candidates(table, n)
        out = Path(folder) / "run"
        if part == "assemble":
            _measured("record", table, out)
        found = _measured("screen", table, out, workers)
    _print(part, n, str(workers) if part != "assemble" else "", found)
    return found["seconds"]


def _atoms() -> None:
    """Evaluate larger and larger supercells."""
    before: dict[str, float] = {}
    n_before = 0
    for repeats in REPEATS:
        n = 8 * repeats**3
        growth = n / n_before if before else 0.0
        if growth * before.get("seconds", 0.0) > MOST_SECONDS or growth * before.get("mib", 0.0) > _free_mib() / 2:
            print(f"{'atoms':10}{n:9}  left out: it would take too long or too much memory")
            return
        before, n_before = _measured("evaluate", repeats), n
        _print("atoms", n, "", before)


def _print(part: str, n: int, workers: str, found: dict[str, float]) -> None:
    each = 1000 * found["seconds"] / n
    print(f"{part:10}{n:9}{workers:>9}{found['seconds']:10.2f}{each:10.3f}{found['mib']:8.0f}", flush=True)


def _measured(name: str, *given: object) -> dict[str, float]:
    command = [sys.executable, Path(__file__).name, "--measure", name, *map(str, given)]
    done = subprocess.run(command, check=True, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _screen(table: str, out: str, workers: str) -> dict[str, float]:
    """What the command does."""
    from uniscreen.cli.main import main as uniscreen

    begun = time.perf_counter()
    uniscreen(["screen", table, "--out", out, "--workers", workers, *MODEL, "--quiet"], standalone_mode=False)
    return {"seconds": time.perf_counter() - begun}


def _record(table: str, out: str) -> dict[str, float]:
    """Write the records of all candidates, without evaluating any: begin the run, and end it before its workers."""
    from uniscreen.screening import pipeline

    class Pool:
        def __init__(self, store: Any, *_: Any) -> None:
            self.store = store

        def run(self, units: Any, _on_done: Any) -> None:
            from uniscreen.screening.store import RecordWriter

            writer = RecordWriter(self.store.writer_path(), reserved=True)
            while some := list(itertools.islice(units, 10_000)):
                writer.commit_units([[_as_recorded(*pair) for pair in unit.candidates] for unit in some])
            writer.close()
            raise KeyboardInterrupt

    pipeline.WorkerPool = Pool  # type: ignore[misc,assignment]
    begun = time.perf_counter()
    with contextlib.suppress(SystemExit):  # what the command makes of the interruption
        _screen(table, out, "1")
    return {"seconds": time.perf_counter() - begun}


def _as_recorded(index: int, candidate: Any) -> Any:
    """The record that a worker makes of a candidate, without asking spglib and pymatgen for what is known."""
    from uniscreen.screening.record import Crystal, Record
    from uniscreen.structures import ReadLimits
    from uniscreen.thermodynamics import Correction

    atoms = candidate.source.load(ReadLimits())
    energy = _energy(atoms.numbers, atoms.get_volume())
    one, other = sorted(atoms.get_chemical_symbols())
    return Record(
        index=index,
        id=candidate.id,
        status="ok",
        formula=f"{one}{other}",
        n_atoms=2,
        n_steps=0,
        initial_energy=energy,
        energy=energy,
        max_force=0.0,
        max_stress=0.0,
        volume_change=0.0,
        space_group_initial="P-1 (2)",
        space_group_final="P-1 (2)",
        crystal=Crystal.of(atoms, moments=False),
        correction=Correction({}, {}),
        initial_correction=Correction({}, {}),
    )


def _evaluate(repeats: str) -> dict[str, float]:
    import torch

    from uniscreen.potentials import load_potential
    from uniscreen.structures.graph import AtomicGraph

    torch.set_num_threads(1)
    potential = load_potential("chgnet-0.3.0", device="cpu")
    small = bulk("MgO", "rocksalt", a=4.21, cubic=True)
    atoms = small.repeat(int(repeats))
    atoms.rattle(0.05, seed=0)
    for crystal in (small, atoms):  # the first one warms up
        begun = time.perf_counter()
        potential.evaluate_graph(AtomicGraph.from_atoms([crystal], potential.card.cutoff))
        seconds = time.perf_counter() - begun
    return {"seconds": seconds}


MEASURED: dict[str, Any] = {"screen": _screen, "record": _record, "evaluate": _evaluate}


def _write_candidates(path: Path, n: int) -> None:
    """Write n crystals: each pair of metals in turn, in cells that grow from round to round."""
    pairs = list(itertools.combinations(METALS, 2))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "poscar", "origin", "round"])
        for k in range(n):
            (one, other), turn = pairs[k % len(pairs)], k // len(pairs)
            a = 3.0 + 0.002 * turn
            cell = f"{a:.4f} 0.1 0.2\n0.3 {1.1 * a:.4f} 0\n0 0.4 {1.2 * a:.4f}"
            text = f"{one}{other}\n1.0\n{cell}\n{one} {other}\n1 1\nDirect\n0 0 0\n0.45 0.5 0.55\n"
            writer.writerow([f"c{k:07d}", text, "pairs", turn])


def _peak_mib() -> float:
    """The most memory that this process has held."""
    return _proc("/proc/self/status", "VmHWM:")


def _free_mib() -> float:
    return _proc("/proc/meminfo", "MemAvailable:")


def _proc(file: str, key: str) -> float:
    lines = Path(file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    main()
