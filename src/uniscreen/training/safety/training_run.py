"""What a training run says of its own errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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
    path = folder / SUMMARY
    if not path.is_file():
        return None
    try:
        errors = json.loads(path.read_text(encoding="utf-8"))["errors"]["train"]["trained"]
        return MeanErrors(float(errors["energy_mae_meV_per_atom"]), float(errors["force_mae_meV_per_A"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no training errors (errors.train.trained): {type(error).__name__}: {error}. "
            "Expected the summary that uniscreen finetune writes; move it away to check without it."
        ) from error
