"""Metrics against confusion matrices that can be counted by hand, and against scikit-learn's formulas."""

import math

import numpy as np
import pytest

from uniscreen.benchmarking.metrics import regression_metrics, stability_metrics

NAN = math.nan


def test_a_confusion_matrix_by_hand():
    """10 crystals, 4 stable: 3 found, 1 missed (its prediction is missing); of the 6 others 2 are called stable."""
    true = np.array([-0.1, 0.0, -0.02, -0.3, 0.1, 0.2, 0.3, 0.01, 0.5, 1.0])
    predicted = np.array([-0.2, 0.0, -0.5, NAN, -0.1, 0.0, 0.2, 0.02, NAN, 0.9])
    metrics = stability_metrics(true, predicted)
    assert [metrics[name] for name in ("n", "TP", "FN", "FP", "TN")] == [10, 3, 1, 2, 4]
    assert metrics["precision"] == pytest.approx(3 / 5)
    assert metrics["recall"] == metrics["TPR"] == pytest.approx(3 / 4)
    assert metrics["F1"] == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))
    assert metrics["accuracy"] == pytest.approx(7 / 10)
    assert metrics["FPR"] == pytest.approx(2 / 6)
    assert metrics["TNR"] == pytest.approx(4 / 6)
    assert metrics["FNR"] == pytest.approx(1 / 4)
    assert metrics["prevalence"] == pytest.approx(4 / 10)
    assert metrics["DAF"] == pytest.approx(0.6 / 0.4)


def test_the_acceleration_is_not_rounded_on_the_way():
    true, predicted = np.array([-1.0] * 3 + [1.0] * 4), np.array([-1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 1.0])
    assert stability_metrics(true, predicted)["DAF"] == (2 / 3) / (3 / 7)


def test_crystals_without_a_true_distance_are_left_out():
    metrics = stability_metrics(np.array([NAN, -0.1, 0.1]), np.array([-0.1, -0.1, 0.1]))
    assert (metrics["n"], metrics["F1"]) == (2, 1.0)


def test_perfect_predictions_accelerate_by_one_over_prevalence():
    true = np.array([-0.1] + [0.1] * 9)
    metrics = stability_metrics(true, true)
    assert (metrics["F1"], metrics["DAF"], metrics["accuracy"]) == (1.0, 10.0, 1.0)


def test_what_divides_by_zero_is_nan():
    nothing_found = stability_metrics(np.array([-0.1, 0.1]), np.array([0.1, 0.1]))
    assert math.isnan(nothing_found["precision"])
    assert math.isnan(nothing_found["DAF"])
    assert nothing_found["F1"] == 0.0
    nothing_stable = stability_metrics(np.array([0.1]), np.array([0.1]))
    assert math.isnan(nothing_stable["recall"])
    assert math.isnan(nothing_stable["DAF"])
    assert math.isnan(stability_metrics(np.array([]), np.array([]))["accuracy"])


def test_regression():
    true, predicted = np.array([0.0, 1.0, 2.0, 3.0, NAN]), np.array([0.1, 0.8, 2.0, NAN, 1.0])
    metrics = regression_metrics(true, predicted)
    assert metrics["n"] == 3
    assert metrics["MAE_eV_per_atom"] == pytest.approx(0.1)
    assert metrics["RMSE_eV_per_atom"] == pytest.approx(math.sqrt(0.05 / 3))
    assert metrics["R2"] == pytest.approx(1 - 0.05 / 2)
    assert metrics["median_absolute_error_eV_per_atom"] == pytest.approx(0.1)
    assert metrics["mean_error_eV_per_atom"] == pytest.approx(-0.1 / 3)


def test_regression_of_too_few():
    assert math.isnan(regression_metrics(np.array([1.0]), np.array([1.0]))["R2"])
    assert math.isnan(regression_metrics(np.array([]), np.array([]))["MAE_eV_per_atom"])
