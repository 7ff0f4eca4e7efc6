"""What an isolated potential costs beyond its evaluation: packing, pipes, and the check of the answer, per batch.

    python benchmarks/isolated_overhead.py --model sevennet-0

Times a batch of 32 demo crystals from outside and, by the worker's own clock, inside. The last line is the median of
the difference over the median of the time inside.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

import uniscreen
from uniscreen.errors import StructureError
from uniscreen.potentials.isolated.potential import IsolatedPotential
from uniscreen.structures import read_candidates
from uniscreen.structures.candidate import ReadLimits

CANDIDATES = Path(__file__).parents[1] / "data" / "demo" / "candidates.csv"


def main() -> None:
    """Time the batches and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sevennet-0")
    parser.add_argument("--structures", type=int, default=32, help="in one batch")
    parser.add_argument("--batches", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    potential = uniscreen.load_potential(arguments.model, device="cpu")
    if not isinstance(potential, IsolatedPotential):
        raise SystemExit(f"{arguments.model} runs in this process")
    graph = potential.graph(_structures(potential, arguments.structures))
    potential.evaluate_graph(graph)  # the first one is slower
    print(f"{potential.card.name}: {graph.n_systems} structures, {len(graph.numbers)} atoms in a batch")
    print(f"{'batch':>5} {'in all / ms':>12} {'evaluation / ms':>16} {'overhead / ms':>14}")
    inside, overhead = [], []
    for batch in range(arguments.batches):
        started = time.perf_counter()
        potential.evaluate_graph(graph)
        total = time.perf_counter() - started
        inside.append(potential.evaluation_seconds)
        overhead.append(total - potential.evaluation_seconds)
        print(f"{batch:>5} {1e3 * total:>12.1f} {1e3 * inside[-1]:>16.1f} {1e3 * overhead[-1]:>14.2f}")
    print(f"ratio={statistics.median(overhead) / statistics.median(inside):.4f}")


def _structures(potential: IsolatedPotential, n: int) -> list:
    """The first n demo crystals that the potential can evaluate."""
    found = []
    for candidate in read_candidates(CANDIDATES):
        try:
            atoms = candidate.source.load(ReadLimits())
            potential.graph([atoms])
        except StructureError:
            continue
        found.append(atoms)
    return found[:n]


if __name__ == "__main__":
    main()
