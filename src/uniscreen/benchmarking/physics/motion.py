"""Dynamics and speed: whether a potential can be run, and how fast."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uniscreen.benchmarking.physics.measurement import Found, NotMeasured, Probe
from uniscreen.training.safety.dynamics import run_nve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uniscreen.benchmarking.physics.at_rest import Bulk
    from uniscreen.benchmarking.physics.properties import Dynamics, Speed

RATTLE = 0.05
"""Å, standard deviation of each coordinate: atoms in motion, about those of a crystal at 300 K."""

WARM_UP = 2
REPEATS = 5

SHORTEST = 0.3
"""s, of a repeat: what else the machine does is short against it."""


def dynamics_probe(bulk: Bulk, asked: Dynamics) -> Probe:
    """The size of the slope of the total energy with time."""

    def measure() -> dict[str, Found]:
        atoms = bulk.atoms.repeat(asked.supercell)
        run = run_nve(bulk.potential, atoms, asked.ps, on_sites=True)
        if run.broken:
            raise NotMeasured(run.broken)
        return {"nve_drift": Found(abs(run.drift()[0]), len(atoms))}

    return Probe(f"{bulk.name}: dynamics", ("nve_drift",), measure)


def speed_probe(bulk: Bulk, asked: Speed) -> Probe:
    """Atoms times evaluations a second of wall clock, in one thread of PyTorch: the best of several repeats.

    The structure is as given, not relaxed, so that every potential has the same neighbours to look at.
    """

    def measure() -> dict[str, Found]:
        atoms = bulk.given.repeat(asked.supercell)
        atoms.rattle(RATTLE, seed=0)
        with _one_thread():
            for _ in range(WARM_UP):
                bulk.potential.evaluate([atoms])
            fastest = min(_seconds(bulk, atoms) for _ in range(REPEATS))
        return {"speed": Found(len(atoms) / fastest, len(atoms))}

    return Probe(f"{bulk.name}: speed", ("speed",), measure)


def _seconds(bulk: Bulk, atoms: object) -> float:
    """The time of one evaluation, of as many as fill a repeat."""
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < SHORTEST or not done:
        bulk.potential.evaluate([atoms])
        done += 1
    return elapsed / done


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
