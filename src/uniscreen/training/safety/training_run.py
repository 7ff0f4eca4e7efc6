"""What a training run says of its own errors, and which frames it used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.training.errors import MeanErrors

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "summary.json"


def read_training_errors(folder: Path) -> MeanErrors | None:
    """The errors of a run's potential on its own training data; None where the folder has no summary of a run.

    Raises:
        InputError: the summary is not one of a training run.
    """
    summary = _summary(folder)
    if summary is None:
        return None
    try:
        errors = summary["errors"]["train"]["trained"]
        return MeanErrors(float(errors["energy_mae_meV_per_atom"]), float(errors["force_mae_meV_per_A"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _not_a_summary(folder, "no training errors (errors.train.trained)", error) from error


def read_trained_on(folder: Path) -> frozenset[str]:
    """``LabelledStructure.geometry_digest`` of the frames that a run's potential was trained on or chosen by.

    Empty where the folder has no summary of a run, or one of a version that did not keep them.

    Raises:
        InputError: the summary is not one of a training run.
    """
    summary = _summary(folder)
    if summary is None:
        return frozenset()
    try:
        return frozenset(summary.get("trained_on", ()))
    except (AttributeError, TypeError) as error:
        raise _not_a_summary(folder, "no list of the frames that were trained on (trained_on)", error) from error


def _summary(folder: Path) -> Any:
    path = folder / SUMMARY
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _not_a_summary(folder, "no JSON", error) from error


def _not_a_summary(folder: Path, what: str, error: Exception) -> InputError:
    return InputError(
        f"{folder / SUMMARY} holds {what}: {type(error).__name__}: {error}. "
        "Expected the summary that uniscreen finetune writes; move it away to do without it."
    )
