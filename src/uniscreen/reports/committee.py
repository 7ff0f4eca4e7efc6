"""What a report says of a committee: how its models differ, and on which candidates most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from uniscreen.reports.figures import BLUE, INK, MOST_POINTS, ORANGE, QUIET, axis, base_layout, shown_range
from uniscreen.reports.notes import Note
from uniscreen.reports.tables import Cell, Table, number_cell, records, stable_cell, text_cell
from uniscreen.reports.text import chemical, number, plotly_text, shortened
from uniscreen.screening.committee_table import DISAGREEMENT, DISTANCE, FORMATION, model_column
from uniscreen.thermodynamics.hull import ON_HULL

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from plotly.graph_objects import Figure

    from uniscreen.reports.results import ScreenResults

DISAGREEMENTS_SHOWN = 25
_MARKS = ((BLUE, "circle"), (ORANGE, "diamond"), ("#4d7a3a", "square"), ("#7a4d8c", "triangle-up"))


def models_table(results: ScreenResults) -> Table:
    """One row a model: what its energies are, how many candidates it has, and how far it is from the leading one."""
    headers = [
        Cell("Model"),
        Cell("Its energies"),
        Cell("ok", kind="number"),
        Cell("On or below the hull", kind="number"),
        Cell("Formation energy against the first, mean difference, meV/atom", kind="number"),
        Cell("Mean absolute difference, meV/atom", kind="number"),
    ]
    first = _of_ok(results, results.models[0], FORMATION)
    rows = []
    for model in results.models:
        difference = 1000 * (_of_ok(results, model, FORMATION) - first)
        stable = int((_of_ok(results, model, DISTANCE) <= ON_HULL).sum())
        leads = model == results.models[0]
        rows.append(
            [
                text_cell(model, 60),
                Cell(_energies(results.section("models").get(model))),
                number_cell(float(_is_ok(results, model).sum()), 0),
                number_cell(float(stable), 0),
                number_cell(math.nan if leads else difference.mean(), 1),
                number_cell(math.nan if leads else difference.abs().mean(), 1),
            ]
        )
    return Table(headers, rows)


def disagreement_table(results: ScreenResults) -> Table:
    """The candidates whose hull distances differ most between the models, with what each model says."""
    compared = _compared(results)
    shown = compared.sort_values("e_above_hull_std_eV_per_atom", ascending=False, kind="stable")
    headers = [
        Cell("Id", kind="id"),
        Cell("Formula"),
        Cell("Standard deviation, meV/atom", kind="number"),
        Cell("Mean E above hull, meV/atom", kind="number"),
        *(Cell(shortened(model, 40), title="E above hull, meV/atom", kind="number") for model in results.models),
        Cell("Stable in"),
        Cell("Rank", kind="number"),
    ]
    rows = [
        [
            text_cell(row["id"], 80, "id"),
            Cell(chemical(row["formula"])),
            number_cell(1000 * row["e_above_hull_std_eV_per_atom"], 1),
            number_cell(row["distance_meV"], 1),
            *(number_cell(1000 * _if_ok(row, model), 1) for model in results.models),
            stable_cell(row),
            number_cell(row["rank"], 0),
        ]
        for row in records(shown.head(DISAGREEMENTS_SHOWN))
    ]
    more = len(shown) - DISAGREEMENTS_SHOWN
    return Table(headers, rows, f"{more:,} more with smaller deviations are in results.parquet." if more > 0 else "")


def agreement_figure(results: ScreenResults) -> Figure | None:
    """Each other model's hull distances against the leading one's; None where no two models have one in common."""
    import plotly.graph_objects as go

    lead, *others = results.models
    compared = _compared(results)
    compared = compared[_of_ok(results, lead, DISTANCE).loc[compared.index].notna()]
    if compared.empty:
        return None
    nearest = compared.sort_values("distance_meV", kind="stable").head(MOST_POINTS)
    traces = [_trace(nearest, lead, model, place) for place, model in enumerate(others)]
    drawn = [value for trace in traces for value in (*trace.x, *trace.y) if value is not None]
    low, high = shown_range(min(drawn), max(drawn))
    figure = go.Figure(traces)
    shown = {"range": [low - 10, high + 10]}
    other = plotly_text(others[0], 40) if len(others) == 1 else "the others"
    figure.update_layout(
        **base_layout(
            480,
            showlegend=True,
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            xaxis=axis(f"{plotly_text(lead, 40)}: E above hull, meV/atom", **shown),
            yaxis=axis(f"{other}: E above hull, meV/atom", **shown),
        )
    )
    figure.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line={"color": INK, "width": 1})
    line = {"color": QUIET, "width": 1, "dash": "dot"}
    figure.add_hline(y=0, line=line)
    figure.add_vline(x=0, line=line)
    return figure


def _trace(frame: DataFrame, lead: str, other: str, place: int) -> Any:
    """The candidates as points, in the colour and shape of the other model in this ``place``."""
    import plotly.graph_objects as go

    rows = records(frame)
    colour, symbol = _MARKS[place % len(_MARKS)]
    return go.Scatter(
        x=[_or_none(1000 * _if_ok(row, lead)) for row in rows],
        y=[_or_none(1000 * _if_ok(row, other)) for row in rows],
        mode="markers",
        name=plotly_text(other, 40),
        marker={"color": colour, "symbol": symbol, "size": 8, "opacity": 0.75},
        hovertext=[_hover(row, lead, other) for row in rows],
        hoverinfo="text",
    )


def n_outside(results: ScreenResults, figure: Figure) -> int:
    """How many compared candidates the first view of the figure does not show for any model."""
    low, high = figure.layout.xaxis.range
    inside: set[int] = set()
    for trace in figure.data:
        pairs = enumerate(zip(trace.x, trace.y, strict=True))
        inside |= {n for n, (x, y) in pairs if None not in (x, y) and low <= x <= high and low <= y <= high}
    return len(_compared(results)) - len(inside)


def committee_notes(results: ScreenResults) -> list[Note]:
    """What the numbers of a committee rest on, in place of what is said of a single model."""
    lead = results.models[0]
    named = ", ".join(results.models)
    return [
        Note(
            "Several models, each on its own",
            f"Each of {named} relaxed every candidate itself, and the candidates compete at that model's energies. "
            "The distances to the hull, the formation energies and the order are means over the models that gave a "
            f"result; the structures, space groups, volumes, steps and phase diagrams are those of {lead}, and a "
            "candidate that failed for it is not ranked. One that failed for another model is no competitor in that "
            "model's hull, so its rivals look better there.",
        ),
        Note(
            "The spread is not an error bar",
            "The standard deviation (divided by n − 1) says how far the models are apart, not how far they are from "  # noqa: RUF001
            "DFT. Models trained on the same data share their errors, so where they agree all may be wrong; where they "
            f"disagree, at least one is. Those beyond {1000 * DISAGREEMENT:.0f} meV/atom are flagged, and so are those "
            "that are stable for some models only.",
        ),
    ]


def _compared(results: ScreenResults) -> DataFrame:
    """The candidates for which two models or more have a distance to the hull."""
    return results.frame[results.frame["e_above_hull_std_eV_per_atom"].notna()]


def _is_ok(results: ScreenResults, model: str) -> Series:
    return results.frame[model_column("status", model)] == "ok"


def _of_ok(results: ScreenResults, model: str, column: str) -> Series:
    """A column of one model, missing where the candidate is not ok for it."""
    return results.frame[model_column(column, model)].where(_is_ok(results, model))


def _if_ok(row: dict[str, Any], model: str) -> float:
    """A model's hull distance in eV/atom; NaN where the candidate is not ok for it."""
    return float(row[model_column(DISTANCE, model)]) if row[model_column("status", model)] == "ok" else math.nan


def _energies(card: Any) -> str:
    """What a model's energies are, and what was done to them."""
    if not isinstance(card, dict):
        return ""
    corrected = card.get("energy_convention") == "MP2020-corrected"
    if corrected:
        return f"{card.get('functional')}, with MP2020 corrections in its training labels"
    added = "MP2020 corrections added" if card.get("functional") == "PBE" else "no corrections"
    return f"{card.get('functional')}, raw; {added}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _hover(row: dict[str, Any], lead: str, model: str) -> str:
    return (
        f"<b>{plotly_text(row['id'])}</b><br>{plotly_text(row['formula'])}"
        f"<br>{plotly_text(lead, 40)} {number(1000 * _if_ok(row, lead), 1)} meV/atom above hull"
        f"<br>{plotly_text(model, 40)} {number(1000 * _if_ok(row, model), 1)}"
    )
