"""The rows of a benchmark's results: one a cell and metric, and one a cell that failed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.quantities import quantity_of
from uniscreen.benchmarking.result_columns import COLUMNS, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from uniscreen.benchmarking.cells import Cell


def row(cell: Cell, metric: str, value: float, *, n_test: int | None, reason: str = "") -> dict[str, Any]:
    """A row of a metric; a value that is not finite is a metric that failed, for the reason given."""
    there = math.isfinite(value)
    return _of(cell) | {
        "n_test": n_test,
        "metric": metric,
        "value": value if there else None,
        "unit": quantity_of(metric).unit,
        "status": "ok" if there else "failed",
        "reason": reason or ("" if there else f"the value is {value}"),
    }


def failed_row(cell: Cell, reason: str, seconds: float | None = None) -> dict[str, Any]:
    """The one row of a cell that came to nothing."""
    return _of(cell) | {"status": "failed", "reason": reason, "seconds": seconds}


def results_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table, with the columns and types of all results."""
    import pandas as pd

    return checked(pd.DataFrame(list(rows), columns=list(COLUMNS)), "results")


def _of(cell: Cell) -> dict[str, Any]:
    nothing: dict[str, Any] = {"n_test": None, "metric": "", "value": None, "unit": "", "reason": ""}
    return nothing | {
        "benchmark": cell.benchmark,
        "dataset": cell.dataset,
        "model": cell.label,
        "regime": cell.regime,
        "n_train": cell.n_train,
        "seed": cell.seed,
        "source": cell.source,
    }
