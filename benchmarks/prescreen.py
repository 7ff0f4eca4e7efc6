"""What ``--prescreen`` saves and what it loses, on crystals whose relaxations are all known to the end.

    python benchmarks/prescreen.py ENTRIES.json.gz --references ENTRIES.json.gz --strain 0.03 --rattle 0.1

The crystals of the file, moved off their minima if asked for, are relaxed in full by what a worker of a screen runs,
and each step is taken down. On these steps the rule of ``--prescreen`` is then replayed for each limit: it learns from
a pilot drawn at random and says where it would have stopped the others, 20 times. An evaluation is one of energy,
forces and stress; those of the pilot count. A good candidate is one that ends within the limit when it is relaxed in
full; it is lost if it is stopped. Single atoms and xenon are left out. The figures are means over the draws, but the
lowest distance to the hull of one that was lost is that of all draws. They are counts rather than times, so the load of
the machine does not matter. The last line is for the last limit.
"""

from __future__ import annotations

import argparse
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from perturbed import perturbed

from uniscreen import load_potential
from uniscreen.screening.evaluator import CandidateEvaluator
from uniscreen.screening.prescreen import QUANTILE, Pilot, StopRule, pilot_places
from uniscreen.screening.settings import ScreenSettings
from uniscreen.structures import candidates_from_structures
from uniscreen.thermodynamics import ReferenceSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from uniscreen.potentials.base import Potential
    from uniscreen.screening.record import Record

DRAWS = 20


def main() -> None:
    """Relax, replay, and print a line for each limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", help="the demo's crystals unless given")
    parser.add_argument("--references", type=Path, help="elements unless given")
    parser.add_argument("--keep-below", type=float, nargs="+", default=[0.05, 0.1, 0.2], metavar="EV")
    parser.add_argument("--max-atoms", type=int, default=1000)
    parser.add_argument("--strain", type=float, default=0.0)
    parser.add_argument("--rattle", type=float, default=0.0, help="Å")
    parser.add_argument("--model", default="chgnet-0.3.0")
    given = parser.parse_args()
    torch.set_num_threads(1)
    potential = load_potential(given.model, device="cpu")
    functional = potential.card.functional
    references = (
        ReferenceSet.from_file(given.references) if given.references else ReferenceSet.from_elements(functional)
    )
    crystals = perturbed(given.file, 10**9, strain=given.strain, rattle=given.rattle)
    records = relaxed(potential, [atoms for atoms in crystals if len(atoms) <= given.max_atoms])
    total = sum(len(record.steps) for record in records)
    print(
        f"{len(records)} crystals of {len(crystals)} evaluated, {total} evaluations, {given.model}, quantile {QUANTILE}"
    )
    names = f"{'saved %':>9}{'stopped':>9}{'good':>7}{'lost':>7}{'lost %':>8}{'lowest lost':>14}"
    print(f"{'keep below':>10}{'way Å':>7}{'evaluations':>13}{names}")
    for limit in given.keep_below:
        draws = [replayed(records, potential, references, limit, seed) for seed in range(DRAWS)]
        way, left, stopped, good, lost, _ = np.mean(draws, axis=0)
        lowest = min(draw.lowest_lost for draw in draws)
        print(
            f"{limit:10g}{way:7.2f}{left:13.0f}{100 * (1 - left / total):9.1f}{stopped:9.1f}{good:7.1f}{lost:7.1f}"
            f"{100 * lost / max(good, 1):8.1f}{lowest:14.3f}"
        )
    print(f"ratio={total / left:.2f}")


def relaxed(potential: Potential, crystals: Sequence[Atoms]) -> list[Record]:
    """The records of the crystals that have energies, with all their steps."""
    evaluator = CandidateEvaluator(potential, ScreenSettings(), watcher=Pilot())
    waiting = deque(enumerate(candidates_from_structures(crystals)))
    records = []
    while waiting or not evaluator.idle:
        while waiting and evaluator.wants_more:
            evaluator.add(*waiting.popleft())
        records += evaluator.step()
    return sorted((record for record in records if record.steps), key=lambda record: record.index)


class Replay(NamedTuple):
    """The way that was learned, evaluations that were needed, and how many candidates were stopped, good and lost.

    ``lowest_lost``: the distance to the hull, eV/atom, of the lowest one that was lost; the limit where none was.
    """

    way: float
    evaluations: int
    stopped: int
    good: int
    lost: int
    lowest_lost: float


def replayed(
    records: Sequence[Record], potential: Potential, references: ReferenceSet, limit: float, seed: int
) -> Replay:
    """Learn from one pilot and replay the others' steps."""
    order = np.random.default_rng(seed).permutation(len(records)).tolist()
    n_pilot = len(pilot_places(len(records)))
    rule = StopRule.learned((records[k] for k in order[:n_pilot]), potential.card, references, limit)
    evaluations = stopped = n_good = 0
    lost = []
    for place, k in enumerate(order):
        record = records[k]
        steps, way = record.steps, rule.way
        rule.begin(k, rule.outlook(record.crystal.atoms()))
        n_atoms, offset = rule.offsets[k]
        end = record.energy / n_atoms + offset
        good = record.status == "ok" and end <= limit
        at = next((n for n, step in enumerate(steps[:-1]) if place >= n_pilot and rule.watch(k, n, *step)), None)
        evaluations += len(steps) if at is None else at + 1
        stopped += at is not None
        n_good += good
        if good and at is not None:
            lost.append(end)
        rule.end(k)
    return Replay(way, evaluations, stopped, n_good, len(lost), min(lost, default=limit))


if __name__ == "__main__":
    main()
