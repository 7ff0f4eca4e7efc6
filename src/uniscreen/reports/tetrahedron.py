"""Phase diagrams of four elements: a tetrahedron to be turned."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

from uniscreen.reports.diagram_marks import (
    by_composition,
    candidate_groups,
    hover,
    labels,
    layout,
    marks,
    place,
    reference_groups,
)
from uniscreen.reports.figures import INK, QUIET
from uniscreen.reports.phases import hull_and_tie_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from plotly.graph_objects import Figure, Scatter3d

    from uniscreen.reports.phases import Phase

_CORNERS = (
    (0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (0.5, math.sqrt(3) / 2, 0.0),
    (0.5, math.sqrt(3) / 6, math.sqrt(2 / 3)),
)
"""Of a regular tetrahedron; the last is its top."""

_EYE = (0.45, -1.45, 0.4)
"""Whence the tetrahedron is first seen."""

_ZOOM, _EDGE = 1.75, 310.0
"""Size of the tetrahedron in plotly's scene, and about the pixels of its edge."""

_SYMBOLS = {"x-thin-open": "x"}
"""Marks that plotly has in two dimensions only, and what stands for them."""


def tetrahedron(
    elements: Sequence[str], competing: Sequence[Phase], others: Sequence[Phase], inside: Sequence[Phase]
) -> Figure:
    """Draw the hull of ``competing`` with its tie-lines, the references ``others`` and the candidates ``inside``."""
    import plotly.graph_objects as go

    stable, pairs = hull_and_tie_lines(elements, competing)
    corners = [{element: 1.0} for element in elements]
    tie_lines = [(first.fractions, second.fractions) for first, second in pairs]
    figure = go.Figure(
        [_lines(elements, combinations(corners, 2), QUIET, 2.0), _lines(elements, tie_lines, "#aab4be", 1.5)]
    )
    references, candidates = by_composition(others), by_composition(inside)
    on_hull = [(style, phases, references) for style, phases in reference_groups(others, stable)[:1]]
    lowest = [phases[0] for phases in candidates.values()]
    for style, phases, at_place in [*on_hull, *((*group, candidates) for group in candidate_groups(lowest))]:
        look = marks(style)
        look["marker"] |= {"symbol": _SYMBOLS.get(style.symbol, style.symbol), "size": 0.6 * style.size}
        del look["cliponaxis"]
        figure.add_trace(
            go.Scatter3d(
                **_places(elements, [phase.fractions for phase in phases]),
                hovertext=[hover(at_place[place(phase)]) for phase in phases],
                **look,
            )
        )
    named = sorted((phase for phase in stable if len(phase.fractions) > 1), key=lambda phase: -len(phase.fractions))
    compounds = {phase.formula: phase.fractions for phase in named}
    figure.add_trace(_names(elements, dict(zip(elements, corners, strict=True)) | compounds))
    hidden = {"visible": False, "showbackground": False}
    scene = {
        **{f"{axis}axis": hidden for axis in "xyz"},
        "aspectmode": "manual",
        "aspectratio": {axis: _ZOOM * max(corner[k] for corner in _CORNERS) for k, axis in enumerate("xyz")},
        "camera": {"eye": dict(zip("xyz", _EYE, strict=True)), "projection": {"type": "orthographic"}},
    }
    figure.update_layout(**(layout(560) | {"scene": scene, "margin": {"l": 0, "r": 0, "t": 30, "b": 40}}))
    return figure


def _places(elements: Sequence[str], compositions: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Coordinates of compositions, each the mean of the corners weighted by its atomic fractions."""
    points = [
        [
            sum(fractions.get(el, 0.0) * corner[k] for el, corner in zip(elements, _CORNERS, strict=True))
            for k in range(3)
        ]
        for fractions in compositions
    ]
    return {axis: [point[k] for point in points] for k, axis in enumerate("xyz")}


def _lines(
    elements: Sequence[str],
    pairs: Iterable[tuple[Mapping[str, float], Mapping[str, float]]],
    colour: str,
    width: float,
) -> Scatter3d:
    import plotly.graph_objects as go

    coordinates: dict[str, list[float | None]] = {"x": [], "y": [], "z": []}
    for pair in pairs:
        for axis, (start, end) in _places(elements, pair).items():
            coordinates[axis] += [start, end, None]
    return go.Scatter3d(
        **coordinates, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip", showlegend=False
    )


def _names(elements: Sequence[str], named: Mapping[str, Mapping[str, float]]) -> Scatter3d:
    """Names of phases, those for which there is room as the figure is first seen."""
    import plotly.graph_objects as go

    places = _places(elements, named.values())
    points = list(zip(*places.values(), strict=True))
    return go.Scatter3d(
        **places,
        **labels(list(named), [_on_screen(*point) for point in points]),
        mode="text",
        textfont={"size": [16 if name in elements else 11 for name in named], "color": INK},
        hoverinfo="skip",
        showlegend=False,
    )


def _on_screen(x: float, y: float, z: float) -> tuple[float, float]:
    """Pixels to the right and down of a point, from the eye, with the z axis upwards."""
    a, b, c = _EYE
    flat, far = math.hypot(a, b), math.hypot(a, b, c)
    right = (a * y - b * x) / flat
    up = (z * flat**2 - c * (a * x + b * y)) / (flat * far)
    return _EDGE * right, -_EDGE * up
