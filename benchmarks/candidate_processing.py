"""What a worker does for a candidate beside evaluating it, in its own process and in helpers: what bounds it on a GPU.

    python benchmarks/candidate_processing.py [wbm-972.json.gz] [--size 300] [--helpers 1] [--evaluation 0.1]

In the place of the model is one that is content with every structure as it is, after a time in which the processor is
free, as it is while a GPU computes. What is left is reading, checks, space groups, corrections and keeping the batch.
The last line is the worker's own processor time without helper processes over that with them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from perturbed import perturbed

from uniscreen.potentials import find_card
from uniscreen.potentials.base import Evaluation, Potential
from uniscreen.relaxation.inflight import MAX_WORK
from uniscreen.screening.evaluator import CandidateEvaluator
from uniscreen.screening.settings import ScreenSettings
from uniscreen.structures import candidates_from_structures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.structures.candidate import Candidate
    from uniscreen.structures.graph import AtomicGraph

WARM_UP = 40
"""Candidates before the time is taken, by which all processes have started."""


class Content(Potential):
    """No energy and no force, after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.card = find_card("chgnet-0.3.0")
        self.device = torch.device("cpu")
        self.seconds = seconds

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:  # noqa: ARG002
        """Zeros."""
        time.sleep(self.seconds)
        energy = graph.positions.new_zeros(graph.n_systems)
        moments = graph.positions.new_zeros(len(graph.positions))
        return Evaluation(energy, torch.zeros_like(graph.positions), torch.zeros_like(graph.cells), moments)


def main() -> None:
    """Take both times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--helpers", type=int, default=1)
    parser.add_argument("--evaluation", type=float, default=0.1, help="seconds that the evaluation of a batch takes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    crystals = perturbed(arguments.file, WARM_UP + arguments.size, strain=0.0, rattle=0.0)
    candidates = list(candidates_from_structures(crystals))
    n = len(candidates) - WARM_UP
    mean = sum(len(atoms) for atoms in crystals[WARM_UP:]) / n
    print(f"{n} crystals, {mean:.1f} atoms on average")
    print(f"{'processing':24}{'candidates/s':>14}{'ms of the worker a candidate':>32}")
    own = []
    for n_helpers, name in ((0, "in the worker"), (arguments.helpers, f"in {arguments.helpers} beside it")):
        potential = Content(arguments.evaluation)
        evaluator = CandidateEvaluator(potential, ScreenSettings(), MAX_WORK["cuda"], n_helpers=n_helpers)
        evaluate(evaluator, candidates[:WARM_UP])
        started, used = time.perf_counter(), time.process_time()
        evaluate(evaluator, candidates[WARM_UP:])
        seconds, cpu = time.perf_counter() - started, time.process_time() - used
        own.append(cpu)
        evaluator.close()
        print(f"{name:24}{n / seconds:14.1f}{1000 * cpu / n:32.2f}")
    print(f"ratio={own[0] / own[1]:.2f}")


def evaluate(evaluator: CandidateEvaluator, candidates: Sequence[Candidate]) -> None:
    """Until all have a record."""
    waiting = list(enumerate(candidates))[::-1]
    done = 0
    while done < len(candidates):
        while waiting and evaluator.wants_more:
            evaluator.add(*waiting.pop())
        done += len(evaluator.step())


if __name__ == "__main__":
    main()
