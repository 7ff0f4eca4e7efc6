"""Published figures, each with its source, as rows beside computed ones: a CSV file that a person writes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.result_columns import COLUMNS, COMPUTED, Kind, check_metrics, refuse, typed
from uniscreen.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("dataset", "model", "metric", "value", "unit", "source")
OPTIONAL = ("benchmark", "regime", "n_train", "n_test")
"""``benchmark`` may be left out where one of the results has the dataset; ``regime`` is ``published`` unless given."""

_REGIMES = ("published", "dedicated")
_OF_RUNS = ("seed", "status")
"""Columns that only rows of a run have."""


def is_published(table: pd.DataFrame) -> bool:
    """Whether a table is meant as one of published figures rather than as a run's rows."""
    return "source" in table.columns and not any(column in table.columns for column in _OF_RUNS)


def published_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Make result rows of published figures; ``benchmark`` is empty where the table does not say.

    Raises:
        InputError: a column is missing or unknown, a value is no number or its unit another one, or a source is empty.
    """
    given = [str(column) for column in table.columns]
    missing = [column for column in REQUIRED if column not in given]
    unknown = sorted({*given} - {*REQUIRED, *OPTIONAL})
    if missing or unknown:
        what = f"no column {', '.join(missing)}" if missing else f"unknown column {', '.join(unknown)}"
        raise InputError(
            f"{name}: {what}. Expected {', '.join(REQUIRED)} and, if known, {', '.join(OPTIONAL)}, which published "
            "figures have; rows of a run have seed and status as well."
        )
    rows = table.reset_index(drop=True)
    columns = {column: _column(rows, column, kind, name) for column, kind in COLUMNS.items()}
    rows = rows.assign(**columns)[list(COLUMNS)]
    rows["regime"] = rows["regime"].where(rows["regime"] != "", "published")
    rows["status"] = "ok"
    refuse(rows["regime"][~rows["regime"].isin(_REGIMES)], name, "unknown regime", " or ".join(_REGIMES))
    for column in ("dataset", "model"):
        refuse(rows[column][rows[column] == ""], name, f"empty {column}", "a name")
    uncited = (rows["source"] == "") | rows["source"].str.startswith(COMPUTED)
    refuse(rows["source"][uncited], name, "no source", "the citation of where the figure was published")
    refuse(table["value"][~rows["value"].map(math.isfinite).to_numpy()], name, "no value", "a number")
    check_metrics(rows, name)
    return rows


def _column(rows: pd.DataFrame, column: str, kind: Kind, name: str) -> pd.Series[Any]:
    import pandas as pd

    empty = pd.Series([None] * len(rows), dtype="object", name=column)
    return typed(rows[column] if column in rows.columns else empty, kind, name)
