"""The leaderboard: means, spreads, ranks, what failed and what is missing."""

import numpy as np
import pandas as pd
import pytest

import uniscreen
from benchmark_rows import SOURCE, benchmark_rows, cell, failed, frame, seeds
from uniscreen.benchmarking.leaderboard import COLUMNS
from uniscreen.errors import InputError


def ranks(board, metric="energy_mae"):
    rows = board[board["metric"] == metric]
    return {
        row.model: (None, None) if pd.isna(row.rank) else (row.rank, row.worst_rank)
        for row in rows.itertuples(index=False)
    }


def test_mean_and_sample_standard_deviation_over_seeds():
    board = uniscreen.leaderboard(frame(seeds("energy_mae", [2.0, 3.0, 7.0]), seeds("force_mae", [50.0], model="one")))
    assert list(board.columns) == list(COLUMNS)
    first = board.iloc[0]
    assert first[["dataset", "metric", "unit", "model", "n_train", "n_seeds"]].tolist() == [
        *("Si", "energy_mae", "meV/atom", "m", 100, 3),
    ]
    assert first["mean"] == 4.0
    assert first["std"] == pytest.approx(np.std([2, 3, 7], ddof=1))
    single = board[(board["model"] == "one") & (board["metric"] == "force_mae")].iloc[0]
    assert single["mean"] == 50.0
    assert np.isnan(single["std"])


def test_ties_inside_the_noise_have_a_range_of_places():
    board = uniscreen.leaderboard(
        frame(
            seeds("energy_mae", [1.0, 1.1, 1.2], model="best"),
            seeds("energy_mae", [5.0, 6.0, 7.0], model="a"),
            seeds("energy_mae", [5.5, 6.5, 7.5], model="b"),
            seeds("energy_mae", [30.0], model="published", regime="published"),
        )
    )
    assert ranks(board) == {"best": (1, 1), "a": (2, 3), "b": (2, 3), "published": (4, 4)}
    assert board["model"].tolist() == ["best", "a", "b", "published"]


def test_one_seed_has_the_noise_of_its_kind_and_a_published_figure_has_none():
    rows = frame(
        seeds("energy_mae", [1.0, 2.0, 3.0], model="trained"),
        seeds("energy_mae", [2.1], model="trained once"),
        seeds("energy_mae", [2.2], model="quoted", regime="dedicated", source=SOURCE),
        seeds("energy_mae", [2.3], model="quoted too", regime="dedicated", source=SOURCE),
        seeds("energy_mae", [99.0, 100.0, 101.0], model="moved", regime="re-referenced"),
        seeds("energy_mae", [102.0], model="moved once", regime="re-referenced"),
        seeds("energy_mae", [120.0], model="moved once too", regime="re-referenced"),
    )
    assert ranks(uniscreen.leaderboard(rows)) == {
        "trained": (1, 4),
        "trained once": (1, 4),
        "quoted": (1, 3),
        "quoted too": (2, 4),
        "moved": (5, 6),
        "moved once": (5, 6),
        "moved once too": (7, 7),
    }


def test_entries_are_in_the_order_of_their_means():
    rows = frame(seeds("energy_mae", [1.0, 9.0], model="scattered"), seeds("energy_mae", [3.9, 4.1], model="steady"))
    assert uniscreen.leaderboard(rows)["model"].tolist() == ["steady", "scattered"]


def test_the_fewest_structures_that_a_seed_was_tested_on_are_said():
    tests = [cell({"energy_mae": 1.0}, seed=seed, n_test=n) for seed, n in enumerate((25, 20, 25))]
    assert uniscreen.leaderboard(frame(*tests)).loc[0, "n_test"] == 20


def test_each_direction():
    rows = frame(
        cell({"speed": 10.0, "force_slope": 0.7, "volume": 20.0}, model="slow"),
        cell({"speed": 90.0, "force_slope": 1.1, "volume": 21.0}, model="fast"),
        cell({"speed": 50.0, "force_slope": 0.95, "volume": 22.0}, model="middle"),
    )
    board = uniscreen.leaderboard(rows)
    assert ranks(board, "speed") == {"fast": (1, 1), "middle": (2, 2), "slow": (3, 3)}
    assert ranks(board, "force_slope") == {"middle": (1, 1), "fast": (2, 2), "slow": (3, 3)}
    assert set(ranks(board, "volume").values()) == {(None, None)}
    assert board.loc[board["metric"] == "volume", "mean"].tolist() == [21.0, 22.0, 20.0]


