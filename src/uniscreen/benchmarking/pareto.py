"""Pareto fronts of a leaderboard: the entries of which none is better in accuracy and in cost at once."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.leaderboard import ENTRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

ACCURACY = ("energy_mae", "force_mae")
COST = ("speed", "n_train")
"""Atom steps/s, of which more is better, and the number of DFT calculations, of which fewer are."""

COLUMNS = ("benchmark", "dataset", "accuracy", "cost", *ENTRY, "error", "cost_value", "on_front")


def pareto(board: pd.DataFrame) -> pd.DataFrame:
    """Compare the entries of each dataset of a leaderboard (all its metrics) in each accuracy with each cost.

    One row an entry that has both, by ``cost_value``: ``accuracy`` and ``cost`` name what is compared, ``error`` and
    ``cost_value`` are the values (means over seeds), ``on_front`` says whether no other entry is as good in both and
    better in one.
    """
    import pandas as pd

    records = [
        {"benchmark": benchmark, "dataset": dataset, "accuracy": accuracy, "cost": cost, **record}
        for (benchmark, dataset), rows in board.groupby(["benchmark", "dataset"], sort=True)
        for accuracy, cost in product(ACCURACY, COST)
        for record in _compared(rows, accuracy, cost)
    ]
    return pd.DataFrame(records, columns=list(COLUMNS)).astype({"n_train": "Int64"})


def on_front(costs: Sequence[float], errors: Sequence[float]) -> list[bool]:
    """Whether each point is on the front: lower is better in both. Of points that are the same, all are or none is."""
    front, lowest = set(), float("inf")
    for cost, error in sorted(zip(costs, errors, strict=True)):
        if error < lowest:
            front.add((cost, error))
            lowest = error
    return [point in front for point in zip(costs, errors, strict=True)]


def _compared(rows: pd.DataFrame, accuracy: str, cost: str) -> list[dict[str, Any]]:
    """The entries of one dataset that have an error and a cost, by cost."""
    entry = list(ENTRY)
    both = rows.loc[rows["metric"] == accuracy, [*entry, "mean"]].rename(columns={"mean": "error"})
    if cost == "n_train":
        both = both.assign(cost_value=both["n_train"].astype("float64"))
    else:
        costs = rows.loc[rows["metric"] == cost, [*entry, "mean"]].rename(columns={"mean": "cost_value"})
        both = both.merge(costs, on=entry)
    both = both.dropna(subset=["error", "cost_value"]).sort_values(["cost_value", "error"], kind="stable")
    sign = -1.0 if cost == "speed" else 1.0
    flags = on_front((sign * both["cost_value"]).tolist(), both["error"].tolist())
    return [
        {str(name): value for name, value in record.items()}
        for record in both.assign(on_front=flags).to_dict("records")
    ]
