"""Pareto fronts: of points whose front is known, and of a leaderboard."""

import numpy as np

import uniscreen
from benchmark_rows import cell, frame
from uniscreen.benchmarking.pareto import on_front, pareto


def test_a_known_front():
    costs, errors = [1, 2, 2, 3, 4, 5, 5], [9, 7, 8, 7, 3, 3, 1]
    assert on_front(costs, errors) == [True, True, False, False, True, False, True]


def test_equal_points_are_on_it_together():
    assert on_front([1, 1, 2], [5, 5, 5]) == [True, True, False]


def test_against_the_definition():
    source = np.random.default_rng(3)
    costs, errors = source.integers(0, 12, (2, 60))
    dominated = [
        bool(np.any((costs <= c) & (errors <= e) & ((costs < c) | (errors < e))))
        for c, e in zip(costs, errors, strict=True)
    ]
    assert on_front(costs.tolist(), errors.tolist()) == [not one for one in dominated]


def test_of_a_leaderboard():
    rows = frame(
        cell({"energy_mae": 60.0, "speed": 3000.0}, model="universal", regime="zero-shot", n_train=0),
        cell({"energy_mae": 8.0, "speed": 3000.0}, model="universal"),
        cell({"energy_mae": 9.0, "speed": 90000.0}, model="mtp", regime="dedicated"),
        cell({"energy_mae": 7.0}, model="no speed", regime="dedicated", n_train=None),
        cell({"energy_mae": 99.0, "speed": 1.0}, dataset="Mo"),
    )
    found = pareto(uniscreen.leaderboard(rows))
    of_si = found[found["dataset"] == "Si"]
    speed, n_train = (of_si[of_si["cost"] == cost] for cost in ("speed", "n_train"))
    assert set(of_si["accuracy"]) == {"energy_mae"}
    assert dict(zip(speed["error"], speed["on_front"], strict=True)) == {60.0: False, 8.0: True, 9.0: True}
    assert dict(zip(n_train["error"], n_train["on_front"], strict=True)) == {60.0: True, 8.0: True, 9.0: False}
    assert found.loc[found["dataset"] == "Mo", "on_front"].all()
