"""Figures of a fine-tuning over its epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from uniscreen.reports.figures import COLOURS, LEGEND_BELOW, ORANGE, axis, base_layout, logarithmic, whole
from uniscreen.reports.page import ShownFigure
from uniscreen.reports.text import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pandas import DataFrame
    from plotly.graph_objects import Figure

    from uniscreen.reports.training_results import TrainingResults

ROLLED_BACK = "rolled back"
"""What the event of an epoch begins with whose weights were thrown away."""
_LATE = (
    " In the second half of the epochs energies have the weight {:g}, in validation in all of them; the best epoch is "
    "one of the second half, if one there is better than epoch 0."
)
_REFIT = " Where validation ends, training begins once more, on all frames."


class _Curve(NamedTuple):
    """A column of ``metrics.csv`` and how it is drawn."""

    column: str
    name: str
    dash: str


_TRAIN = _Curve("train_loss", "training", "dot")
_VALIDATION = _Curve("validation_loss", "validation", "solid")
_ERRORS = (
    ("energy", "validation_energy_mae_meV_per_atom", "Energy MAE, meV/atom"),
    ("force", "validation_force_mae_meV_per_A", "Force MAE, meV/Å"),
    ("stress", "validation_stress_mae_GPa", "Stress MAE, GPa"),
)


def learning_curves(results: TrainingResults) -> list[ShownFigure]:
    """The loss, and each error of the validation frames, over the epochs; stresses only where the data has them."""
    figures = [
        ShownFigure(
            "curve-loss",
            _figure(results, (_TRAIN, _VALIDATION), "Loss (logarithmic)"),
            "Training and validation loss over the epochs",
            "Loss",
            "Training (dotted): the mean over the steps of an epoch, with the weights of the moment. Validation: at "
            "the end of the epoch, with the averaged weights, which are those that are kept."
            + ("" if results.late_energy is None else _LATE.format(results.late_energy))
            + (_REFIT if results.refitted else ""),
        )
    ]
    for quantity, column, title in _ERRORS:
        if results.metrics[column].notna().any():
            curve = _Curve(column, "validation", "solid")
            caption = f"{quantity.capitalize()} error of the validation frames"
            figure = _figure(results, (curve,), title)
            figures.append(ShownFigure(f"curve-{quantity}", figure, f"{caption} over the epochs", caption))
    return figures


def _figure(results: TrainingResults, curves: Sequence[_Curve], title: str) -> Figure:
    import plotly.graph_objects as go

    members = sorted(map(int, results.metrics["member"].unique()))
    single = len(members) == 1
    lines, stars = [], []
    for member, best_epoch in zip(members, results.summary["best_epoch"], strict=True):
        rows = results.metrics[results.metrics["member"] == member]
        kept = rows[~rows["event"].str.startswith(ROLLED_BACK)]
        colour = COLOURS[member % len(COLOURS)]
        for curve in curves:
            name = curve.name if single else f"member {member}"
            line = _line(kept, curve, name, ORANGE if single and curve is _TRAIN else colour)
            lines.append(line.update(legendgroup=name, showlegend=single or curve is not _TRAIN))
        best = kept[kept["epoch"] == best_epoch]
        name = "best epoch by validation" if results.refitted else "best epoch, which is kept"
        stars.append(_best(best, curves[-1].column, colour, name, shown=member == members[0]))
    figure = go.Figure([*lines, *stars])
    figure.update_layout(
        **base_layout(
            400,
            showlegend=True,
            legend=LEGEND_BELOW,
            xaxis=axis("Epoch", rangemode="tozero", **whole(int(results.metrics["epoch"].max()))),
            yaxis=axis(title, **_scale(results, curves)),
        )
    )
    for epoch in sorted(set(_rolled_back(results))):
        figure.add_vline(x=epoch, line={"color": ORANGE, "width": 1.2, "dash": "dash"})
    return figure


def _scale(results: TrainingResults, curves: Sequence[_Curve]) -> dict[str, Any]:
    """Logarithmic for losses, else from 0."""
    if _VALIDATION not in curves:
        return {"rangemode": "tozero"}
    losses = results.metrics[[curve.column for curve in curves]].to_numpy(float)
    return logarithmic(losses.ravel().tolist())


def _line(rows: DataFrame, curve: _Curve, name: str, colour: str) -> Any:
    import plotly.graph_objects as go

    drawn = rows[rows[curve.column].map(math.isfinite)]
    return go.Scatter(
        x=drawn["epoch"].tolist(),
        y=drawn[curve.column].tolist(),
        mode="lines" if len(drawn) > 1 else "markers",
        name=name,
        line={"color": colour, "width": 2, "dash": curve.dash},
        hovertemplate=f"{name}, epoch %{{x}}<br>{curve.name} %{{y:.4g}}<extra></extra>",
    )


def _best(rows: DataFrame, column: str, colour: str, name: str, *, shown: bool) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=rows["epoch"].tolist(),
        y=rows[column].tolist(),
        mode="markers",
        name=name,
        legendgroup="best",
        showlegend=shown,
        cliponaxis=False,
        marker={"color": colour, "symbol": "star", "size": 13, "line": {"color": "white", "width": 1}},
        hovertext=[
            f"best epoch of member {row.member}: {row.epoch}<br>{number(getattr(row, column), 3)}"
            for row in rows.itertuples()
        ],
        hoverinfo="text",
    )


def _rolled_back(results: TrainingResults) -> Iterator[int]:
    """The epochs that were thrown away, of any member."""
    metrics = results.metrics
    yield from map(int, metrics.loc[metrics["event"].str.startswith(ROLLED_BACK), "epoch"])
