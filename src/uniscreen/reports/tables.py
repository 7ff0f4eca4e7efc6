"""The tables of a screening report: cells with the text to show and the value to sort by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from uniscreen.reports.results import SELF_CONSISTENT
from uniscreen.reports.text import MISSING, breakable, chemical, is_missing, number, plain, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame, Series

    from uniscreen.reports.results import ScreenResults

CARRIED_SHOWN = 6
"""Columns of the input shown beside the results."""
LARGE_VOLUME_CHANGE = 10.0
"""Percent."""
OUTLIERS_SHOWN = 200
FAILED_SHOWN = 5000

_DISTANCE = "E above hull, meV/atom"
_MEAN_DISTANCE = "Mean E above hull, meV/atom"
_DEVIATION = "Deviation, meV/atom"
_OWN_DISTANCE = "Self-consistent, meV/atom"
_ENERGY_STD, _MEMBERS = "energy_std_eV_per_atom", "Members apart, meV/atom"
_MEAN_FORMATION = "Mean formation energy, eV/atom"
_FORMATION = "Formation energy, eV/atom"
_REACTION = "Decomposes into"
_REACTION_ENERGY = "Decomposition energy, meV/atom"
_ERROR = "±: standard error that comes from the fitted corrections alone, not the potential's error"
_HINTS = {
    _DISTANCE: _ERROR,
    _FORMATION: _ERROR,
    _DEVIATION: "standard deviation of E above hull between the models",
    _MEMBERS: "standard deviation of the energies of the ensemble's members",
    _OWN_DISTANCE: "distance to the hull of the references as the potential sees them",
    _REACTION: "phases of other compositions, for one formula unit; hover for the phases of the hull",
    _REACTION_ENERGY: "energy above these phases; negative: stable by that much",
}

LAST = "1e308"
"""Sorts a missing number behind all others; infinity is no number to DataTables."""


@dataclass(frozen=True)
class Cell:
    """``text`` is shown, ``order`` (if any) sorted by, ``title`` shown on hovering; ``kind`` is its CSS class."""

    text: str
    order: str | None = None
    title: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """Header cells, rows of cells, and a sentence on what was left out."""

    headers: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class StatusCount:
    """How many candidates ended in a status, and one of their reasons."""

    status: str
    count: int
    example_id: str
    example_reason: str


def top_table(results: ScreenResults, top: int) -> Table:
    """Tabulate the best ``top`` ranked candidates with what is known of them."""
    shown = results.ranked.head(top)
    carried = results.carried[:CARRIED_SHOWN]
    distance, formation = (_MEAN_DISTANCE, _MEAN_FORMATION) if results.models else (_DISTANCE, _FORMATION)
    spread = [(_DEVIATION, "number"), ("Stable in", "text")] if results.models else []
    steps = [] if results.models else [("Steps", "number")]
    names = [
        ("Rank", "number"),
        ("Id", "id"),
        ("Formula", "text"),
        (distance, "number"),
        *spread,
        *([(_OWN_DISTANCE, "number")] if results.self_consistent else []),
        (formation, "number"),
        (_REACTION, "text"),
        (_REACTION_ENERGY, "number"),
        ("Volume change, %", "number"),
        ("Space group", "text"),
        *([(_MEMBERS, "number")] if _ENERGY_STD in shown else []),
        *steps,
        ("Flags", "flags"),
    ]
    headers = [Cell(text, title=_HINTS.get(text, ""), kind=kind) for text, kind in names]
    headers += [Cell(shortened(name, 30), title=name, kind=_carried_kind(shown[name])) for name in carried]
    rows = [_top_row(row, carried, committee=bool(results.models)) for row in records(shown)]
    return Table(headers, rows, _left_out(results.carried))


def outlier_table(results: ScreenResults) -> Table:
    """Tabulate candidates whose volume changed by more than 10 %, the largest change first."""
    shown = [
        "id",
        "formula",
        "volume_change_percent",
        "distance_meV",
        "space_group_initial",
        "space_group_final",
        "flags",
    ]
    changed = results.ok.loc[results.ok["volume_change_percent"].abs() > LARGE_VOLUME_CHANGE, shown]
    changed = changed.sort_values("volume_change_percent", key=abs, ascending=False, kind="stable")
    headers = [
        Cell("Id", kind="id"),
        Cell("Formula"),
        Cell("Volume change, %", kind="number"),
        Cell(_MEAN_DISTANCE if results.models else _DISTANCE, kind="number"),
        Cell("Space group"),
        Cell("Flags", kind="flags"),
    ]
    rows = [
        (
            text_cell(row["id"], 80, "id"),
            Cell(chemical(row["formula"])),
            number_cell(row["volume_change_percent"], 1),
            number_cell(row["distance_meV"], 1),
            _space_groups(row),
            _flags(row["flags"]),
        )
        for row in records(changed.head(OUTLIERS_SHOWN))
    ]
    more = len(changed) - OUTLIERS_SHOWN
    return Table(headers, rows, f"{more:,} smaller changes beyond 10 % are not listed here." if more > 0 else "")


def status_counts(results: ScreenResults) -> list[StatusCount]:
    """Count candidates by status, other than ok, the most frequent first."""
    return [
        StatusCount(str(status), len(group), group["id"].iloc[0], group["reason"].iloc[0])
        for status, group in sorted(results.not_ok.groupby("status", sort=True), key=lambda item: -len(item[1]))
    ]


def failed_table(results: ScreenResults) -> Table:
    """List every candidate that is not ok, with its reason."""
    headers = [Cell("Id", kind="id"), Cell("Formula"), Cell("Status"), Cell("Reason", kind="reason")]
    rows = [
        (
            text_cell(row["id"], 80, "id"),
            Cell(chemical(row["formula"]) or MISSING),
            Cell(row["status"]),
            Cell(shortened(row["reason"], 400) or MISSING, kind="reason"),
        )
        for row in records(results.not_ok.head(FAILED_SHOWN))
    ]
    more = len(results.not_ok) - FAILED_SHOWN
    return Table(headers, rows, f"{more:,} more are in results.parquet." if more > 0 else "")


def missing_terminals(results: ScreenResults) -> list[str]:
    """Elements without a reference entry, which leave converged candidates without a hull distance."""
    prefix = "missing_terminal:"
    return sorted(
        {
            element.strip()
            for flags in results.ok["flags"]
            for flag in flags.split(";")
            if flag.strip().startswith(prefix)
            for element in flag.strip().removeprefix(prefix).split(",")
        }
    )


def _top_row(row: dict[str, Any], carried: Sequence[str], *, committee: bool) -> list[Cell]:
    own = [number_cell(1000 * row[SELF_CONSISTENT], 1)] if SELF_CONSISTENT in row else []
    if committee:
        spread = [number_cell(1000 * row["e_above_hull_std_eV_per_atom"], 1), stable_cell(row)]
        distances = [number_cell(row["distance_meV"], 1), *spread, *own, number_cell(row["formation_eV"], 3)]
    else:
        error, formation_error = (row[f"{of}_uncertainty_eV_per_atom"] for of in ("e_above_hull", "formation_energy"))
        distances = [
            _with_error(row["distance_meV"], 1000 * error, 1),
            *own,
            _with_error(row["formation_eV"], formation_error, 3),
        ]
    steps = () if committee else (number_cell(row["n_steps"], 0),)
    cells = [
        number_cell(row["rank"], 0),
        text_cell(row["id"], 60, "id"),
        Cell(chemical(row["formula"])),
        *distances,
        _reaction(row),
        number_cell(1000 * row["decomposition_energy_eV_per_atom"], 1),
        number_cell(row["volume_change_percent"], 1),
        _space_groups(row),
        *([number_cell(1000 * row[_ENERGY_STD], 1)] if _ENERGY_STD in row else []),
        *steps,
        _flags(row["flags"]),
    ]
    return [*cells, *(_carried(row[name]) for name in carried)]


def records(frame: DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts by column name."""
    return [{str(column): value for column, value in row.items()} for row in frame.to_dict("records")]


