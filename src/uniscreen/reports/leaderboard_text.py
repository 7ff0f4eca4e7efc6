"""How a leaderboard writes metrics, values, ranks and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.leaderboard import noise_of
from uniscreen.benchmarking.quantities import quantity_of
from uniscreen.reports.text import MISSING, decimals_of, is_missing, number

if TYPE_CHECKING:
    from collections.abc import Mapping


def heading(metric: str) -> str:
    """Name a metric with its crystal and unit."""
    title, unit = title_of(metric), unit_of(metric)
    return f"{title[0].upper()}{title[1:]}{',' if unit else ''}{unit}"


def title_of(metric: str) -> str:
    """Name a metric with its crystal."""
    crystal = metric.partition(":")[2]
    return f"{quantity_of(metric).title}{f' of {crystal}' if crystal else ''}"


def unit_of(metric: str) -> str:
    """The unit after a space, or nothing."""
    unit = quantity_of(metric).unit
    return "" if unit == "1" else f" {unit}"


def value_text(score: Mapping[str, Any]) -> str:
    """A mean with three digits, ± its standard deviation over seeds; ``± ?`` where one seed does not tell that."""
    mean, std = score["mean"], score["std"]
    if is_missing(mean):
        return MISSING
    decimals = decimals_of(mean)
    text = number(mean, decimals)
    if not is_missing(std):
        return f"{text} ± {number(std, decimals)}"
    return f"{text} ± ?" if noise_of(score) else text


def rank_text(score: Mapping[str, Any]) -> str:
    """The places that an entry can have inside the noise: one, or from the best to the worst."""
    if is_missing(score["rank"]):
        return MISSING
    best, worst = score["rank"], score["worst_rank"]
    return str(best) if best == worst else f"{best}–{worst}"  # noqa: RUF001 (an en dash stands for a range)


def exponent_text(exponent: float, error: float) -> str:
    """An exponent with its standard error; ``± ?`` where two sizes do not tell that."""
    return f"{number(exponent, 2)} ± {'?' if is_missing(error) else number(error, 2)}"


def need_text(relation: str, n_train: int) -> str:
    """How many structures are needed; none where a potential is good enough without."""
    if n_train == 0:
        return "0" if relation == "<=" else "not reached"
    return {"<=": "≤ ", ">": "> ", "=": ""}[relation] + str(n_train)
