"""Rows of benchmark results as a run writes them, made up: power laws with noise from a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from uniscreen.benchmarking.quantities import quantity_of

SIZES = (10, 30, 100, 214)
SOURCE = "A. Author et al., Journal 1, 1 (2020)"
EXPONENTS = {"fine-tuned": -0.45, "from-scratch": -0.5, "dedicated": -0.6}


def cell(metrics, **values):
    """The rows of one cell: one a metric."""
    usual = {
        "benchmark": "bench",
        "dataset": "Si",
        "model": "m",
        "regime": "fine-tuned",
        "n_train": 100,
        "seed": 0,
        "n_test": 25,
        "seconds": 1.0,
        "status": "ok",
        "reason": "",
        "source": "computed",
    }
    of_metric = [{"metric": name, "value": value, "unit": quantity_of(name).unit} for name, value in metrics.items()]
    return [{**usual, **one, **values} for one in of_metric]


def failed(reason, **values):
    """The one row of a cell that failed."""
    row = cell({"energy_mae": float("nan")}, **values)[0]
    return [{**row, "metric": "", "unit": "", "n_test": None, "status": "failed", "reason": reason}]


def seeds(metric, values, **described):
    """One cell for each value, a seed each."""
    return [row for seed, value in enumerate(values) for row in cell({metric: value}, seed=seed, **described)]


def frame(*parts):
    return pd.DataFrame([row for part in parts for row in part])


def benchmark_rows(seed=0, datasets=("Si", "Mo")):
    """Two universal potentials in four regimes and two dedicated models, one of which fails with few structures."""
    source = np.random.default_rng(seed)
    rows = []
    for dataset in datasets:
        for model, factor, speed in (("chgnet-0.3.0", 1.0, 3000.0), ("mace-mp-0-medium", 0.8, 1000.0)):
            untrained = {"n_train": 0, "regime": "zero-shot", "dataset": dataset, "model": model}
            rows += cell(_metrics(120 * factor, 200 * factor, speed), **untrained)
            for regime, energy, force in (("fine-tuned", 30.0, 180.0), ("from-scratch", 300.0, 700.0)):
                rows += _curve(source, energy * factor, force * factor, speed, dataset, model, regime)
        rows += _curve(source, 15.0, 220.0, 400.0, dataset, "gap", "dedicated")
        rows += [
            row for row in _curve(source, 45.0, 300.0, 60000.0, dataset, "mtp", "dedicated") if row["n_train"] > 10
        ]
        for number in range(3):
            described = {"dataset": dataset, "model": "mtp", "regime": "dedicated", "n_train": 10, "seed": number}
            rows += failed("BackendError: no\n  convergence | *at all*", **described)
    return pd.DataFrame(rows)


def _curve(source, energy, force, speed, dataset, model, regime):
    rows = []
    for n_train in SIZES:
        for seed in range(3):
            noise = np.exp(source.normal(0, 0.08, 2)) * (n_train / 10) ** EXPONENTS[regime]
            described = {"dataset": dataset, "model": model, "regime": regime, "n_train": n_train, "seed": seed}
            rows += cell(_metrics(energy * noise[0], force * noise[1], speed), **described)
    return rows


def _metrics(energy, force, speed):
    return {
        "energy_mae": energy,
        "energy_rmse": 1.3 * energy,
        "force_mae": force,
        "force_slope": 0.95,
        "speed": speed,
        "bulk_modulus:diamond": 98.0,
        "bulk_modulus_error:diamond": energy / 10,
    }


def published(**changes):
    """A table of one published figure, as a person writes it."""
    row = {"dataset": "Si", "model": "GAP 2018", "metric": "energy_mae", "value": "4.2", "unit": "meV/atom"}
    return pd.DataFrame([{**row, "n_train": "214", "source": SOURCE, **changes}])