def stable_cell(row: dict[str, Any]) -> Cell:
    """In how many of the models with a result the candidate is on or below the hull."""
    share, n_models = row["stable_share"], row["n_models"]
    if is_missing(share):
        return Cell(MISSING)
    return Cell(f"{share * n_models:.0f} of {n_models:.0f}", repr(float(share)))


def number_cell(value: float, decimals: int) -> Cell:
    """A number that sorts as one; missing ones come last."""
    return Cell(number(value, decimals), LAST if is_missing(value) else repr(float(value)), kind="number")


def _with_error(value: float, error: float, decimals: int) -> Cell:
    """A number, with its standard error where that is not zero when rounded as the number is."""
    cell = number_cell(value, decimals)
    if is_missing(error) or is_missing(value) or round(error, decimals) == 0:
        return cell
    return replace(cell, text=f"{cell.text} ± {number(error, decimals)}")


def _reaction(row: dict[str, Any]) -> Cell:
    """The products, each kept with its coefficient; the phases on the hull where one hovers."""
    terms = row["decomposition_reaction"].partition(" -> ")[2].split(" + ")
    products = " + ".join(term.replace(" ", "\N{NO-BREAK SPACE}") for term in terms)
    hull = f"on the hull, by share of the atoms: {row['decomposition']}" if row["decomposition"] else ""
    return Cell(chemical(shortened(products, 120)) or MISSING, title=shortened(hull, 1000))


def text_cell(text: str, length: int, kind: str = "text") -> Cell:
    """Text cut to a length, whole on hovering."""
    return Cell(shortened(text, length), title=_if_cut(text, length), kind=kind)


def _if_cut(text: str, length: int) -> str:
    return shortened(text, 1000) if len(text) > length else ""


def _space_groups(row: dict[str, Any]) -> Cell:
    before, after = row["space_group_initial"], row["space_group_final"]
    return Cell(before or after or MISSING) if before == after or not after else Cell(f"{before or '?'} → {after}")


def _flags(flags: str) -> Cell:
    """The flags of a row, the details of one kind together: ``outside_fine_tuning: Al, O``."""
    details: dict[str, list[str]] = {}
    for flag in filter(None, map(str.strip, flags.split(";"))):
        kind, _, detail = flag.partition(":")
        details.setdefault(kind, []).extend([detail] if detail else [])
    text = "; ".join(f"{kind}: {', '.join(of)}" if of else kind for kind, of in details.items())
    return Cell(breakable(shortened(text, 120)), title=_if_cut(text, 120), kind="flags")


def _carried(value: Any) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool) and not is_missing(value):
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        return Cell(text, repr(value), kind="number")
    return text_cell(plain(value), 60)


def _carried_kind(column: Series) -> str:
    import pandas as pd

    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return "number" if numeric else "text"


def _left_out(carried: Sequence[str]) -> str:
    more = [shortened(name, 30) for name in carried[CARRIED_SHOWN:]]
    if not more:
        return ""
    named = ", ".join(more[:8]) + (" …" if len(more) > 8 else "")
    return f"Input columns in results.parquet but not in this table: {named}."
