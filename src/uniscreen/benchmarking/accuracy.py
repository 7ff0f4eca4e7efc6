"""Errors of a potential on labelled structures, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.training.errors import Errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.potentials.base import SystemResult
    from uniscreen.structures.labels import LabelledStructure

METRICS = {
    "energy_mae": "energy_mae_meV_per_atom",
    "energy_rmse": "energy_rmse_meV_per_atom",
    "shifted_energy_mae": "shifted_energy_mae_meV_per_atom",
    "shifted_energy_rmse": "shifted_energy_rmse_meV_per_atom",
    "force_mae": "force_mae_meV_per_A",
    "force_rmse": "force_rmse_meV_per_A",
    "force_cosine": "force_cosine",
    "force_slope": "force_slope",
    "stress_mae": "stress_mae_GPa",
    "stress_rmse": "stress_rmse_GPa",
}
"""What each metric is in ``Errors``."""


def accuracy(labels: Sequence[LabelledStructure], results: Sequence[SystemResult]) -> dict[str, float]:
    """The errors of predictions by metric, in the order of the labels; without those that the labels do not allow."""
    errors = Errors.of(labels, results)
    found = {metric: getattr(errors, name) for metric, name in METRICS.items()}
    return {metric: float(value) for metric, value in found.items() if value is not None}
