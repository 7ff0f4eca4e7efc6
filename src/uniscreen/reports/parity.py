"""Figures of predicted against labelled energies and forces, with what is left between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from uniscreen.reports.figures import BLUE, INK, LEGEND_BELOW, ORANGE, axis, base_layout
from uniscreen.reports.page import ShownFigure
from uniscreen.reports.text import number, plotly_text
from uniscreen.reports.training_breakdown import by_magnitude, vectors
from uniscreen.reports.training_results import FORCE_STAGES, SETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from uniscreen.reports.training_results import TrainingResults

    Values = NDArray[np.float64]

MOST_POINTS = 2500
"""Points of one set at one stage; of more, some are drawn (see ``thinned``)."""

LARGEST_ERRORS = MOST_POINTS // 10
_FEW = 500

_MARKS = {"test": "circle", "validation": "diamond", "train": "square"}
_COLOURS = {"rereferenced": ORANGE, "pretrained": ORANGE, "trained": BLUE}
_WORDS = {"rereferenced": "re-referenced", "pretrained": "before", "trained": "trained"}


class Compared(NamedTuple):
    """Labels (n,) of one set, predictions (n,) by stage, and what is said of each where one hovers.

    ``slopes`` are those of all predictions against all labels, through the origin, by stage.
    """

    name: str
    labels: Values
    predictions: dict[str, Values]
    hover: Callable[[int], str]
    slopes: dict[str, float | None]


class _Axes(NamedTuple):
    """Titles of the axes, the unit of residuals with the factor from that of the labels, and decimals of labels."""

    labels: str
    predictions: str
    unit: str
    factor: float
    decimals: int


_ENERGY = _Axes("DFT energy, eV/atom", "Predicted energy, eV/atom", "meV/atom", 1000.0, 5)
_FORCE = _Axes("DFT force, eV/Å", "Predicted force, eV/Å", "eV/Å", 1.0, 4)


def energy_parity(results: TrainingResults) -> ShownFigure:
    """Energies of frames, re-referenced and trained."""
    compared = [_energies(results, name) for name in results.sets]
    return ShownFigure(
        "parity-energy",
        _figure(compared, _ENERGY),
        "Predicted against DFT energies",
        "Energies per atom",
        _note(compared),
    )


def force_parity(results: TrainingResults) -> ShownFigure:
    """Components of forces, before and after training, with the slopes."""
    compared = [_forces(results, name) for name in results.sets]
    first = compared[0]
    slopes = [f"{_WORDS[stage]} {number(slope, 3)}" for stage, slope in first.slopes.items() if slope is not None]
    said = (
        f" Dashed: slope through the origin on the {SETS[first.name]} frames ({', '.join(slopes)})." if slopes else ""
    )
    return ShownFigure(
        "parity-force",
        _figure(compared, _FORCE),
        "Predicted against DFT forces",
        "Components of forces",
        _note(compared) + said,
    )


def magnitude_figure(results: TrainingResults, name: str) -> ShownFigure:
    """Errors of the forces of one set by the length of the DFT force."""
    import plotly.graph_objects as go

    rows = by_magnitude(results.atoms[results.atoms["set"] == name])
    figure = go.Figure(
        [
            go.Bar(
                x=[row.name for row in rows],
                y=[round(row.mae[stage], 2) for row in rows],
                name=_WORDS[stage],
                marker={"color": _COLOURS[stage]},
                hovertext=[f"{_WORDS[stage]}: {number(row.mae[stage], 1)} meV/Å, {row.atoms:,} atoms" for row in rows],
                hoverinfo="text",
            )
            for stage in FORCE_STAGES
        ]
    )
    figure.update_layout(
        **base_layout(
            400,
            legend=LEGEND_BELOW,
            xaxis=axis("Length of the DFT force, eV/Å", type="category"),
            yaxis=axis("Force MAE, meV/Å", rangemode="tozero"),
        )
    )
    caption = f"Errors of the components of forces on the {SETS[name]} frames, by the length of the DFT force."
    return ShownFigure("force-magnitude", figure, "Force errors by length of the force", caption)


def thinned(labels: Values, predictions: Sequence[Values]) -> NDArray[np.intp]:
    """Which points to draw: all, or ``MOST_POINTS`` of them.

    Those are the ``LARGEST_ERRORS`` of any stage, and of the others some at even steps in the order of the labels.
    """
    if len(labels) <= MOST_POINTS:
        return np.arange(len(labels))
    error = np.max([np.abs(values - labels) for values in predictions], axis=0)
    worst = np.argsort(-error, kind="stable")[:LARGEST_ERRORS]
    order = np.argsort(labels, kind="stable")
    others = order[~np.isin(order, worst)]
    steps = np.linspace(0, len(others) - 1, MOST_POINTS - len(worst)).round().astype(int)
    return np.concatenate([others[steps], worst])


def _energies(results: TrainingResults, name: str) -> Compared:
    frames = results.frames[results.frames["set"] == name]
    per_atom = {
        stage: (frames[f"energy_{stage}_eV"] / frames["n_atoms"]).to_numpy(np.float64)
        for stage in ("rereferenced", "trained")
    }
    places, groups = frames["place"].tolist(), frames["group"].tolist()

    def hover(k: int) -> str:
        group = f"<br>{plotly_text(groups[k])}" if groups[k] else ""
        return f"<b>{plotly_text(places[k])}</b>{group}"

    labels = (frames["energy_eV"] / frames["n_atoms"]).to_numpy(np.float64)
    return Compared(name, labels, per_atom, hover, {})


def _forces(results: TrainingResults, name: str) -> Compared:
    atoms = results.atoms[results.atoms["set"] == name]
    places, elements = atoms["place"].tolist(), atoms["element"].tolist()

    def hover(k: int) -> str:
        atom, axis_ = divmod(k, 3)
        return f"<b>{plotly_text(places[atom])}</b><br>{plotly_text(elements[atom])}, {'xyz'[axis_]}"

    components = {stage: vectors(atoms, stage).ravel() for stage in FORCE_STAGES}
    slopes = {stage: results.errors(name, stage)["force_slope"] for stage in FORCE_STAGES}
    return Compared(name, vectors(atoms, "").ravel(), components, hover, slopes)


def _figure(compared: Sequence[Compared], axes: _Axes) -> Figure:
    """Predictions above, residuals below; the first set is shown, the others when asked for in the legend."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.05)
    for one in compared:
        visible = True if one is compared[0] else "legendonly"
        for trace, row in _traces(one, axes):
            figure.add_trace(trace.update(visible=visible), row=row, col=1)
    figure.update_layout(**base_layout(600, showlegend=True, legend=LEGEND_BELOW))
    figure.update_xaxes(**axis(""), row=1, col=1)
    figure.update_xaxes(**axis(axes.labels), row=2, col=1)
    figure.update_yaxes(**axis(axes.predictions), row=1, col=1)
    figure.update_yaxes(**axis(f"Error, {axes.unit}"), row=2, col=1)
    return figure


