"""Phase diagrams of the chemical systems of two to four elements among the candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from uniscreen.reports.diagram_marks import (
    by_composition,
    candidate_groups,
    hover,
    label_style,
    labels,
    layout,
    marks,
    place,
    reference_groups,
)
from uniscreen.reports.figures import INK, MOST_POINTS, QUIET, axis
from uniscreen.reports.phases import CandidatePhases, Phase, competing_phases, hull_and_tie_lines
from uniscreen.reports.tetrahedron import tetrahedron

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from plotly.graph_objects import Figure

    from uniscreen.reports.results import ScreenResults
    from uniscreen.thermodynamics import ReferenceSet

MOST_DIAGRAMS = 12

_SIDE = 330.0
"""Pixels of a side of a ternary diagram, about."""

_WIDTH, _HEIGHT = 430.0, 270.0
"""Pixels of a binary diagram within its axes, about."""


@dataclass(frozen=True)
class Diagram:
    """A figure of one chemical system and how many compound candidates it shows."""

    system: str
    n_candidates: int
    figure: Figure


@dataclass(frozen=True)
class Diagrams:
    """The diagrams drawn, how many systems were left out, and those where an element has no reference."""

    drawn: tuple[Diagram, ...]
    n_left_out: int
    without_reference: tuple[str, ...]


def phase_diagrams(results: ScreenResults, references: ReferenceSet) -> Diagrams:
    """Draw the systems of two to four elements that hold most compound candidates.

    Candidates of subsystems count and are drawn too: Li2O in Li-Co-O. Of more than ``MOST_POINTS`` candidates in a
    system those nearest to the hull are drawn.
    """
    candidates = CandidatePhases(results)
    groups = candidates.count()
    sizes = {system: _n_compounds(groups, system) for system in groups if len(system) in _DRAW}
    known = {system: n for system, n in sizes.items() if system <= references.terminals.keys()}
    order = sorted(known, key=lambda system: (-known[system], len(system), sorted(system)))
    drawn = []
    for system in order[:MOST_DIAGRAMS]:
        elements = _ordered(system)
        inside = candidates.within(system, MOST_POINTS)
        others = competing_phases(elements, references, elements_only=results.hull_of_candidates)
        competing = [*others, *inside] if results.hull_of_candidates else others
        figure = _DRAW[len(elements)](elements, competing, others, inside)
        drawn.append(Diagram("-".join(elements), known[system], figure))
    return Diagrams(
        tuple(drawn),
        max(len(order) - MOST_DIAGRAMS, 0),
        tuple(sorted("-".join(_ordered(system)) for system in sizes.keys() - known.keys())),
    )


def _binary(
    elements: Sequence[str], competing: Sequence[Phase], others: Sequence[Phase], inside: Sequence[Phase]
) -> Figure:
    import plotly.graph_objects as go

    last = elements[1]
    stable, pairs = hull_and_tie_lines(elements, competing)
    figure = go.Figure(_lines(pairs, lambda phase: (phase.fractions.get(last, 0.0), phase.formation_energy)))
    for style, phases in (*reference_groups(others, stable), *candidate_groups(inside)):
        figure.add_trace(
            go.Scatter(
                x=[phase.fractions.get(last, 0.0) for phase in phases],
                y=[phase.formation_energy for phase in phases],
                hovertext=[hover([phase]) for phase in phases],
                **marks(style),
            )
        )
    lowest = min([0.0, *(phase.formation_energy for phase in (*stable, *inside))])
    highest = max([0.0, *(phase.formation_energy for phase in inside)])
    # Elements far above their ground state, or a failure of the potential, do not squeeze the hull.
    highest = min(highest, max(0.5 * abs(lowest), 0.2))
    room = max(highest - lowest, 0.05)
    bottom, top = lowest - 0.16 * room, highest + 0.1 * room
    named = {phase.formula: phase for phase in sorted(stable, key=lambda phase: -len(phase.fractions))}
    x = [phase.fractions.get(last, 0.0) for phase in named.values()]
    y = [phase.formation_energy for phase in named.values()]
    pixels = [(_WIDTH * a / 1.1, _HEIGHT * (top - b) / (top - bottom)) for a, b in zip(x, y, strict=True)]
    figure.add_trace(go.Scatter(x=x, y=y, **labels(list(named), pixels, "bottom center"), **label_style()))
    figure.update_layout(
        **layout(440),
        xaxis=axis(f"Atomic fraction of {last} in {'-'.join(elements)}", range=[-0.05, 1.05]),
        yaxis=axis("Formation energy, eV/atom", range=[bottom, top]),
    )
    return figure


def _ternary(
    elements: Sequence[str], competing: Sequence[Phase], others: Sequence[Phase], inside: Sequence[Phase]
) -> Figure:
    import plotly.graph_objects as go

    stable, pairs = hull_and_tie_lines(elements, competing)
    corner_of = dict(zip(("b", "c", "a"), elements, strict=True))  # "a" is the top: the least metallic
    lines = [point for first, second in pairs for point in (first, second, None)]
    figure = go.Figure(
        go.Scatterternary(
            **{c: [p and p.fractions.get(el, 0.0) for p in lines] for c, el in corner_of.items()},
            mode="lines",
            line={"color": INK, "width": 1.2},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    references, candidates = by_composition(others), by_composition(inside)
    lowest = [phases[0] for phases in candidates.values()]
    groups = [(style, phases, references) for style, phases in reference_groups(others, stable)]
    groups += [(style, phases, candidates) for style, phases in candidate_groups(lowest)]
    for style, phases, at_place in groups:
        figure.add_trace(
            go.Scatterternary(
                **_corners(corner_of, phases),
                hovertext=[hover(at_place[place(phase)]) for phase in phases],
                **marks(style),
            )
        )
    compounds = {phase.formula: phase for phase in stable if len(phase.fractions) > 1}
    corners = _corners(corner_of, list(compounds.values()))
    pixels = [
        (_SIDE * (c + a / 2), _SIDE * math.sqrt(3) / 2 * (1 - a))
        for a, c in zip(corners["a"], corners["c"], strict=True)
    ]
    figure.add_trace(go.Scatterternary(**corners, **labels(list(compounds), pixels), **label_style()))
    figure.add_trace(_corner_names(corner_of))
    side = {"title": {"text": ""}, "showticklabels": False, "ticks": "", "linecolor": QUIET, "showgrid": False}
    figure.update_layout(
        **layout(560),
        ternary={
            "sum": 1,
            "bgcolor": "white",
            **{f"{corner}axis": side for corner in corner_of},
        },
    )
    return figure


def _corner_names(corner_of: Mapping[str, str]) -> Any:
    """The elements beside their corners; titles of the axes would be on the marks there."""
    import plotly.graph_objects as go

    return go.Scatterternary(
        **{corner: [float(corner == other) for other in corner_of] for corner in corner_of},
        text=[f"<b>{element}</b>" for element in corner_of.values()],
        textposition=["top center" if corner == "a" else "bottom center" for corner in corner_of],
        **label_style() | {"textfont": {"size": 15, "color": INK}, "marker": {"size": 22, "color": "rgba(0,0,0,0)"}},
    )


def _lines(pairs: Iterable[tuple[Phase, Phase]], place: Any) -> Any:
    import plotly.graph_objects as go

    points = [point for first, second in pairs for point in (place(first), place(second), (None, None))]
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines",
        line={"color": INK, "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )


def _corners(corner_of: Mapping[str, str], phases: Sequence[Phase]) -> dict[str, list[float]]:
    return {corner: [phase.fractions.get(element, 0.0) for phase in phases] for corner, element in corner_of.items()}


def _n_compounds(groups: Mapping[frozenset[str], int], system: frozenset[str]) -> int:
    return sum(groups.get(part, 0) for part in _subsystems(system) if len(part) > 1)


def _subsystems(system: frozenset[str]) -> list[frozenset[str]]:
    return [frozenset(part) for size in range(1, len(system) + 1) for part in combinations(sorted(system), size)]


def _ordered(system: Iterable[str]) -> list[str]:
    """Elements from the most metallic to the least, as formulas are written."""
    from pymatgen.core import Element

    return sorted(system, key=lambda el: (Element(el).iupac_ordering, el))


_DRAW = {2: _binary, 3: _ternary, 4: tetrahedron}
"""What draws a system, by its number of elements."""
