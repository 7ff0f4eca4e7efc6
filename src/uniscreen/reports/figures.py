"""Figures of hull distance and volume change, with plotly."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from uniscreen.reports.results import THRESHOLDS_MEV
from uniscreen.reports.tables import LARGE_VOLUME_CHANGE, records
from uniscreen.reports.text import number, plotly_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plotly.graph_objects import Figure

    from uniscreen.reports.results import ScreenResults

INK, QUIET, RULE, BLUE, ORANGE = "#1d2733", "#5c6b7a", "#d9dfe5", "#2a6293", "#b5521b"
COLOURS = (BLUE, ORANGE, "#4d7a3a", "#7a4d8c", "#8a6d1f", "#1f7a7a", "#a03a5a", QUIET)
"""Of the lines of one figure that stand for different things."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SHOWN_RANGE_MEV = (-200.0, 500.0)
MOST_POINTS = 2000
"""Points of a scatter that a browser still draws and prints with ease; more are binned."""
_BIN_MEV = 10.0
_MANY_DECADES = 7
_FEWEST_TICKS = 3
_FEW_COUNTS = 5


def base_layout(height: int, **settings: Any) -> dict[str, Any]:
    """Look of all figures."""
    return {
        "template": "none",
        "height": height,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 64, "r": 16, "t": 28, "b": 56},
        "hoverlabel": {"align": "left", "bgcolor": "white", "bordercolor": QUIET, "font": {"color": INK}},
        **settings,
    }


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """Look of all Cartesian axes."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 13}},
        "tickfont": {"size": 12},
        "gridcolor": RULE,
        "zeroline": False,
        "linecolor": QUIET,
        "showline": True,
        "ticks": "outside",
        "tickcolor": QUIET,
        "automargin": True,
        **settings,
    }


def whole(most: int) -> dict[str, Any]:
    """Ticks of an axis of counts up to ``most``, where plotly would put some between whole numbers."""
    return {"dtick": 1} if most <= _FEW_COUNTS else {}


def _within(ticks: Iterable[float], values: Sequence[float]) -> int:
    """How many ticks an axis over the values shows."""
    return sum(min(values) <= tick <= max(values) for tick in ticks)


def logarithmic(values: Iterable[float]) -> dict[str, Any]:
    """A logarithmic axis for the positive and finite of the values, with ticks at 1, 2 and 5.

    Plotly does not write these out. Over many decades only 1 has one; within a decade there are as many as it takes.
    """
    positive = [value for value in values if 0 < value < math.inf]
    if not positive:
        return {"type": "log"}
    decades = range(math.floor(math.log10(min(positive))) - 1, math.ceil(math.log10(max(positive))) + 1)
    finer = (range(10, 100, 10), range(10, 100, 2), range(10, 100))
    for tenths in ((10,),) if len(decades) >= _MANY_DECADES else ((10, 20, 50), *finer):
        ticks = [tenth * 10.0 ** (decade - 1) for decade in decades for tenth in tenths]
        if _within(ticks, positive) >= _FEWEST_TICKS:
            break
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


LEGEND_BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "itemsizing": "constant"}
"""A legend of many names, which would meet the buttons above the figure where the screen is narrow."""


def hull_distance_figure(distances: Sequence[float]) -> Figure:
    """Histogram of distances to the hull (meV/atom, ascending) and the number of candidates within each."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    edges, counts = binned(distances)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    centres = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    hover = [
        f"{number(low, 0)} to {number(high, 0)} meV/atom: {count}"
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    figure.add_trace(
        go.Bar(
            x=centres,
            y=counts,
            width=_BIN_MEV * 0.92,
            marker={"color": BLUE},
            hovertext=hover,
            hoverinfo="text",
            name="candidates",
        ),
        row=1,
        col=1,
    )
    x, y = _cumulative(distances)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": BLUE, "width": 2, "shape": "hv"},
            hovertext=[f"{n} within {number(d, 1)} meV/atom" for d, n in zip(x, y, strict=True)],
            hoverinfo="text",
            name="cumulative",
        ),
        row=1,
        col=2,
    )
    figure.update_layout(**base_layout(400, showlegend=False, bargap=0))
    shown = [edges[0] - _BIN_MEV / 2, edges[-1] + _BIN_MEV / 2]
    figure.update_xaxes(**axis("Distance to the hull, meV/atom", range=shown))
    figure.update_yaxes(
        **axis("Candidates per 10 meV/atom", rangemode="tozero", **whole(max(counts, default=0))), row=1, col=1
    )
    figure.update_yaxes(
        **axis("Candidates within this distance", rangemode="tozero", **whole(len(distances))), row=1, col=2
    )
    for threshold in THRESHOLDS_MEV:
        figure.add_vline(
            x=threshold,
            line={"color": ORANGE, "width": 1.2, "dash": "solid" if threshold == 0 else "dot"},
            annotation={"text": str(threshold), "yanchor": "bottom", "xanchor": "center", "y": 1},
            annotation_position="top",
            annotation_font={"color": ORANGE, "size": 11},
            row=1,
            col="all",
        )
    return figure


