"""The leaderboard: what each entry reached on each metric, over its seeds, and which place that is."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, Literal

from uniscreen.benchmarking.quantities import QUANTITIES, Better, quantity_of
from uniscreen.benchmarking.ranking import places
from uniscreen.benchmarking.result_columns import COMPUTED, REGIMES
from uniscreen.benchmarking.result_rows import read_rows
from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from uniscreen.benchmarking.result_rows import Results

ENTRY = ("model", "regime", "n_train", "source")
"""What makes an entry of a dataset's board; its cells differ in the seed alone."""

HEADLINE = ("energy_mae", "force_mae")
"""The metrics that come first, and that are shown as missing where nothing was measured."""

BY = ("dataset", "model", "regime", "n_train")
"""By what ranks can be separate. They always are by dataset: errors on different test sets do not compare."""

COLUMNS = (
    "benchmark",
    "dataset",
    "metric",
    "unit",
    "better",
    "rank",
    "worst_rank",
    *ENTRY,
    "mean",
    "std",
    "n_seeds",
    "n_cells",
    "n_failed",
    "n_test",
    "reason",
)
_COUNTS = ("rank", "worst_rank", "n_train", "n_seeds", "n_cells", "n_failed", "n_test")


def leaderboard(
    results: Results, *, metric: str | Iterable[str] | None = None, by: str | Iterable[str] = "dataset"
) -> pd.DataFrame:
    """Rank benchmark results: one row an entry (dataset, model, regime, n_train, source) and metric.

    ``results`` are result rows, or files or folders of them (``read_rows``). ``metric`` limits what is shown; all that
    was measured on a dataset is, unless given. Ranks are separate for each value of ``by`` (one or more of BY).

    ``mean`` and ``std`` (sample standard deviation) are over the ``n_seeds`` cells with a value, in ``unit``; ``std``
    is missing for one. ``rank`` to ``worst_rank`` are the places that the entry can have inside the noise
    (``ranking.places``); they are the same where it ties with no other, and missing where the metric is missing or has
    no better direction. ``n_failed`` of ``n_cells`` cells failed, for the ``reason``.

    Raises:
        InputError: the results are not what they should be, no row has a metric that was asked for, or ``by`` is wrong.
    """
    import pandas as pd

    rows = read_rows(results)
    groups = [by] if isinstance(by, str) else list(by)
    if wrong := [name for name in groups if name not in BY]:
        raise InputError(f"Ranks cannot be by {', '.join(wrong)}; expected {', '.join(BY)}.")
    asked = _asked(rows, metric)
    apart = [name for name in ENTRY if name in groups]
    records = [
        record
        for _, of_dataset in rows.groupby(["benchmark", "dataset"], sort=True)
        for entries in [_entries(of_dataset)]
        for name in asked or _measured(of_dataset)
        for record in _board(entries, name, apart)
    ]
    return pd.DataFrame(records, columns=list(COLUMNS)).astype(dict.fromkeys(_COUNTS, "Int64"))


def noise_of(record: Mapping[str, Any]) -> Literal["", "re-referencing", "training"]:
    """What differs between the seeds of an entry: nothing where it is as it was published, or its value is."""
    if record["regime"] in {"zero-shot", "published"} or not str(record["source"]).startswith(COMPUTED):
        return ""
    return "re-referencing" if record["regime"] == "re-referenced" else "training"


def metric_order(metric: str) -> tuple[int, str]:
    """Sorts metrics as their quantities are listed, then by crystal."""
    return list(QUANTITIES).index(quantity_of(metric).name), metric


def entry_order(record: Any) -> tuple[int, str, float, str]:
    """Sorts entries by regime, model, number of samples (unknown ones last) and source."""
    n_train = record["n_train"]
    size = float(n_train) if isinstance(n_train, int) else math.inf
    return REGIMES.index(record["regime"]), record["model"], size, record["source"]


