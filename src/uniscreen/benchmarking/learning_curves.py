"""How errors fall with the number of labelled structures: exponents, and how many structures an accuracy needs."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from uniscreen.benchmarking.leaderboard import entry_order, metric_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

TARGETS: Mapping[str, float] = {"energy_mae": 10.0, "force_mae": 100.0}
"""Errors that are small enough for much of what potentials are used for: 10 meV/atom and 0.1 eV/Å, in the metrics'
units."""

CURVE = ("benchmark", "dataset", "metric", "unit", "model", "regime", "source")
"""What a curve is one of; its points are the sizes."""

_FIT = ("exponent", "exponent_standard_error", "n_sizes", "smallest_n_train", "largest_n_train")
_NEED = ("target", "relation", "n_train")


class Point(NamedTuple):
    """An error, the mean over seeds, with a number of labelled structures; ``std`` is NaN where it is not known."""

    n_train: int
    error: float
    std: float


class PowerLaw(NamedTuple):
    """Error proportional to n_train ** ``exponent``; the standard error is NaN for two sizes, which fit exactly."""

    exponent: float
    standard_error: float


class Need(NamedTuple):
    """How many labelled structures a target needs: ``<=`` the smallest size, ``=``, or ``>`` the largest one."""

    relation: str
    n_train: int


def learning_curves(board: pd.DataFrame) -> pd.DataFrame:
    """Fit a power law to each curve of a leaderboard: one row a curve of a metric of which lower is better.

    Curves are those of two sizes or more, without zero-shot, whose logarithm of the size does not exist.
    """
    import pandas as pd

    records = []
    for named, points in curves(board):
        if law := fit(points):
            sizes = [point.n_train for point in points if point.n_train > 0]
            described = (*law, len(sizes), sizes[0], sizes[-1])
            records.append({**named, **dict(zip(_FIT, described, strict=True))})
    return pd.DataFrame(records, columns=[*CURVE, *_FIT])


def samples_needed(board: pd.DataFrame, targets: Mapping[str, float] = TARGETS) -> pd.DataFrame:
    """Say from which number of labelled structures on each curve stays within the targets (in the metrics' units)."""
    import pandas as pd

    records = [
        {**named, **dict(zip(_NEED, (targets[named["metric"]], *need(points, targets[named["metric"]])), strict=True))}
        for named, points in curves(board)
        if named["metric"] in targets
    ]
    return pd.DataFrame(records, columns=[*CURVE, *_NEED])


def curves(board: pd.DataFrame) -> Iterator[tuple[dict[str, Any], list[Point]]]:
    """What each curve is of, and its points by size.

    What has no place on it is left out: errors that are 0, and those of an unknown number of structures.
    """
    drawn = board[board["n_train"].notna() & (board["mean"] > 0) & (board["better"] == "lower")]
    groups = [
        (dict(zip(CURVE, key, strict=True)), rows.sort_values("n_train"))
        for key, rows in drawn.groupby(list(CURVE), sort=True)
    ]
    for named, rows in sorted(groups, key=lambda group: _order(group[0])):
        sizes = map(int, rows["n_train"])
        yield named, [Point(*values) for values in zip(sizes, rows["mean"], rows["std"], strict=True)]


def fit(points: Sequence[Point]) -> PowerLaw | None:
    """Fit a line to the logarithms of errors against those of sizes, by least squares; None for less than two sizes.

    Each size counts once, however many seeds it has: the standard error is that of how far sizes are off one line.
    """
    points = [point for point in points if point.n_train > 0]
    if len(points) < 2:
        return None
    x, y = _logarithms(points)
    slope, intercept = statistics.linear_regression(x, y)
    if len(points) == 2:
        return PowerLaw(slope, math.nan)
    residues = math.fsum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    middle = statistics.fmean(x)
    spread = math.fsum((a - middle) ** 2 for a in x)
    return PowerLaw(slope, math.sqrt(residues / (len(points) - 2) / spread))


def need(points: Sequence[Point], target: float) -> Need:
    """Say from which size on the errors stay at or below a target; ``points`` are by size, at least one.

    Between two sizes it is interpolated in the logarithms, and rounded up; nothing is extrapolated.
    """
    beyond = [place for place, point in enumerate(points) if point.error > target]
    if not beyond:
        return Need("<=", points[0].n_train)
    last = beyond[-1]
    if last == len(points) - 1:
        return Need(">", points[last].n_train)
    before, after = points[last], points[last + 1]
    if before.n_train == 0:
        return Need("<=", after.n_train)
    (x0, x1), (y0, y1) = _logarithms((before, after))
    size = math.exp(x0 + (x1 - x0) * (math.log(target) - y0) / (y1 - y0))
    return Need("=", math.ceil(size - 1e-9))


def _logarithms(points: Iterable[Point]) -> tuple[list[float], list[float]]:
    pairs = [(math.log(point.n_train), math.log(point.error)) for point in points]
    return [x for x, _ in pairs], [y for _, y in pairs]


def _order(named: Mapping[str, Any]) -> tuple[Any, ...]:
    metric = metric_order(named["metric"])
    return named["benchmark"], named["dataset"], *metric, *entry_order({**named, "n_train": None})
