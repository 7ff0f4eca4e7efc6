"""Phase diagrams of the chemical systems of two and three elements among the candidates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from uniscreen.reports.figures import INK, QUIET, axis, base_layout
from uniscreen.reports.phases import Phase, candidate_phases, competing_phases, hull_and_tie_lines
from uniscreen.reports.text import chemical, number, plotly_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from plotly.graph_objects import Figure

    from uniscreen.reports.results import ScreenResults
    from uniscreen.thermodynamics import ReferenceSet

MOST_DIAGRAMS = 12
_SAME_HOVER = 10
"""Candidates of one composition named in one hover text of a ternary diagram."""


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


@dataclass(frozen=True)
class _Class:
    """How candidates up to a distance to the hull are drawn; open and filled marks differ in print too."""

    label: str
    most_meV: float  # noqa: N815
    colour: str
    symbol: str
    size: int


_CLASSES = (
    _Class("on or below the hull", 0.0, "#0f5c4d", "diamond", 12),
    _Class("up to 25 meV/atom above", 25.0, "#2a6293", "circle", 10),
    _Class("25 to 100 meV/atom", 100.0, "#c8862b", "circle", 9),
    _Class("more than 100 meV/atom", math.inf, "#8d99a6", "circle-open", 8),
)
_NO_DISTANCE = _Class("no distance", math.nan, "#8d99a6", "x-thin-open", 8)


def phase_diagrams(results: ScreenResults, references: ReferenceSet) -> Diagrams:
    """Draw the systems of two or three elements that hold most compound candidates.

    Candidates of subsystems count and are drawn too: Li2O in Li-Co-O.
    """
    candidates = candidate_phases(results)
    groups: dict[frozenset[str], list[Phase]] = defaultdict(list)
    for phase in candidates:
        groups[frozenset(phase.fractions)].append(phase)
    sizes = {system: _n_compounds(groups, system) for system in groups if len(system) in (2, 3)}
    known = {system: n for system, n in sizes.items() if system <= references.terminals.keys()}
    order = sorted(known, key=lambda system: (-known[system], len(system), sorted(system)))
    drawn = []
    for system in order[:MOST_DIAGRAMS]:
        elements = _ordered(system)
        inside = [phase for part in _subsystems(system) for phase in groups.get(part, ())]
        others = competing_phases(elements, references, elements_only=results.hull_of_candidates)
        competing = [*others, *inside] if results.hull_of_candidates else others
        draw = _binary if len(elements) == 2 else _ternary
        drawn.append(Diagram("-".join(elements), known[system], draw(elements, competing, others, inside)))
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
    for style, phases in (*_reference_groups(others, stable), *_candidate_groups(inside)):
        figure.add_trace(
            go.Scatter(
                x=[phase.fractions.get(last, 0.0) for phase in phases],
                y=[phase.formation_energy for phase in phases],
                hovertext=[_hover([phase]) for phase in phases],
                **_marks(style),
            )
        )
    labels = {phase.formula: phase for phase in stable}
    figure.add_trace(
        go.Scatter(
            x=[phase.fractions.get(last, 0.0) for phase in labels.values()],
            y=[phase.formation_energy for phase in labels.values()],
            text=[str(chemical(formula)) for formula in labels],
            textposition="bottom center",
            **_label_style(),
        )
    )
    lowest = min([0.0, *(phase.formation_energy for phase in (*stable, *inside))])
    highest = max([0.0, *(phase.formation_energy for phase in inside)])
    room = max(highest - lowest, 0.05)
    figure.update_layout(
        **_layout(),
        xaxis=axis(f"Atomic fraction of {last} in {'-'.join(elements)}", range=[-0.05, 1.05]),
        yaxis=axis("Formation energy, eV/atom", range=[lowest - 0.16 * room, highest + 0.1 * room]),
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
    references, candidates = _by_composition(others), _by_composition(inside)
    lowest = [phases[0] for phases in candidates.values()]
    marks = [(style, phases, references) for style, phases in _reference_groups(others, stable)]
    marks += [(style, phases, candidates) for style, phases in _candidate_groups(lowest)]
    for style, phases, at_place in marks:
        figure.add_trace(
            go.Scatterternary(
                **_corners(corner_of, phases),
                hovertext=[_hover(at_place[_place(phase)]) for phase in phases],
                **_marks(style),
            )
        )
    compounds = {phase.formula: phase for phase in stable if len(phase.fractions) > 1}
    figure.add_trace(
        go.Scatterternary(
            **_corners(corner_of, list(compounds.values())),
            text=[str(chemical(formula)) for formula in compounds],
            textposition="top center",
            **_label_style(),
        )
    )
    side = {"showticklabels": False, "ticks": "", "linecolor": QUIET, "showgrid": False}
    figure.update_layout(
        **_layout(),
        ternary={
            "sum": 1,
            "bgcolor": "white",
            **{
                f"{corner}axis": {**side, "title": {"text": f"<b>{element}</b>"}}
                for corner, element in corner_of.items()
            },
        },
    )
    return figure


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


def _reference_groups(others: Sequence[Phase], stable: Sequence[Phase]) -> list[tuple[_Class, list[Phase]]]:
    on_hull = {id(phase) for phase in stable}
    groups = (
        (_Class("reference on the hull", 0.0, INK, "square-open", 13), [p for p in others if id(p) in on_hull]),
        (_Class("reference above it", 0.0, "#aab4be", "square", 4), [p for p in others if id(p) not in on_hull]),
    )
    return [(style, phases) for style, phases in groups if phases]


def _candidate_groups(candidates: Sequence[Phase], *, lowest_only: bool = False) -> list[tuple[_Class, list[Phase]]]:
    if lowest_only:
        candidates = [phases[0] for phases in _by_composition(candidates).values()]
    groups: dict[_Class, list[Phase]] = {style: [] for style in (*reversed(_CLASSES), _NO_DISTANCE)}
    for phase in candidates:
        distance = math.nan if phase.distance_meV is None else phase.distance_meV
        groups[next((style for style in _CLASSES if distance <= style.most_meV), _NO_DISTANCE)].append(phase)
    return [(style, phases) for style, phases in groups.items() if phases]


def _by_composition(phases: Sequence[Phase]) -> dict[tuple[tuple[str, float], ...], list[Phase]]:
    """Phases of the same composition, that of lowest formation energy first."""
    groups = defaultdict(list)
    for phase in sorted(phases, key=lambda phase: phase.formation_energy):
        groups[_place(phase)].append(phase)
    return groups


def _place(phase: Phase) -> tuple[tuple[str, float], ...]:
    return tuple((el, round(x, 6)) for el, x in sorted(phase.fractions.items()))


def _corners(corner_of: Mapping[str, str], phases: Sequence[Phase]) -> dict[str, list[float]]:
    return {corner: [phase.fractions.get(element, 0.0) for phase in phases] for corner, element in corner_of.items()}


def _marks(style: _Class) -> dict[str, Any]:
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


def _label_style() -> dict[str, Any]:
    return {
        "mode": "markers+text",
        "marker": {"size": 16, "color": "rgba(0,0,0,0)"},  # keeps the text off the visible mark
        "textfont": {"size": 11, "color": INK},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }


def _layout() -> dict[str, Any]:
    legend = {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "font": {"size": 11, "color": QUIET}}
    return base_layout(440, showlegend=True, legend=legend, margin={"l": 60, "r": 20, "t": 30, "b": 40})


def _hover(phases: Sequence[Phase]) -> str:
    lines = [f"<b>{plotly_text(phases[0].formula)}</b>"]
    for phase in phases[:_SAME_HOVER]:
        energy = f"formation {number(phase.formation_energy, 3)} eV/atom"
        distance = "" if phase.distance_meV is None else f", {number(phase.distance_meV, 1)} meV/atom above hull"
        lines.append(f"{plotly_text(phase.name, 60)}: {energy}{distance}")
    if len(phases) > _SAME_HOVER:
        lines.append(f"and {len(phases) - _SAME_HOVER} more of this composition")
    return "<br>".join(lines)


def _n_compounds(groups: Mapping[frozenset[str], Sequence[Phase]], system: frozenset[str]) -> int:
    counts = Counter({part: len(groups[part]) for part in _subsystems(system) if part in groups})
    return sum(n for part, n in counts.items() if len(part) > 1)


def _subsystems(system: frozenset[str]) -> list[frozenset[str]]:
    return [frozenset(part) for size in range(1, len(system) + 1) for part in combinations(sorted(system), size)]


def _ordered(system: Iterable[str]) -> list[str]:
    """Elements from the most metallic to the least, as formulas are written."""
    from pymatgen.core import Element

    return sorted(system, key=lambda el: (Element(el).iupac_ordering, el))