def _traces(one: Compared, axes: _Axes) -> Iterator[tuple[Any, int]]:
    """The traces of a set, each with the row of the figure that it belongs in."""
    import plotly.graph_objects as go

    drawn = thinned(one.labels, list(one.predictions.values()))
    labels = one.labels[drawn]
    hover = [one.hover(int(k)) for k in drawn]
    ends = [float(one.labels.min()), float(one.labels.max())]
    for stage, predictions in one.predictions.items():
        shared = {"legendgroup": f"{one.name} {stage}", "x": labels.round(axes.decimals).tolist(), "mode": "markers"}
        marker = {
            "color": _COLOURS[stage],
            "symbol": _MARKS[one.name],
            "size": 7 if len(drawn) < _FEW else 4,
            "opacity": 0.65,
        }
        values = predictions[drawn]
        residuals = axes.factor * (values - labels)
        title = f"{SETS[one.name]}, {_WORDS[stage]}"
        text = [
            f"{words}<br>{title}: error {number(error, 3)} {axes.unit}"
            for words, error in zip(hover, residuals, strict=True)
        ]
        look = {"marker": marker, "hovertext": text, "hoverinfo": "text", **shared}
        yield go.Scatter(y=values.round(axes.decimals).tolist(), name=title, **look), 1
        yield go.Scatter(y=residuals.round(4).tolist(), showlegend=False, **look), 2
        slope = one.slopes.get(stage)
        if slope is not None:
            yield _segment(ends, slope, shared["legendgroup"], _COLOURS[stage], "dash"), 1
    for row, slope in ((1, 1.0), (2, 0.0)):
        yield _segment(ends, slope, f"{one.name} trained", INK, "solid"), row


def _segment(ends: Sequence[float], slope: float, group: Any, colour: str, dash: str) -> Any:
    """A line through the origin over a range of labels."""
    import plotly.graph_objects as go

    return go.Scatter(
        x=list(ends),
        y=[slope * end for end in ends],
        mode="lines",
        line={"color": colour, "width": 1.2, "dash": dash},
        legendgroup=group,
        showlegend=False,
        hoverinfo="skip",
    )


def _note(compared: Sequence[Compared]) -> str:
    first, *others = compared
    sentences = ["Above, predicted against DFT; below, predicted minus DFT."]
    if others:
        sentences.append(
            f"A name in the legend shows or hides its points: at first those of the {SETS[first.name]} frames."
        )
    n, named = len(first.labels), SETS[first.name]
    if n > MOST_POINTS:
        sentences.append(
            f"Of {n:,} {named} points {MOST_POINTS:,} are drawn: the {LARGEST_ERRORS} with the largest errors, "
            "and the others at even steps in the order of their DFT value; large errors are rarer than they look."
        )
    return " ".join(sentences)