def binned(distances: Sequence[float]) -> tuple[list[float], list[int]]:
    """Count distances (meV/atom) in bins of 10 meV/atom that include their upper edge, as thresholds do.

    Returns bin edges and counts over the shown range; what lies outside is not counted.
    """
    low, high = SHOWN_RANGE_MEV
    first = math.floor(max(low, min([0.0, *distances])) / _BIN_MEV) - 1
    last = max(math.ceil(min(high, max(distances, default=0.0)) / _BIN_MEV), 11)
    counts = [0] * (last - first)
    for distance in distances:
        index = math.ceil(distance / _BIN_MEV) - 1 - first
        if low < distance <= high and 0 <= index < len(counts):
            counts[index] += 1
    return [n * _BIN_MEV for n in range(first, last + 1)], counts


def shown_range(lowest: float, highest: float) -> tuple[float, float]:
    """Distances (meV/atom) in the first view of a figure, so that few extremes do not squeeze the rest."""
    low, high = SHOWN_RANGE_MEV
    return max(low, min(lowest, 0.0)), min(high, max(highest, 100.0))


def n_outside(distances: Sequence[float]) -> int:
    """How many distances the histogram does not show."""
    return len(distances) - sum(binned(distances)[1])


def volume_figure(results: ScreenResults) -> Figure | None:
    """Volume change against distance to the hull; None where no candidate has both.

    Many candidates are binned, and only those beyond 10 % drawn one by one, at most ``MOST_POINTS``.
    """
    import plotly.graph_objects as go

    both = results.ok[["id", "formula", "distance_meV", "volume_change_percent"]]
    both = both.dropna(subset=["distance_meV", "volume_change_percent"])
    if both.empty:
        return None
    large = both["volume_change_percent"].abs() > LARGE_VOLUME_CHANGE
    figure = go.Figure()
    if len(both) > MOST_POINTS:
        figure.add_trace(_density(both[~large]))
        largest = both[large].sort_values("volume_change_percent", key=abs, ascending=False, kind="stable")
        groups = [("more than 10 %", largest.head(MOST_POINTS), ORANGE)]
    else:
        groups = [("up to 10 %", both[~large], BLUE), ("more than 10 %", both[large], ORANGE)]
    for name, group, colour in groups:
        figure.add_trace(
            go.Scatter(
                x=group["distance_meV"].tolist(),
                y=group["volume_change_percent"].tolist(),
                mode="markers",
                name=name,
                marker={"color": colour, "size": 7, "opacity": 0.75, "line": {"color": "white", "width": 0.5}},
                hovertext=[_volume_hover(row) for row in records(group)],
                hoverinfo="text",
            )
        )
    low, high = shown_range(both["distance_meV"].min(), both["distance_meV"].max())
    figure.update_layout(
        **base_layout(
            400,
            showlegend=len(groups) > 1,
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            xaxis=axis("Distance to the hull, meV/atom", range=[low - 10, high + 10]),
            yaxis=axis("Volume change, %"),
        )
    )
    for level in (-LARGE_VOLUME_CHANGE, 0, LARGE_VOLUME_CHANGE):
        figure.add_hline(y=level, line={"color": QUIET, "width": 1, "dash": "solid" if level == 0 else "dot"})
    return figure


def _density(frame: Any) -> Any:
    import numpy as np
    import plotly.graph_objects as go

    x, y = frame["distance_meV"].to_numpy(), frame["volume_change_percent"].to_numpy()
    limits = shown_range(float(x.min()), float(x.max())) if len(x) else SHOWN_RANGE_MEV
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=(70, 40), range=(limits, (-10.0, 10.0)))
    return go.Heatmap(
        x=x_edges.tolist(),
        y=y_edges.tolist(),
        z=[[n or None for n in column] for column in counts.T.tolist()],
        colorscale=[[0, "#d3e2ef"], [1, BLUE]],
        colorbar={"title": {"text": "candidates"}, "thickness": 12},
        hovertemplate="%{z} candidates<extra></extra>",
    )


def _volume_hover(row: dict[str, Any]) -> str:
    return (
        f"<b>{plotly_text(row['id'])}</b><br>{plotly_text(row['formula'])}"
        f"<br>{number(row['distance_meV'], 1)} meV/atom above hull"
        f"<br>volume {number(row['volume_change_percent'], 1)} %"
    )


def _cumulative(distances: Sequence[float]) -> tuple[list[float], list[int]]:
    """Distances and how many candidates lie within each, thinned to what a figure can show."""
    low, high = SHOWN_RANGE_MEV
    last_of_ties = {distance: n for n, distance in enumerate(distances, start=1)}
    points = [(distance, n) for distance, n in last_of_ties.items() if low < distance <= high]
    step = -(-len(points) // MOST_POINTS) or 1
    before = sum(distance <= low for distance in distances)
    within = sum(distance <= high for distance in distances)
    thinned = [(min(low, -_BIN_MEV * 2), before), *points[::step], (high, within)]
    return [x for x, _ in thinned], [n for _, n in thinned]
