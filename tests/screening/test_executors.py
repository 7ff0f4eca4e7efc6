"""Candidates processed in helper processes: the same records as in the worker's own, and helpers that die."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from deadly_source import DeadlySource

from toy_card import toy_card
from toy_potentials import LennardJones
from uniscreen.errors import UniscreenError
from uniscreen.screening.evaluator import CandidateEvaluator
from uniscreen.screening.executors import helpers_per_worker
from uniscreen.screening.prescreen import StopRule
from uniscreen.screening.settings import ScreenSettings
from uniscreen.structures import candidates_from_structures
from uniscreen.structures.candidate import Candidate
from uniscreen.thermodynamics import ReferenceSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.screening.prescreen import Watcher
    from uniscreen.screening.record import Record

STRUCTURES = [
    *(bulk(symbol, "fcc", a=a) * (1, 1, 2) for symbol, a in (("Al", 3.9), ("Cu", 3.5), ("Ni", 3.7), ("Ag", 3.8))),
    bulk("MgO", "rocksalt", a=5.2),
    Atoms("Na2", positions=[[0, 0, 0], [0, 0, 0.1]], cell=[4, 4, 4], pbc=True),
    Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 12]], cell=[24, 24, 24], pbc=True),
]


def evaluated(
    candidates: Sequence[Candidate], n_helpers: int, limit: float | None = None, watcher: Watcher | None = None
) -> list[Record]:
    evaluator = CandidateEvaluator(LennardJones(), ScreenSettings(), limit, watcher, n_helpers)
    waiting, records = list(enumerate(candidates))[::-1], []
    with closing(evaluator):
        while waiting or not evaluator.idle:
            while waiting and evaluator.wants_more:
                evaluator.add(*waiting.pop())
            records += evaluator.step()
    return sorted(records, key=lambda record: record.index)


@pytest.mark.parametrize(("limit", "prescreen"), [(None, False), (250.0, True)])
def test_the_records_are_those_of_one_process(limit, prescreen):
    rule = StopRule(0.1, ReferenceSet.from_elements("PBE"), card=toy_card({"Al"}), way=0.5, n_finished=100)
    watcher = rule if prescreen else None
    candidates = candidates_from_structures(STRUCTURES)
    alone = evaluated(candidates, 0, limit, watcher)
    helped = evaluated(candidates, 2, limit, watcher)
    assert [record.index for record in alone] == [*range(len(STRUCTURES))]
    statuses = {record.status for record in alone}
    assert statuses == {"ok", "invalid_structure", "isolated_atoms"} | ({"stopped_early"} if prescreen else set())
    for one, other in zip(alone, helped, strict=True):
        if one.energy is None:
            assert one == other
            continue
        assert other.energy == pytest.approx(one.energy, rel=0, abs=1e-9)
        assert np.allclose(other.crystal.positions, one.crystal.positions, rtol=0, atol=1e-9)
        for name in ("id", "status", "formula", "n_steps", "space_group_initial", "space_group_final", "correction"):
            assert getattr(other, name) == getattr(one, name)


@pytest.mark.parametrize(("deaths", "status"), [(2, "ok"), (3, "worker_crash")])
def test_a_candidate_that_kills_processes_is_tried_again_and_then_set_aside(monkeypatch, tmp_path, deaths, status):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{':'.join(sys.path)}")
    others = list(candidates_from_structures(STRUCTURES[:3]))
    deadly = Candidate("deadly", DeadlySource(tmp_path / "readings", deaths))
    records = evaluated([others[0], deadly, *others[1:]], 1)
    assert [record.status for record in records] == ["ok", status, "ok", "ok"]
    assert len((tmp_path / "readings").read_text().splitlines()) == 3
    if status == "worker_crash":
        assert (records[1].id, records[1].reason) == ("deadly", "a process that worked on this candidate died 3 times")


def test_a_process_that_dies_while_it_has_nothing_to_do_is_no_fault_of_the_next_candidate(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{':'.join(sys.path)}")
    harmless, deadly = (DeadlySource(tmp_path / f"{deaths}", deaths) for deaths in (0, 2))
    evaluator = CandidateEvaluator(LennardJones(), ScreenSettings(), n_helpers=1)
    records = []
    with closing(evaluator):
        for index, source in enumerate((harmless, deadly)):
            evaluator.add(index, Candidate(f"{index}", source))
            while not evaluator.idle:
                records += evaluator.step()
            if source is harmless:
                process = int(harmless.readings.read_text())
                os.kill(process, signal.SIGKILL)
                os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert [record.status for record in records] == ["ok", "ok"]


def test_processes_that_do_not_start_end_it(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UniscreenError, match=r"No process that prepares .* can be started: ended with exit code 1"):
        evaluated(candidates_from_structures(STRUCTURES), 2)


def test_helpers_have_the_cores_that_workers_leave(monkeypatch):
    assert helpers_per_worker(1, "cpu") == 0
    for cores, n_workers, expected in ((16, 1, 8), (16, 2, 7), (4, 1, 3), (1, 1, 0), (2, 4, 0)):
        monkeypatch.setattr("uniscreen.screening.executors.usable_cores", lambda cores=cores: cores)
        assert helpers_per_worker(n_workers, "cuda") == expected