def _asked(rows: pd.DataFrame, metric: str | Iterable[str] | None) -> list[str]:
    """The metrics that were asked for, each once."""
    if metric is None:
        return []
    names = list(dict.fromkeys([metric] if isinstance(metric, str) else metric))
    there = _measured(rows, ())
    if unknown := [name for name in names if name not in there]:
        raise InputError(f"The results have no metric {', '.join(unknown)}; they have {', '.join(there) or 'none'}.")
    return names


def _measured(rows: pd.DataFrame, otherwise: Sequence[str] = HEADLINE) -> list[str]:
    """The metrics of rows, in their order."""
    return sorted({*rows["metric"]} - {""}, key=metric_order) or list(otherwise)


class _Entry:
    """The cells of one entry: their seeds, the values of each metric, and what failed."""

    def __init__(self, cells: Sequence[Any]) -> None:
        first = cells[0]
        self.described = {name: getattr(first, name) for name in ("benchmark", "dataset", *ENTRY)}
        self.described["n_train"] = _integer(first.n_train)
        self.n_cells = len({_integer(cell.seed) for cell in cells})
        self.ok = [cell for cell in cells if cell.status == "ok"]
        self.failed = [cell for cell in cells if cell.status == "failed"]

    def score(self, metric: str) -> tuple[dict[str, Any], list[float]]:
        """Its row of the leaderboard without a rank, and the finite values of the metric, one a seed."""
        of_metric = [cell for cell in self.ok if cell.metric == metric]
        values = [float(cell.value) for cell in of_metric if math.isfinite(cell.value)]
        failed = [cell for cell in self.failed if cell.metric in {"", metric}]
        quantity = quantity_of(metric)
        record = {
            **self.described,
            "metric": metric,
            "unit": quantity.unit,
            "better": quantity.better,
            "mean": statistics.fmean(values) if values else math.nan,
            "std": statistics.stdev(values) if len(values) > 1 else math.nan,
            "n_seeds": len(values),
            "n_cells": self.n_cells,
            "n_failed": len({_integer(cell.seed) for cell in failed}),
            "n_test": min((size for cell in of_metric if (size := _integer(cell.n_test)) is not None), default=None),
            "reason": "; ".join(dict.fromkeys(cell.reason for cell in failed)),
        }
        return record, values


def _entries(rows: pd.DataFrame) -> list[_Entry]:
    """The entries of one dataset in a fixed order, their cells by seed."""
    cells: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows.sort_values("seed", kind="stable").itertuples(index=False):
        key = (row.model, row.regime, _integer(row.n_train), row.source)
        cells.setdefault(key, []).append(row)
    return sorted(map(_Entry, cells.values()), key=lambda entry: entry_order(entry.described))


def _integer(value: Any) -> int | None:
    import pandas as pd

    return None if pd.isna(value) else int(value)


def _board(entries: Sequence[_Entry], metric: str, apart: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every entry of one dataset on one metric: those ranked together, the best first; those without a value last."""
    groups: dict[tuple[Any, ...], list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(entry.described[name] for name in apart), []).append(entry)
    for members in groups.values():
        yield from _ranked([entry.score(metric) for entry in members], quantity_of(metric).better)


def _ranked(scores: Sequence[tuple[dict[str, Any], list[float]]], better: Better) -> Iterator[dict[str, Any]]:
    there = [(record, [_badness(value, better) for value in values]) for record, values in scores if values]
    if better == "no direction":
        yield from (record for record, _ in there)
    else:
        noise = [noise_of(record) for record, _ in there]
        found = zip(there, places([values for _, values in there], noise), strict=True)
        for (record, _), place in sorted(found, key=lambda one: statistics.fmean(one[0][1])):
            yield {**record, "rank": place.best, "worst_rank": place.worst}
    yield from (record for record, values in scores if not values)


def _badness(value: float, better: Better) -> float:
    """A value as a number that is lower where the value is better."""
    if better == "near one":
        return abs(value - 1.0)
    return -value if better == "higher" else value
