"""Time deduplication (CPU) against plain StructureMatcher on copies of real crystals, and count what either finds.

    python benchmarks/deduplication.py                                   # of the demo crystals
    python benchmarks/deduplication.py ENTRIES.json.gz --rows 10000 --plain 2000

Each row is a random crystal of the input as a supercell, rotated, shifted, its atoms moved and in another order. The
first ``--plain`` rows are deduplicated by both in the same run: by ``find_duplicates``, which reads a table, and by
``StructureMatcher.group_structures`` on structures in memory. A row that only the latter finds is lost.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from uniscreen.errors import StructureError
from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.structures.deduplication import find_duplicates
from uniscreen.structures.writing import CandidateWriter

DEMO = Path(__file__).parents[1] / "data" / "demo" / "candidates.csv"
MOST_ATOMS = 100


def main() -> None:
    """Make the rows, deduplicate them, and print times and counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=DEMO, help="crystals: anything that a screen takes")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--plain", type=int, default=1000, help="how many of them StructureMatcher gets, too")
    parser.add_argument("--noise", type=float, default=0.03, help="standard deviation of each coordinate, Å")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    crystals = _crystals(arguments.file)
    random = np.random.default_rng(arguments.seed)
    sources = [int(source) for source in random.integers(len(crystals), size=arguments.rows)]
    rows = [_copy(crystals[source], random, arguments.noise) for source in sources]
    print(f"{len(rows)} rows, copies of {len(set(sources))} crystals of {arguments.file.name}; seed {arguments.seed}")
    if arguments.rows > arguments.plain:
        duplicates, seconds = _ours(rows)
        first = {source: row for row, source in reversed(list(enumerate(sources)))}
        copies = [row for row, source in enumerate(sources) if first[source] != row]
        print(f"all rows: {len(rows) - len(duplicates)} kept, {seconds:.1f} s of CPU")
        print(f"copies that were kept: {len(set(copies) - duplicates)} of {len(copies)}")
    rows = rows[: arguments.plain]
    duplicates, ours = _ours(rows)
    found, plain = _plain(rows)
    print(f"{len(rows)} rows: kept {len(rows) - len(duplicates)}, by StructureMatcher {len(rows) - len(found)}")
    print(f"lost: {len(found - duplicates)}, found here alone: {len(duplicates - found)}")
    print(f"CPU seconds: {ours:.1f} with reading the table, StructureMatcher.group_structures {plain:.1f}")
    print(f"ratio={plain / ours:.2f}")


def _crystals(file: Path) -> list[Atoms]:
    found = []
    for candidate in read_candidates(file):
        try:
            atoms = candidate.source.load(ReadLimits(max_atoms=MOST_ATOMS))
        except StructureError:
            continue
        found.append(atoms)
    return found


def _copy(atoms: Atoms, random: np.random.Generator, noise: float) -> Atoms:
    """Return the crystal in another cell, place, orientation and order of atoms, with noise."""
    copy = atoms.copy()
    for axis in random.permutation(3):
        if 2 * len(copy) <= MOST_ATOMS and random.random() < 0.4:
            copy *= [2 if k == axis else 1 for k in range(3)]
    skew = np.eye(3, dtype=int)
    skew[random.integers(3), random.integers(3)] = 1  # the diagonal, too: then the cell stays
    rotation = Rotation.random(random_state=random).as_matrix()
    positions = copy.positions + random.normal(scale=noise, size=(len(copy), 3)) + random.uniform(-5, 5, size=3)
    order = random.permutation(len(copy))
    moved = Atoms(copy.numbers[order], positions[order] @ rotation, cell=skew @ copy.cell.array @ rotation, pbc=True)
    moved.set_cell(moved.cell.array * random.uniform(0.97, 1.03), scale_atoms=True)
    return moved


def _ours(rows: list[Atoms]) -> tuple[set[int], float]:
    """Return the duplicates and the CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        with CandidateWriter(file, ()) as writer:
            for name, atoms in enumerate(rows):
                writer.write(str(name), atoms, {})
        started = time.process_time()
        found = find_duplicates(read_candidates(file))
        return set(found.duplicate_of), time.process_time() - started


def _plain(rows: list[Atoms]) -> tuple[set[int], float]:
    """Return the duplicates and the CPU seconds."""
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in rows]
    place = {id(structure): row for row, structure in enumerate(structures)}
    started = time.process_time()
    groups = StructureMatcher().group_structures(structures)
    seconds = time.process_time() - started
    return {place[id(repeat)] for _, *repeats in groups for repeat in repeats}, seconds


if __name__ == "__main__":
    main()