def test_slopes_on_both_sides_of_one_do_not_make_a_good_one():
    rows = frame(
        seeds("force_slope", [0.5, 1.5, 0.5, 1.5], model="scattered"), seeds("force_slope", [0.9] * 4, model="steady")
    )
    assert ranks(uniscreen.leaderboard(rows), "force_slope") == {"steady": (1, 1), "scattered": (2, 2)}


def test_failed_cells_are_counted_and_the_rest_is_ranked():
    rows = frame(
        seeds("energy_mae", [2.0, 3.0], model="m"),
        failed("WorkerError: killed", model="m", seed=2),
        *(failed("ValueError: no", model="none", seed=seed) for seed in range(3)),
        failed("ValueError: never", dataset="Mo", model="alone"),
    )
    board = uniscreen.leaderboard(rows)
    of_si = board[board["dataset"] == "Si"].set_index("model")
    assert of_si.loc["m", ["n_seeds", "n_cells", "n_failed", "reason"]].tolist() == [2, 3, 1, "WorkerError: killed"]
    assert of_si.loc["none", ["n_seeds", "n_cells", "n_failed", "reason"]].tolist() == [0, 3, 3, "ValueError: no"]
    assert of_si["rank"].tolist()[0] == 1
    assert pd.isna(of_si.loc["none", "rank"])
    assert board.loc[board["dataset"] == "Mo", "metric"].tolist() == ["energy_mae", "force_mae"]
    assert board.loc[board["dataset"] == "Mo", "n_failed"].tolist() == [1, 1]


def test_a_metric_that_failed_alone_fails_only_there():
    broken = [{**failed("LinAlgError: singular")[0], "metric": "bulk_modulus_error:Si", "unit": ""}]
    board = uniscreen.leaderboard(frame(cell({"energy_mae": 1.0, "volume_error:Si": 1.0}), broken))
    found = dict(zip(board["metric"], board["n_failed"], strict=True))
    assert found == {"energy_mae": 0, "volume_error:Si": 0, "bulk_modulus_error:Si": 1}


def test_missing_metrics_and_values_are_shown_and_not_ranked():
    rows = frame(
        cell({"energy_mae": 1.0, "force_mae": 10.0}, model="both"),
        cell({"energy_mae": 2.0}, model="energy"),
        cell({"energy_mae": 3.0, "force_mae": float("nan")}, model="not a number"),
    )
    board = uniscreen.leaderboard(rows)
    assert ranks(board, "force_mae") == {"both": (1, 1), "energy": (None, None), "not a number": (None, None)}
    assert board.loc[board["metric"] == "force_mae", "mean"].isna().tolist() == [False, True, True]


def test_datasets_and_benchmarks_are_ranked_apart_and_so_is_what_by_names():
    rows = frame(
        cell({"energy_mae": 1.0}, n_train=10),
        cell({"energy_mae": 2.0}, n_train=30),
        cell({"energy_mae": 3.0}, n_train=30, model="other"),
        cell({"energy_mae": 9.0}, dataset="Mo"),
        cell({"energy_mae": 8.0}, benchmark="another"),
    )
    assert uniscreen.leaderboard(rows)["rank"].tolist() == [1, 1, 1, 2, 3]
    by_size = uniscreen.leaderboard(rows, by=["dataset", "n_train"])
    assert by_size.loc[by_size["benchmark"] == "bench", "rank"].tolist() == [1, 1, 1, 2]
    with pytest.raises(InputError, match=r"by colour; expected dataset, model, regime, n_train"):
        uniscreen.leaderboard(rows, by="colour")


def test_metrics_that_are_asked_for():
    board = uniscreen.leaderboard(benchmark_rows(), metric=["force_mae", "bulk_modulus_error:diamond"])
    assert board["metric"].unique().tolist() == ["force_mae", "bulk_modulus_error:diamond"]
    with pytest.raises(InputError, match=r"no metric phonon_mae; they have energy_mae, energy_rmse, force_mae"):
        uniscreen.leaderboard(benchmark_rows(), metric="phonon_mae")


def test_the_order_of_rows_and_files_does_not_matter(tmp_path):
    rows = benchmark_rows()
    expected = uniscreen.leaderboard(rows)
    pd.testing.assert_frame_equal(uniscreen.leaderboard(rows.sample(frac=1, random_state=1)), expected)
    for dataset in ("Si", "Mo"):
        rows[rows["dataset"] == dataset].to_csv(tmp_path / f"{dataset}.csv", index=False)
    for names in (("Si.csv", "Mo.csv"), ("Mo.csv", "Si.csv")):
        pd.testing.assert_frame_equal(uniscreen.leaderboard([tmp_path / name for name in names]), expected)
