"""How the figures of a leaderboard tell models and regimes apart: a colour a model, a mark and a line a regime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.result_columns import REGIMES
from uniscreen.reports.figures import COLOURS, LEGEND_BELOW, axis, base_layout
from uniscreen.reports.leaderboard_content import source_mark
from uniscreen.reports.text import plotly_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotly.graph_objects import Figure

    from uniscreen.reports.leaderboard_content import Part

_STYLES = {
    "zero-shot": ("✖", "x", "dot"),
    "re-referenced": ("◆", "diamond", "dot"),
    "fine-tuned": ("●", "circle", "solid"),
    "from-scratch": ("▲", "triangle-up", "dash"),
    "dedicated": ("■", "square", "dashdot"),
    "published": ("★", "star", "solid"),
}
"""A regime's sign in words, its marker and its line."""

_HEIGHT = 400
_LEGEND_ROW = 20
_NAMES_IN_A_ROW = 3
_MOST_TICKS = 6
_SIGNS = 34
"""How long a name in a legend may be."""


@dataclass(frozen=True)
class Marks:
    """The names of the models in the order of their colours; after the last colour, markers are open."""

    names: tuple[str, ...]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, part: Part, sources: tuple[str, ...]) -> Marks:
        """Marks for the entries of a dataset."""
        return cls(tuple(sorted({entry.name for entry in part.entries})), sources)

    def name(self, model: str, source: str) -> str:
        """The name of an entry as the tables have it."""
        return model + source_mark(source, self.sources)

    def style(self, name: str, regime: str, *, lines: bool) -> dict[str, Any]:
        """What a trace of a model in a regime looks like."""
        place = self.names.index(name)
        colour = COLOURS[place % len(COLOURS)]
        _, symbol, dash = _STYLES[regime]
        shape = symbol + "-open" * (place // len(COLOURS) % 2)
        look = {"name": plotly_text(name, _SIGNS), "legendgroup": name, "hoverinfo": "text"}
        marker = {"color": colour, "symbol": shape, "size": 9, "opacity": 1}
        if not lines:
            return {**look, "mode": "markers", "marker": marker}
        return {
            **look,
            "mode": "lines+markers",
            "marker": marker,
            "line": {"color": colour, "width": 1.6, "dash": dash},
        }


def regime_signs(part: Part) -> str:
    """Say which mark stands for which regime."""
    there = {entry.regime for entry in part.entries}
    return ", ".join(f"{_STYLES[regime][0]} {regime}" for regime in REGIMES if regime in there)


def lay_out(figure: Figure, x_axis: dict[str, Any], y_axis: dict[str, Any]) -> None:
    """Set axes, and a legend below in which each model stands once."""
    named: set[str] = set()
    for trace in figure.data:
        if trace.showlegend is None:
            trace.showlegend = trace.legendgroup not in named
            named.add(trace.legendgroup)
    height = _HEIGHT + _LEGEND_ROW * -(-len(named) // _NAMES_IN_A_ROW)
    figure.update_layout(**base_layout(height, showlegend=True, legend=LEGEND_BELOW, xaxis=x_axis, yaxis=y_axis))


def size_axis(sizes: Sequence[float], zero: float | None = None) -> dict[str, Any]:
    """A logarithmic axis of numbers of structures, ticks at those measured; ``zero`` is where 0 stands, if it does."""
    step = -(-len(sizes) // _MOST_TICKS)
    shown = [*sizes[:-1:step], sizes[-1]]
    ticks = {size: f"{size:g}" for size in shown} | ({zero: "0"} if zero is not None else {})
    return axis("Labelled structures", type="log", tickvals=list(ticks), ticktext=list(ticks.values()))
