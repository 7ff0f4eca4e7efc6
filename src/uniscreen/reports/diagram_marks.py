"""How phases are drawn and named in every kind of phase diagram."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.reports.figures import INK, QUIET, base_layout
from uniscreen.reports.labels import label_positions
from uniscreen.reports.text import chemical, number, plotly_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.reports.phases import Phase

_SAME_HOVER = 10
"""Candidates of one composition named in one hover text."""


@dataclass(frozen=True)
class MarkStyle:
    """How candidates up to a distance to the hull are drawn; open and filled marks differ in print too."""

    label: str
    most_meV: float  # noqa: N815
    colour: str
    symbol: str
    size: int


_CLASSES = (
    MarkStyle("on or below the hull", 0.0, "#0f5c4d", "diamond", 12),
    MarkStyle("up to 25 meV/atom above", 25.0, "#2a6293", "circle", 10),
    MarkStyle("25 to 100 meV/atom", 100.0, "#c8862b", "circle", 9),
    MarkStyle("more than 100 meV/atom", math.inf, "#8d99a6", "circle-open", 8),
)
_NO_DISTANCE = MarkStyle("no distance", math.nan, "#8d99a6", "x-thin-open", 8)


def reference_groups(others: Sequence[Phase], stable: Sequence[Phase]) -> list[tuple[MarkStyle, list[Phase]]]:
    """References on the hull (``stable``) first, then the others; groups without any are left out."""
    on_hull = {id(phase) for phase in stable}
    groups = (
        (MarkStyle("reference on the hull", 0.0, INK, "square-open", 13), [p for p in others if id(p) in on_hull]),
        (MarkStyle("reference above it", 0.0, "#aab4be", "square", 4), [p for p in others if id(p) not in on_hull]),
    )
    return [(style, phases) for style, phases in groups if phases]


def candidate_groups(candidates: Sequence[Phase]) -> list[tuple[MarkStyle, list[Phase]]]:
    """Candidates by their distance to the hull, the nearest last, so that they are drawn over the others."""
    groups: dict[MarkStyle, list[Phase]] = {style: [] for style in (*reversed(_CLASSES), _NO_DISTANCE)}
    for phase in candidates:
        distance = math.nan if phase.distance_meV is None else phase.distance_meV
        groups[next((style for style in _CLASSES if distance <= style.most_meV), _NO_DISTANCE)].append(phase)
    return [(style, phases) for style, phases in groups.items() if phases]


def by_composition(phases: Sequence[Phase]) -> dict[tuple[tuple[str, float], ...], list[Phase]]:
    """Phases of the same composition, that of lowest formation energy first."""
    groups = defaultdict(list)
    for phase in sorted(phases, key=lambda phase: phase.formation_energy):
        groups[place(phase)].append(phase)
    return groups


def place(phase: Phase) -> tuple[tuple[str, float], ...]:
    """The composition of a phase, to compare it with others."""
    return tuple((el, round(x, 6)) for el, x in sorted(phase.fractions.items()))


def marks(style: MarkStyle) -> dict[str, Any]:
    """Look of the marks of a trace."""
    return {
        "mode": "markers",
        "name": style.label,
        "marker": {
            "color": style.colour,
            "symbol": style.symbol,
            "size": style.size,
            "line": {"width": 1, "color": style.colour if style.symbol.endswith("open") else "white"},
        },
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def labels(names: Sequence[str], pixels: Sequence[tuple[float, float]], first: str = "top center") -> dict[str, Any]:
    """Text and its places for a trace that names phases, which stand at ``pixels`` (y down), preferably at ``first``.

    A name for which there is no room is left out.
    """
    positions = label_positions(pixels, names, first)
    return {
        "text": ["" if at is None else str(chemical(name)) for name, at in zip(names, positions, strict=True)],
        "textposition": [at or first for at in positions],
    }


def label_style() -> dict[str, Any]:
    """Look of a trace that names phases in two dimensions."""
    return {
        "mode": "markers+text",
        "marker": {"size": 14, "color": "rgba(0,0,0,0)"},  # keeps the text off the visible mark
        "textfont": {"size": 11, "color": INK},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }


def layout(height: int) -> dict[str, Any]:
    """Size, legend and margins of a diagram ``height`` pixels high."""
    legend = {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "font": {"size": 11, "color": QUIET}}
    return base_layout(height, showlegend=True, legend=legend, margin={"l": 60, "r": 20, "t": 30, "b": 40})


def hover(phases: Sequence[Phase]) -> str:
    """Name phases of one composition with their energies."""
    lines = [f"<b>{plotly_text(phases[0].formula)}</b>"]
    for phase in phases[:_SAME_HOVER]:
        energy = f"formation {number(phase.formation_energy, 3)} eV/atom"
        distance = "" if phase.distance_meV is None else f", {number(phase.distance_meV, 1)} meV/atom above hull"
        lines.append(f"{plotly_text(phase.name, 60)}: {energy}{distance}")
    if len(phases) > _SAME_HOVER:
        lines.append(f"and {len(phases) - _SAME_HOVER} more of this composition")
    return "<br>".join(lines)
