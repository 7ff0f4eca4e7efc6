"""The rate and the end of training step by step."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from backend_modules import backend_module

schedule = backend_module("schedule")
PARAMETERS = {"learning_rate": 0.5, "max_steps": 100}


def run(n_batches: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[int]]:
    """The rates of the steps, a second each, and after which of them the validation structures are computed."""
    now = iter(range(100000))
    monkeypatch.setattr(schedule.time, "monotonic", lambda: next(now))
    plan = schedule.Schedule(PARAMETERS, n_batches, deadline=seconds)
    rates, checks = [], []
    while plan.progress < 1:
        rates.append(plan.rate)
        if plan.step():
            checks.append(plan.n_steps)
    return rates, checks


def test_the_rate_falls_to_a_hundredth_over_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, checks = run(30, 1e9, monkeypatch)
    assert len(rates) == 100
    assert rates[0] == 0.5
    assert rates[50] == pytest.approx(0.5 * 0.505)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.005, rel=0.05)
    assert checks == [30, 60, 90, 100]


def test_less_time_is_a_shorter_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, checks = run(30, 10.0, monkeypatch)
    assert len(rates) == 10
    assert rates[-1] < 0.03
    assert checks == [10]


def test_a_few_batches_are_not_validated_after_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(run(1, 1e9, monkeypatch)[1]) == schedule.CHECKS


def test_each_place_comes_once_a_round() -> None:
    rounds = list(islice(schedule.batches(5, 2, 7), 6))
    assert [len(one) for one in rounds] == [2, 2, 1, 2, 2, 1]
    for start in (0, 3):
        assert sorted(np.concatenate(rounds[start : start + 3])) == list(range(5))
