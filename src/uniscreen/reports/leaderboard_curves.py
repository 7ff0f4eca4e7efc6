"""Figures of errors over the number of labelled structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.learning_curves import TARGETS, Point, curves
from uniscreen.reports.figures import QUIET, axis, logarithmic
from uniscreen.reports.leaderboard_marks import Marks, lay_out, size_axis
from uniscreen.reports.leaderboard_text import heading, title_of, unit_of
from uniscreen.reports.page import ShownFigure
from uniscreen.reports.text import decimals_of, is_missing, number, plotly_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.reports.leaderboard_content import Part


def curve_figures(part: Part, marks: Marks, prefix: str) -> list[ShownFigure]:
    """One figure for each metric with a target of which errors of trained potentials are known."""
    figures = [_figure(part, marks, metric, f"{prefix}-{metric}") for metric in TARGETS]
    return [figure for figure in figures if figure]


def _figure(part: Part, marks: Marks, metric: str, name: str) -> ShownFigure | None:
    import plotly.graph_objects as go

    of_metric = [(curve, points) for curve, points in curves(part.board) if curve["metric"] == metric]
    sizes = sorted({point.n_train for _, points in of_metric for point in points if point.n_train})
    if not sizes:
        return None
    figure = go.Figure([_trace(curve, points, sizes, marks) for curve, points in of_metric])
    errors = [point.error for _, points in of_metric for point in points]
    lay_out(figure, size_axis(sizes), axis(heading(metric), **logarithmic([*errors, TARGETS[metric]])))
    figure.add_hline(y=TARGETS[metric], line={"color": QUIET, "width": 1})
    return ShownFigure(
        name,
        figure,
        f"{title_of(metric)} by the number of labelled structures",
        f"{heading(metric)}, by labelled structures",
        f"Bars: standard deviation over seeds. Grey line: {TARGETS[metric]:g}{unit_of(metric)}.",
    )


def _trace(curve: dict[str, Any], points: Sequence[Point], sizes: Sequence[int], marks: Marks) -> Any:
    """A curve; the error of what needs no structures stands at all sizes."""
    import plotly.graph_objects as go

    name, unit = marks.name(curve["model"], curve["source"]), unit_of(curve["metric"])
    untrained = points[-1].n_train == 0
    shown = [points[-1]._replace(n_train=size) for size in (sizes[0], sizes[-1])] if untrained else points
    hover = [
        f"<b>{plotly_text(name)}</b><br>{curve['regime']}{'' if untrained else f', {point.n_train} structures'}<br>"
        f"{number(point.error, decimals_of(point.error))}{unit}"
        for point in shown
    ]
    spreads = [0 if is_missing(point.std) else point.std for point in shown]
    return go.Scatter(
        x=[point.n_train for point in shown],
        y=[point.error for point in shown],
        error_y={"array": spreads, "width": 3, "thickness": 1},
        hovertext=hover,
        **marks.style(name, curve["regime"], lines=True),
    )
