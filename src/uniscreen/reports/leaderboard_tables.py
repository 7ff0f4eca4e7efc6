"""The tables of a leaderboard: entries by rank and by size, samples needed, Pareto fronts, failed cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.learning_curves import TARGETS, Point, curves, fit, need
from uniscreen.benchmarking.pareto import pareto
from uniscreen.reports.leaderboard_content import source_mark
from uniscreen.reports.leaderboard_text import (
    exponent_text,
    heading,
    need_text,
    rank_text,
    title_of,
    unit_of,
    value_text,
)
from uniscreen.reports.tables import LAST, Cell, Table, records
from uniscreen.reports.text import MISSING, decimals_of, is_missing, number, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uniscreen.reports.leaderboard_content import Entry, Part

REASON_LENGTH = 300

_MODEL = (Cell("Model", kind="id"), Cell("Regime"))
_N_TRAIN = Cell("n_train", title="labelled structures used, those of validation included", kind="number")
_SEEDS = Cell("Seeds", title="cells with a value, of those that ran where some have none", kind="number")
_ABSENT = Cell(MISSING, LAST, kind="number")
_RANK = Cell("#", title="rank: the place, or the best and the worst place inside the noise", kind="number")


def part_tables(part: Part, sources: tuple[str, ...]) -> list[tuple[str, Table]]:
    """Headed tables beside the main one: those that have a row and a column to show."""
    by_size = [
        (f"{heading(metric)}, by number of structures", sizes_table(part, metric, sources)) for metric in part.ranked
    ]
    boards = [
        (title, board_table(part, of)) for title, of in (("Other errors", part.errors), ("Physics", part.physics)) if of
    ]
    others = [
        ("Learning curves", samples_table(part, sources)),
        ("Pareto fronts", front_table(part, sources)),
        ("Failed cells", failed_table(part)),
    ]
    return [(title, table) for title, table in (*by_size, *boards, *others) if table.rows]


def main_table(part: Part) -> Table:
    """The entries in the order of the first ranked metric."""
    return board_table(part, [*part.ranked, *part.beside], ranked=part.ranked)


def board_table(part: Part, metrics: Sequence[str], *, ranked: Sequence[str] = ()) -> Table:
    """One row an entry, with a column for each metric, and one of the rank before it where it is ``ranked``."""
    headers = [*_MODEL, _N_TRAIN, _SEEDS]
    for metric in metrics:
        headers += [*([_RANK] if metric in ranked else []), Cell(heading(metric), kind="number")]
    rows = []
    for entry in part.entries:
        n_seeds = _n_seeds(entry, metrics)
        row = [*_named(entry.name, entry.regime, entry.n_train), _seeds(entry, n_seeds)]
        for metric in metrics:
            row += [*([_rank(entry, metric)] if metric in ranked else []), _value(entry.scores.get(metric), n_seeds)]
        rows.append(row)
    return Table(headers, rows)


def sizes_table(part: Part, metric: str, sources: tuple[str, ...]) -> Table:
    """One row a model in a regime, the best first, with a column for each size; empty where none has two sizes."""
    found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for score in records(part.board[part.board["metric"] == metric]):
        if not is_missing(score["n_train"]):
            key = (score["model"] + source_mark(score["source"], sources), score["regime"])
            found.setdefault(key, {})[score["n_train"]] = score
    if max(map(len, found.values()), default=0) < 2:
        return Table([], [])
    sizes = sorted({n_train for by_size in found.values() for n_train in by_size})
    rows = []
    for (name, regime), by_size in found.items():
        scores = [by_size.get(n_train) for n_train in sizes]
        rows.append([*_named(name, regime), *(_value(score, score["n_cells"] if score else 0) for score in scores)])
    return Table([*_MODEL, *(Cell(str(n), title=_N_TRAIN.title, kind="number") for n in sizes)], rows)


def samples_table(part: Part, sources: tuple[str, ...]) -> Table:
    """One row a learning curve: its exponents, and how many structures the targets need."""
    headers = [*_MODEL, Cell("Sizes", title="labelled structures, smallest and largest")]
    headers += [Cell(f"Exponent of {title_of(metric)}", kind="number") for metric in TARGETS]
    headers += [
        Cell(f"n for {title_of(metric)} {target:g}{unit_of(metric)}", kind="number")
        for metric, target in TARGETS.items()
    ]
    by_curve: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for curve, points in curves(part.board):
        if curve["metric"] in TARGETS:
            key = (curve["model"] + source_mark(curve["source"], sources), curve["regime"])
            by_curve.setdefault(key, {})[curve["metric"]] = points
    rows = [
        [*_named(name, regime), _sizes(of_curve), *_exponents(of_curve), *_needs(of_curve)]
        for (name, regime), of_curve in by_curve.items()
    ]
    return Table(headers, rows)


def front_table(part: Part, sources: tuple[str, ...]) -> Table:
    """The entries on each Pareto front, by cost."""
    headers = [Cell("Front"), *_MODEL, _N_TRAIN, Cell("Error", kind="number"), Cell("Speed", kind="number")]
    rows = []
    for record in records(pareto(part.board)):
        if record["on_front"]:
            is_speed = record["cost"] == "speed"
            against = "speed" if is_speed else "DFT calculations"
            name = record["model"] + source_mark(record["source"], sources)
            rows.append(
                [
                    Cell(f"{title_of(record['accuracy'])} against {against}"),
                    *_named(name, record["regime"], record["n_train"]),
                    _significant(record["error"], unit_of(record["accuracy"])),
                    _significant(record["cost_value"], unit_of("speed")) if is_speed else Cell("", LAST, kind="number"),
                ]
            )
    return Table(headers, rows)


def failed_table(part: Part) -> Table:
    """The models of which cells failed, with the sizes at which they did, and why."""
    headers = [
        *_MODEL,
        Cell(_N_TRAIN.text, title=_N_TRAIN.title),
        Cell("Failed", title="of the cells of these sizes", kind="number"),
        Cell("Reason", kind="reason"),
    ]
    alike: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in sorted(part.entries, key=lambda entry: (entry.name, entry.regime, entry.n_train or 0)):
        if entry.n_failed:
            reason = " ".join("; ".join(entry.reasons).split())
            alike.setdefault((entry.name, entry.regime, reason), []).append(entry)
    rows = [
        [
            *_named(name, regime),
            Cell(", ".join(MISSING if entry.n_train is None else str(entry.n_train) for entry in entries)),
            _of(sum(entry.n_failed for entry in entries), sum(entry.n_cells for entry in entries)),
            Cell(shortened(reason, REASON_LENGTH) or MISSING, kind="reason"),
        ]
        for (name, regime, reason), entries in alike.items()
    ]
    return Table(headers, rows)


def _of(count: int, total: int) -> Cell:
    return Cell(f"{count} of {total}", str(count), kind="number")


def _named(name: str, regime: str, n_train: int | str | None = "") -> list[Cell]:
    cells = [Cell(shortened(name, 80), kind="id"), Cell(regime, kind="short")]
    if n_train == "":
        return cells
    unknown = is_missing(n_train)
    return [*cells, Cell(MISSING if unknown else str(n_train), LAST if unknown else str(n_train), kind="number")]


def _n_seeds(entry: Entry, metrics: Sequence[str]) -> int:
    """How many cells have a value in one of the metrics at least."""
    return max((int(entry.scores[name]["n_seeds"]) for name in metrics if name in entry.scores), default=0)


def _seeds(entry: Entry, n_seeds: int) -> Cell:
    if n_seeds == entry.n_cells:
        return Cell(str(n_seeds), str(n_seeds), kind="number")
    return _of(n_seeds, entry.n_cells)


def _rank(entry: Entry, metric: str) -> Cell:
    score = entry.scores.get(metric)
    if score is None or is_missing(score["rank"]):
        return _ABSENT
    return Cell(rank_text(score), repr(score["rank"] + score["worst_rank"] / 1e6), kind="number")


def _value(score: Mapping[str, Any] | None, n_seeds: int) -> Cell:
    """The value, and of how many seeds it is where there are more."""
    if score is None or is_missing(score["mean"]):
        return Cell("failed", LAST, kind="number") if score and score["n_failed"] == score["n_cells"] > 0 else _ABSENT
    some = f" ({score['n_seeds']} of {n_seeds})" if score["n_seeds"] < n_seeds else ""
    return Cell(value_text(score) + some, repr(float(score["mean"])), kind="number")


def _significant(value: float, unit: str) -> Cell:
    return Cell(number(value, decimals_of(value)) + unit, repr(float(value)), kind="number")


def _sizes(of_curve: Mapping[str, list[Point]]) -> Cell:
    sizes = sorted({point.n_train for points in of_curve.values() for point in points})
    text = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return Cell(text, str(sizes[-1]), title=", ".join(map(str, sizes)), kind="short")


def _exponents(of_curve: Mapping[str, list[Point]]) -> list[Cell]:
    laws = [fit(of_curve.get(metric, [])) for metric in TARGETS]
    return [Cell(exponent_text(*law), repr(law.exponent), kind="number") if law else _ABSENT for law in laws]


def _needs(of_curve: Mapping[str, list[Point]]) -> list[Cell]:
    cells = []
    for metric, target in TARGETS.items():
        if points := of_curve.get(metric):
            found = need(points, target)
            order = found.n_train + (1e9 if found.relation == ">" else 0)
            cells.append(Cell(need_text(*found), repr(order), kind="number"))
        else:
            cells.append(_ABSENT)
    return cells
