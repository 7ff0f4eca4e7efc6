"""How fast reference entries load and hull distances are answered, beside pymatgen in the same run.

    python benchmarks/hull_queries.py ENTRIES.json.gz
    python benchmarks/hull_queries.py --synthetic 30000

ENTRIES are Materials Project entries; the synthetic set has N, of 30 elements, with structures. Queries are random
compositions over the largest chemical systems, each of its own energy. Ours and pymatgen's are timed in turns on the
same queries, once the hulls are built. The last line is ``ratio=``, our queries per minute over those of
``PhaseDiagram.get_e_above_hull``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element, Lattice, Structure
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment

from uniscreen.thermodynamics import Hull, ReferenceSet, elemental_references

ROUNDS = 5
OF_PYMATGEN = 100
"""Queries a round put to pymatgen as well; all of them would take too long."""


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--synthetic", type=int, metavar="N", help="make N entries up instead")
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--systems", type=int, default=5, help="chemical systems, the largest first, to ask about")
    arguments = parser.parse_args()
    if (arguments.file is None) == (arguments.synthetic is None):
        parser.error("give either a file or --synthetic N")
    with tempfile.TemporaryDirectory() as scratch:
        file = arguments.file or _synthetic(arguments.synthetic, Path(scratch) / "synthetic.json.gz")
        started = time.perf_counter()
        references = ReferenceSet.from_file(file)
        loaded = time.perf_counter() - started
    print(f"loaded {len(references)} entries ({references.functional}, {references.scheme}) in {loaded:.2f} s")
    systems = _largest_systems(references, arguments.systems)
    print("asked about " + ", ".join("-".join(system) for system in systems))
    _compare(references, systems, arguments.queries)


def _compare(references: ReferenceSet, systems: list[tuple[str, ...]], n_queries: int) -> None:
    rng = random.Random(0)
    hull = Hull(references)
    started = time.perf_counter()
    for system in systems:
        hull.e_above_hull(Composition(dict.fromkeys(system, 1)), 0.0)
    built = time.perf_counter()
    diagrams = {system: PhaseDiagram(references.competing_entries("-".join(system))) for system in systems}
    print(f"hulls built in {built - started:.2f} s, pymatgen's diagrams in {time.perf_counter() - built:.2f} s")
    seconds, counts = Counter[str](), Counter[str]()
    worst = 0.0
    for _ in range(ROUNDS):
        queries = [_query(rng, systems, references) for _ in range(n_queries // ROUNDS)]
        started = time.perf_counter()
        ours = [hull.e_above_hull(Composition(amounts), energy).e_above_hull for _, amounts, energy in queries]
        ended = time.perf_counter()
        theirs = [
            diagrams[system].get_e_above_hull(PDEntry(Composition(amounts), energy), allow_negative=True)
            for system, amounts, energy in queries[:OF_PYMATGEN]
        ]
        seconds.update(uniscreen=ended - started, pymatgen=time.perf_counter() - ended)
        counts.update(uniscreen=len(ours), pymatgen=len(theirs))
        worst = max([worst, *(abs(a - b) for a, b in zip(ours, theirs, strict=False))])
    print(f"largest difference from pymatgen in {counts['pymatgen']} queries: {worst:.1e} eV/atom")
    rate = {name: 60 * counts[name] / seconds[name] for name in counts}
    for name, per_minute in rate.items():
        print(f"{name}: {per_minute:,.0f} queries/min ({counts[name]} queries)")
    print(f"ratio={rate['uniscreen'] / rate['pymatgen']:.1f}")


def _query(
    rng: random.Random, systems: list[tuple[str, ...]], references: ReferenceSet
) -> tuple[tuple[str, ...], dict[str, int], float]:
    """A chemical system, atoms of each of its elements, and a total energy (eV) near the elements'."""
    system = rng.choice(systems)
    amounts = {element: rng.randint(1, 12) for element in system}
    energy = sum(n * references.terminals[element].energy_per_atom for element, n in amounts.items())
    return system, amounts, energy + sum(amounts.values()) * rng.uniform(-2.0, 0.5)


def _largest_systems(references: ReferenceSet, count: int) -> list[tuple[str, ...]]:
    """The chemical systems of most elements, and of most entries among these, whose elements all have an entry."""
    sizes = Counter(tuple(sorted(entry.elements)) for entry in references.entries)
    known = [system for system in sizes if set(system) <= references.terminals.keys() and len(system) > 1]
    return sorted(known, key=lambda system: (-len(system), -sizes[system], system))[:count]


def _synthetic(count: int, path: Path) -> Path:
    """Write oxides and intermetallics of 30 elements as the Materials Project exports them, structures included."""
    rng = random.Random(0)
    elements = elemental_references("PBE")
    metals = sorted(symbol for symbol in elements if Element(symbol).is_metal)
    chosen = [*rng.sample(metals, 29), "O"]
    systems = [rng.sample(chosen, rng.choice((2, 3, 3, 4, 4, 4))) for _ in range(count // 60)]
    entries = [_entry(f"element-{element}", {element: 2}, 0.0) for element in chosen]
    while len(entries) < count:
        system = rng.choice(systems)
        part = rng.sample(system, rng.randint(2, len(system)))
        amounts = {element: rng.randint(1, 8) for element in part}
        entries.append(_entry(f"compound-{len(entries)}", amounts, rng.gauss(-0.3, 0.15)))
    path.write_bytes(gzip.compress(json.dumps(entries).encode(), compresslevel=1))
    return path


def _entry(entry_id: str, amounts: dict[str, int], formation_energy: float) -> dict:
    """A ComputedStructureEntry of this formation energy (eV/atom before corrections), with its MP2020 adjustment."""
    elements = elemental_references("PBE")
    composition = Composition(amounts)
    energy = sum(n * elements[el] for el, n in amounts.items()) + composition.num_atoms * formation_energy
    structure = Structure(Lattice.cubic(9.0), list(composition.elements), [[0.1 * n] * 3 for n in range(len(amounts))])
    oxide = CompositionEnergyAdjustment(-0.687, amounts.get("O", 0), 0.002, name="MP2020 anion correction (oxide)")
    corrected = "O" in amounts and len(amounts) > 1
    return {
        "@class": "ComputedStructureEntry",
        "entry_id": entry_id,
        "composition": amounts,
        "energy": energy,
        "correction": oxide.value if corrected else 0.0,
        "energy_adjustments": [oxide.as_dict()] if corrected else [],
        "parameters": {"run_type": "GGA", "hubbards": {}},
        "structure": structure.as_dict(),
    }


if __name__ == "__main__":
    main()
