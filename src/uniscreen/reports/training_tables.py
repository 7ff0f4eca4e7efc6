"""The tables of a fine-tuning's report that its summary holds: errors by set and stage, checks, reference energies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from uniscreen.reports.tables import Cell, Table, number_cell, text_cell
from uniscreen.reports.text import MISSING, shortened
from uniscreen.reports.training_results import SETS, STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uniscreen.reports.training_results import TrainingResults

_ERRORS = (
    ("energy_mae_meV_per_atom", "Energy MAE, meV/atom", 1),
    ("energy_rmse_meV_per_atom", "Energy RMSE, meV/atom", 1),
    ("shifted_energy_mae_meV_per_atom", "Without its mean, meV/atom", 1),
    ("force_mae_meV_per_A", "Force MAE, meV/Å", 1),
    ("force_rmse_meV_per_A", "Force RMSE, meV/Å", 1),
    ("force_slope", "Force slope", 3),
    ("force_cosine", "Force cosine", 3),
    ("stress_mae_GPa", "Stress MAE, GPa", 3),
)
_NOTE = (
    "Without its mean: the energy MAE that is left when the mean error is taken off. Slope: of predicted against DFT "
    "forces, through the origin. Cosine: of the angle between the vectors of all predicted and all DFT forces."
)
_CHECKS_NOTE = (
    "docs/validation.md says what each check is, where its limit comes from, and what to do about one that fails."
)
_OPTIONAL_NOTE = (
    " (fail) does not count: a stricter limit than is needed, or what was forgotten of other systems, which matters "
    "where the potential is to serve for them as well."
)
_STAGES = {"pretrained": "before", "rereferenced": "re-referenced", "trained": "trained"}


def error_table(results: TrainingResults) -> Table:
    """One row a set and stage."""
    headers = [
        Cell("Set"),
        Cell("Stage"),
        Cell("Frames", kind="number"),
        *(Cell(title, kind="number") for _, title, _ in _ERRORS),
    ]
    rows = []
    for name in results.sets:
        for stage in STAGES:
            errors = results.errors(name, stage)
            values = [number_cell(_or_nan(errors[key]), decimals) for key, _, decimals in _ERRORS]
            rows.append(
                [Cell(SETS[name]), Cell(_STAGES[stage], kind="short"), number_cell(errors["frames"], 0), *values]
            )
    return Table(headers, rows, _NOTE)


def checks_table(results: TrainingResults) -> Table:
    """The checks of the trained potential, as the summary has them."""
    headers = [
        Cell("Check", kind="id"),
        Cell("Value", kind="number"),
        Cell("Limit", kind="number"),
        Cell("Unit"),
        Cell("Status"),
        Cell("Detail", kind="reason"),
    ]
    checks = results.summary["checks"]
    note = _CHECKS_NOTE + (_OPTIONAL_NOTE if any(_fails_without_counting(check) for check in checks) else "")
    return Table(headers, [_check(check) for check in checks], note)


def shift_table(results: TrainingResults) -> Table:
    """By how much the reference energy of each element was moved."""
    shifts = results.summary["reference_energy_shifts_eV_per_atom"]
    rows = [[Cell(symbol), number_cell(shift, 4)] for symbol, shift in shifts.items()]
    return Table([Cell("Element"), Cell("Shift, eV/atom", kind="number")], rows)


def _check(check: Mapping[str, Any]) -> list[Cell]:
    status = str(check["status"])
    shown = (f"({status})", "not run") if _fails_without_counting(check) else (status, status)
    return [
        text_cell(str(check["name"]), 80, "id"),
        Cell(_quantity(check["value"]), kind="number"),
        Cell(_quantity(check["limit"]), kind="number"),
        Cell(str(check["unit"] or "")),
        Cell(shown[0], kind=f"status {shown[1].replace(' ', '-')}"),
        Cell(shortened(str(check["detail"] or ""), 600), kind="reason"),
    ]


def _fails_without_counting(check: Mapping[str, Any]) -> bool:
    return check["status"] == "fail" and not check.get("required", True)


def _quantity(value: Any) -> str:
    """A value of a check: a number with four digits, or its words."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shortened(str(value), 60)
    return f"{value:.4g}".replace("-", "−")  # noqa: RUF001 (a minus sign as wide as the digits)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
