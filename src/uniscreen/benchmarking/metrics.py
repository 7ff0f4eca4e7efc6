"""Metrics of regression and of finding stable crystals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Metrics = dict[str, float | int]


def regression_metrics(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> Metrics:
    """Compute errors over the finite predictions, in the unit of the values, which is eV/atom.

    ``true``, ``predicted``: (n,). A metric that is not defined (R2 of fewer than two values) is NaN.
    """
    there = np.isfinite(true) & np.isfinite(predicted)
    true, error = true[there], (predicted - true)[there]
    spread = float(np.square(true - true.mean()).sum()) if len(true) else 0.0
    return {
        "n": len(true),
        "MAE_eV_per_atom": float(np.abs(error).mean()) if len(true) else math.nan,
        "RMSE_eV_per_atom": float(np.sqrt(np.square(error).mean())) if len(true) else math.nan,
        "R2": 1.0 - float(np.square(error).sum()) / spread if spread > 0 else math.nan,
        "median_absolute_error_eV_per_atom": float(np.median(np.abs(error))) if len(true) else math.nan,
        "mean_error_eV_per_atom": float(error.mean()) if len(true) else math.nan,
    }


def stability_metrics(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> Metrics:
    """Compute how well stable crystals were told from others, as matbench-discovery does.

    ``true``, ``predicted``: distances to the hull (n,), eV/atom; at most 0 is stable. A prediction that is not finite
    counts as unstable; a crystal without a true distance is left out. What would divide by zero is NaN.

    Source: Riebesell et al., Nat. Mach. Intell. 7, 836 (2025), doi:10.1038/s42256-025-01055-1.
    """
    given = np.isfinite(true)
    stable, found = true[given] <= 0, np.nan_to_num(predicted[given], nan=np.inf) <= 0
    tp, fp = int((stable & found).sum()), int((~stable & found).sum())
    fn, tn = int((stable & ~found).sum()), int((~stable & ~found).sum())
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    prevalence = _ratio(tp + fn, int(given.sum()))
    return {
        "n": int(given.sum()),
        "F1": _ratio(2 * tp, 2 * tp + fp + fn),
        "DAF": _ratio(precision, prevalence),
        "precision": precision,
        "recall": recall,
        "accuracy": _ratio(tp + tn, int(given.sum())),
        "TPR": recall,
        "FPR": _ratio(fp, fp + tn),
        "TNR": _ratio(tn, fp + tn),
        "FNR": _ratio(fn, tp + fn),
        "TP": tp,
        "FP": fp,
        "TN": tn,
        "FN": fn,
        "prevalence": prevalence,
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
