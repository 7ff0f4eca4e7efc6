"""What a leaderboard shows: the entries of each dataset with their scores, and which metrics go where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.leaderboard import ENTRY, HEADLINE, leaderboard, metric_order
from uniscreen.benchmarking.quantities import quantity_of
from uniscreen.benchmarking.result_columns import COMPUTED
from uniscreen.benchmarking.result_rows import read_rows
from uniscreen.reports.tables import records
from uniscreen.reports.text import is_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pandas import DataFrame

    from uniscreen.benchmarking.result_rows import Results

BESIDE = ("shifted_energy_mae", "stress_mae", "force_slope", "speed", "training_time")
"""Metrics that are shown beside those of HEADLINE where they were measured."""

ERROR_OF = {
    "volume": "volume_error",
    "bulk_modulus": "bulk_modulus_error",
    **{f"c{i}{j}": "elastic_error" for i in range(1, 7) for j in range(i, 7)},
    "phonon_frequency": "phonon_mae",
    "vacancy_energy": "vacancy_energy_error",
    "surface_energy": "surface_energy_error",
    "polymorph_energy": "polymorph_energy_error",
}
"""The error against a reference that stands for a value."""

_PHYSICS = "nve_drift"
"""The first quantity that is no error on the test structures, and no time."""


@dataclass(frozen=True)
class Entry:
    """A model in a regime with a number of structures (None: not known); ``name`` has the number of its source.

    ``scores`` are its rows of the leaderboard by metric, ``n_failed`` of its ``n_cells`` cells failed in a metric at
    least, ``reasons`` are why. ``is_quoted`` says that its values are another's, and that it has no cells.
    """

    name: str
    regime: str
    n_train: int | None
    is_quoted: bool
    n_cells: int
    n_failed: int
    reasons: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """One dataset: ``entries`` in the order of the first metric of ``ranked``, those without a value last.

    ``ranked``, ``beside``, ``errors`` and ``physics`` are metrics: of the main table with and without ranks, and of
    two more tables, the last without values whose error is in it. ``board`` has its rows of the leaderboard.
    """

    benchmark: str
    dataset: str
    board: DataFrame
    entries: tuple[Entry, ...]
    ranked: tuple[str, ...]
    beside: tuple[str, ...]
    errors: tuple[str, ...]
    physics: tuple[str, ...]

    @property
    def title(self) -> str:
        """Benchmark and dataset, once where they have one name."""
        return self.dataset if self.dataset == self.benchmark else f"{self.benchmark}: {self.dataset}"


@dataclass(frozen=True)
class LeaderboardContent:
    """A leaderboard and its parts; ``by`` is by what ranks are separate.

    ``board`` has all metrics, ``shown`` those that were asked for, or all. ``sources`` are the citations of published
    figures and potentials, numbered from 1 on.
    """

    board: DataFrame
    shown: DataFrame
    by: tuple[str, ...]
    sources: tuple[str, ...]
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, results: Results, asked: Iterable[str] = (), by: Iterable[str] = ("dataset",)) -> LeaderboardContent:
        """Make the leaderboard of results; the metrics ``asked`` for are shown with ranks and no others.

        Raises:
            InputError: as ``leaderboard``.
        """
        groups, metrics = tuple(dict.fromkeys(by)), tuple(dict.fromkeys(asked))
        rows = read_rows(results)
        board = leaderboard(rows, by=groups)
        shown = leaderboard(rows, metric=metrics, by=groups) if metrics else board
        sources = tuple(sorted({*board["source"]} - {COMPUTED}))
        parts = [
            _part(str(benchmark), str(dataset), of_dataset, _failed_cells(rows, benchmark, dataset), metrics, sources)
            for (benchmark, dataset), of_dataset in board.groupby(["benchmark", "dataset"], sort=True)
        ]
        return cls(board, shown, groups, sources, tuple(parts))


def measured(board: DataFrame) -> list[str]:
    """The metrics of which any entry has a value."""
    return sorted(map(str, board.loc[board["n_seeds"] > 0, "metric"].unique()), key=metric_order)


def source_mark(source: str, sources: tuple[str, ...]) -> str:
    """The number of a source after a name; nothing where this program computed the value."""
    return "" if source == COMPUTED else f" [{sources.index(source) + 1}]"


def _failed_cells(rows: DataFrame, benchmark: Any, dataset: Any) -> dict[tuple[Any, ...], int]:
    """How many cells of each entry of a dataset failed, in whatever metric; by what makes an entry."""
    failed = rows[(rows["status"] == "failed") & (rows["benchmark"] == benchmark) & (rows["dataset"] == dataset)]
    return dict(Counter(_key(record) for record in records(failed.drop_duplicates([*ENTRY, "seed"]))))


def _key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes an entry."""
    return tuple(None if is_missing(record[name]) else record[name] for name in ENTRY)


def _part(
    benchmark: str,
    dataset: str,
    board: DataFrame,
    failed: Mapping[tuple[Any, ...], int],
    asked: tuple[str, ...],
    sources: tuple[str, ...],
) -> Part:
    there = measured(board)
    ranked = asked or tuple(name for name in HEADLINE if name in there) or tuple(there[:1]) or HEADLINE
    beside = () if asked else tuple(name for name in BESIDE if name in there and name not in ranked)
    left = [] if asked else [name for name in there if name not in {*ranked, *beside}]
    return Part(
        benchmark,
        dataset,
        board,
        entries=_entries(board, failed, ranked[0], sources),
        ranked=ranked,
        beside=beside,
        errors=tuple(name for name in left if metric_order(name) < metric_order(_PHYSICS)),
        physics=tuple(name for name in telling(left) if metric_order(name) >= metric_order(_PHYSICS)),
    )


def _reasons(scores: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Why cells failed; with the metrics that have no value for it where others do."""
    metrics: dict[str, list[str]] = {}
    for metric, score in scores.items():
        if score["n_failed"]:
            metrics.setdefault(score["reason"], []).append(metric)
    return tuple(
        reason if len(of) == len(scores) else f"{', '.join(sorted(of, key=metric_order))}: {reason}"
        for reason, of in metrics.items()
    )


def telling(metrics: list[str]) -> list[str]:
    """Return the metrics without those values whose errors are there too, which tell more in less room."""
    there = {error: {_crystal(name) for name in metrics if name.startswith(error)} for error in ERROR_OF.values()}
    errors = {name: ERROR_OF.get(quantity_of(name).name, "") for name in metrics}
    return [name for name in metrics if _crystal(name) not in there.get(errors[name], ())]


def _crystal(metric: str) -> str:
    """The crystal of a metric, with the surface's plane, but without the point of the Brillouin zone."""
    quantity, _, crystal = metric.partition(":")
    return crystal.rpartition(" ")[0] if quantity == "phonon_frequency" else crystal


def _entries(
    board: DataFrame, failed: Mapping[tuple[Any, ...], int], first: str, sources: tuple[str, ...]
) -> tuple[Entry, ...]:
    """The entries in the order of the rows of the metric ``first``, or of another where the dataset has no such row."""
    rows: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for record in sorted(records(board), key=lambda record: record["metric"] != first):
        rows.setdefault(_key(record), {})[record["metric"]] = record
    return tuple(
        Entry(
            name=model + source_mark(source, sources),
            regime=regime,
            n_train=n_train,
            is_quoted=not source.startswith(COMPUTED),
            n_cells=max(score["n_cells"] for score in scores.values()),
            n_failed=failed.get((model, regime, n_train, source), 0),
            reasons=_reasons(scores),
            scores=scores,
        )
        for (model, regime, n_train, source), scores in rows.items()
    )
