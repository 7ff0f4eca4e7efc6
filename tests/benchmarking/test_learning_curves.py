"""Learning curves of known exponents, and how many structures a target needs."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress

import uniscreen
from benchmark_rows import EXPONENTS, SIZES, benchmark_rows, cell, frame
from uniscreen.benchmarking.learning_curves import TARGETS, Need, Point, fit, learning_curves, need, samples_needed
from uniscreen.benchmarking.quantities import quantity_of


def points(errors, sizes=SIZES):
    return [Point(n, error, math.nan) for n, error in zip(sizes, errors, strict=False)]


def test_an_exact_power_law():
    law = fit(points([7.0 * n**-0.37 for n in SIZES]))
    assert law.exponent == pytest.approx(-0.37)
    assert law.standard_error == pytest.approx(0, abs=1e-12)


def test_the_standard_error_is_that_of_linear_regression():
    errors = [31.0, 15.0, 11.0, 6.0]
    expected = linregress(np.log(SIZES), np.log(errors))
    law = fit(points(errors))
    assert law == pytest.approx((expected.slope, expected.stderr))


def test_two_sizes_have_no_standard_error_and_one_has_no_exponent():
    law = fit(points([20.0, 10.0], (10, 40)))
    assert law.exponent == pytest.approx(-0.5)
    assert math.isnan(law.standard_error)
    assert fit(points([20.0])) is None
    assert fit(points([50.0, 20.0], (0, 10))) is None


@pytest.mark.parametrize(
    ("errors", "sizes", "expected"),
    [
        ([100.0, 10.0], (10, 1000), Need("=", 1000)),
        ([40.0, 20.0, 5.0], (10, 40, 160), Need("=", 80)),  # halfway between 20 and 5 in the logarithm
        ([40.0, 9.0, 12.0, 5.0], (10, 20, 40, 80), Need("=", 47)),  # it has to stay: 40 * 2 ** (ln 1.2 / ln 2.4)
        ([9.0, 5.0], (10, 40), Need("<=", 10)),
        ([40.0, 9.0, 11.0], (10, 20, 40), Need(">", 40)),
        ([40.0], (30,), Need(">", 30)),
        ([40.0], (0,), Need(">", 0)),
        ([4.0], (0,), Need("<=", 0)),
        ([40.0, 4.0], (0, 10), Need("<=", 10)),
    ],
    ids=[
        "at the end",
        "between",
        "stays",
        "at once",
        "rises again",
        "one size",
        "untrained",
        "good untrained",
        "from 0",
    ],
)
def test_structures_needed_for_10(errors, sizes, expected):
    assert need(points(errors, sizes), 10.0) == expected


def test_the_targets_are_10_meV_per_atom_and_a_tenth_of_an_eV_per_angstrom():
    found = {
        metric: (target, quantity_of(metric).unit, quantity_of(metric).better) for metric, target in TARGETS.items()
    }
    assert found == {"energy_mae": (10.0, "meV/atom", "lower"), "force_mae": (100.0, "meV/Å", "lower")}


def test_curves_of_a_leaderboard():
    board = uniscreen.leaderboard(benchmark_rows())
    laws = learning_curves(board)
    assert {*laws["metric"]} == {"energy_mae", "energy_rmse", "force_mae", "bulk_modulus_error:diamond"}
    assert "zero-shot" not in {*laws["regime"]}
    for law in laws.itertuples():
        logarithms = np.log([n for n in SIZES if n >= law.smallest_n_train])
        noise = 0.08 / math.sqrt(3 * len(logarithms) * logarithms.var())  # 8 % over three seeds
        assert law.exponent == pytest.approx(EXPONENTS[law.regime], abs=3 * noise)
    mtp = laws[(laws["model"] == "mtp") & (laws["metric"] == "energy_mae")]
    assert mtp[["n_sizes", "smallest_n_train", "largest_n_train"]].to_numpy().tolist() == [[3, 30, 214]] * 2
    needed = samples_needed(board).set_index(["dataset", "model", "regime", "metric"])
    assert needed.loc[("Si", "chgnet-0.3.0", "zero-shot", "energy_mae"), ["relation", "n_train"]].tolist() == [">", 0]
    assert needed.loc[("Si", "chgnet-0.3.0", "from-scratch", "energy_mae"), "relation"] == ">"
    tuned = needed.loc[("Si", "chgnet-0.3.0", "fine-tuned", "energy_mae"), "n_train"]
    assert tuned == pytest.approx(10 * 3 ** (1 / 0.45), rel=0.25)


def test_a_published_error_of_unknown_size_is_no_point():
    rows = frame(cell({"energy_mae": 3.0}, n_train=None, regime="published"), cell({"energy_mae": 5.0}))
    needed = samples_needed(uniscreen.leaderboard(rows))
    assert needed["regime"].tolist() == ["fine-tuned"]


def test_what_the_docs_show_runs(monkeypatch):
    root = Path(__file__).parents[2]
    (block,) = re.findall(r"```python\n(.+?)```", (root / "docs/leaderboard.md").read_text("utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(root)
    shown = {}
    exec(block, shown)
    assert [len(shown[name]) > 0 for name in ("exponents", "needs", "fronts")] == [True] * 3
