"""Figures of errors against cost, with the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.pareto import pareto
from uniscreen.reports.figures import QUIET, axis, logarithmic
from uniscreen.reports.leaderboard_marks import Marks, lay_out, size_axis
from uniscreen.reports.leaderboard_text import heading, title_of, unit_of
from uniscreen.reports.page import ShownFigure
from uniscreen.reports.tables import records
from uniscreen.reports.text import decimals_of, is_missing, number, plotly_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.reports.leaderboard_content import Part

_ON_FRONT, _OFF_FRONT = 13, 7
"""Sizes of marks."""


def front_figures(part: Part, marks: Marks, prefix: str) -> list[ShownFigure]:
    """One figure for each error and each cost that any entry has both of."""
    figures = [
        _figure(records(rows), str(accuracy), str(cost), marks, f"{prefix}-{accuracy}-{cost}")
        for (accuracy, cost), rows in pareto(part.board).groupby(["accuracy", "cost"], sort=False)
    ]
    return [figure for figure in figures if figure]


def _figure(points: Sequence[dict[str, Any]], accuracy: str, cost: str, marks: Marks, name: str) -> ShownFigure | None:
    import plotly.graph_objects as go

    costs = sorted({point["cost_value"] for point in points if point["cost_value"] > 0})
    if not costs:
        return None
    zero = costs[0] / 3  # a logarithmic axis has no place for what cost nothing
    front = [point for point in points if point["on_front"]]
    line = go.Scatter(
        x=[point["cost_value"] or zero for point in front],
        y=[point["error"] for point in front],
        mode="lines",
        line={"color": QUIET, "width": 1.2, "dash": "dot", "shape": "hv" if cost == "n_train" else "vh"},
        showlegend=False,
        hoverinfo="skip",
    )
    by_look: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for point in points:
        by_look.setdefault((marks.name(point["model"], point["source"]), point["regime"]), []).append(point)
    traces = [_marks(of_look, zero, marks, *look) for look, of_look in sorted(by_look.items())]
    figure = go.Figure([line, *traces])
    if cost == "n_train":
        x_axis = size_axis(costs, zero if any(point["cost_value"] == 0 for point in points) else None)
    else:
        x_axis = axis(heading(cost), **logarithmic(costs))
    lay_out(figure, x_axis, axis(heading(accuracy), **logarithmic([point["error"] for point in points])))
    against = "number of DFT calculations" if cost == "n_train" else "speed"
    return ShownFigure(
        name,
        figure,
        f"{title_of(accuracy)} against {against}",
        f"{heading(accuracy)}, against {against}",
        "Large, and joined by the dotted line: the Pareto front.",
    )


def _marks(points: Sequence[dict[str, Any]], zero: float, marks: Marks, name: str, regime: str) -> Any:
    import plotly.graph_objects as go

    style = marks.style(name, regime, lines=False)
    style["marker"]["size"] = [_ON_FRONT if point["on_front"] else _OFF_FRONT for point in points]
    return go.Scatter(
        x=[point["cost_value"] or zero for point in points],
        y=[point["error"] for point in points],
        hovertext=[_hover(name, point) for point in points],
        **style,
    )


def _hover(name: str, point: dict[str, Any]) -> str:
    size = "" if is_missing(point["n_train"]) or not point["n_train"] else f", {point['n_train']} structures"
    speed = point["cost_value"]
    cost = f"<br>{number(speed, decimals_of(speed))}{unit_of('speed')}" if point["cost"] == "speed" else ""
    return (
        f"<b>{plotly_text(name)}</b><br>{point['regime']}{size}"
        f"<br>{number(point['error'], decimals_of(point['error']))}{unit_of(point['accuracy'])}{cost}"
    )
