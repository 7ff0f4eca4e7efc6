"""The columns of benchmark results: what each holds, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args
from unicodedata import normalize

from uniscreen.benchmarking.quantities import QUANTITIES, quantity_of
from uniscreen.errors import InputError
from uniscreen.messages import listed

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "count", "number"]

COLUMNS: dict[str, Kind] = {
    "benchmark": "text",
    "dataset": "text",
    "model": "text",
    "regime": "text",
    "n_train": "count",
    "seed": "count",
    "n_test": "count",
    "metric": "text",
    "value": "number",
    "unit": "text",
    "seconds": "number",
    "status": "text",
    "reason": "text",
    "source": "text",
}
Regime = Literal["zero-shot", "re-referenced", "fine-tuned", "from-scratch", "dedicated", "published"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
STATUSES = ("ok", "failed")
COMPUTED = "computed"
"""What ``source`` begins with where the value was computed here; else it is the citation of a published figure."""

OPTIONAL = {"reason": "", "source": COMPUTED}
"""Columns that rows from elsewhere may lack, and what stands in for them."""

_SIZE = r"^[^:]*_(?:mae|rmse)(?::|$)"
"""Metrics that are the mean size of something."""

_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
"""Characters that a terminal would obey, as in the last line of a log: all controls but tab and line feed."""

_LARGEST = 2**53
"""Of a count, which a float has to hold exactly."""


def checked(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give result rows their types and check their values; ``name`` is what errors call them.

    Columns of OPTIONAL may be left out. Text holds no missing values; counts are nullable integers (Int64). A failed
    row has no value; its metric is empty where the whole cell failed.

    Raises:
        InputError: a column is missing or unknown, a value is not what its column holds, or a metric is unknown or
            not in its unit.
    """
    given = [str(column) for column in rows.columns]
    if missing := [column for column in COLUMNS if column not in {*given, *OPTIONAL}]:
        raise InputError(
            f"{name}: no column {', '.join(missing)}. Expected {', '.join(COLUMNS)}, as 'uniscreen benchmark' writes "
            "them, or the columns of published figures (docs/leaderboard.md)."
        )
    if unknown := sorted({*given} - {*COLUMNS}):
        raise InputError(f"{name}: unknown column {', '.join(unknown)}. Expected {', '.join(COLUMNS)} only.")
    rows = rows.reset_index(drop=True)
    rows = rows.assign(**{column: value for column, value in OPTIONAL.items() if column not in given})
    rows = rows.assign(**{column: typed(rows[column], kind, name) for column, kind in COLUMNS.items()})
    for column, allowed in (("regime", REGIMES), ("status", STATUSES)):
        refuse(rows[column][~rows[column].isin(allowed)], name, f"unknown {column}", f"one of {', '.join(allowed)}")
    for column in ("benchmark", "dataset", "model", "source"):
        refuse(rows[column][rows[column] == ""], name, f"empty {column}", "a name")
    check_metrics(rows, name)
    return rows[list(COLUMNS)]


def typed(column: pd.Series[Any], kind: Kind, name: str) -> pd.Series[Any]:
    """A column as text without missing values, control characters and outer blanks, as counts or missing, or as floats.

    Text has the code points of NFC, so that an Å is one, however it was written.

    Raises:
        InputError: a value is of another kind.
    """
    import pandas as pd

    if kind == "text":
        text = column.astype("object").where(column.notna(), "").map(lambda value: normalize("NFC", str(value)))
        return text.replace(_CONTROL, " ", regex=True).str.strip()
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    refuse(column[numbers.isna() & column.notna()], name, f"{column.name} is no number", "a number, or nothing")
    if kind == "number":
        return numbers
    refuse(
        column[(numbers < 0) | (numbers % 1 > 0) | (numbers > _LARGEST)],
        name,
        f"{column.name} is no count",
        "0, 1, 2 ..., or nothing",
    )
    return numbers.astype("Int64")


def check_metrics(rows: pd.DataFrame, name: str) -> None:
    """Check that each row has a known metric in its unit, and no error below 0; a failed one may have no metric.

    Raises:
        InputError: one has not.
    """
    named = rows[(rows["status"] == "ok") | (rows["metric"] != "")]
    known = named["metric"].map(lambda metric: metric.partition(":")[0] in QUANTITIES).astype(bool)
    refuse(named["metric"][~known], name, "unknown metric", f"one of {', '.join(QUANTITIES)}")
    ok = named[named["status"] == "ok"]
    for row, metric, unit in zip(ok.index, ok["metric"], ok["unit"], strict=True):
        if unit != quantity_of(metric).unit:
            raise InputError(
                f"{name}: {metric} is in {unit or 'no unit'} (row {row}); expected {quantity_of(metric).unit}. "
                "Convert its values."
            )
    negative = ok[ok["metric"].str.contains(_SIZE).astype(bool) & (ok["value"] < 0)]
    refuse(negative["metric"], name, "negative error", "a number from 0 on")


def refuse(wrong: pd.Series[Any], name: str, what: str, expected: str) -> None:
    """Raise InputError where there are wrong values, naming the first of them."""
    if wrong.empty:
        return
    values = list(dict.fromkeys(repr(str(value)) for value in wrong))
    raise InputError(f"{name}: {what}: {listed(values)} (from row {wrong.index[0]} on). Expected {expected}.")
