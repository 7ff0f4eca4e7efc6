"""matbench-discovery's protocol: how well a potential finds stable crystals.

Each structure is relaxed (FIRE, positions and cell, 0.05 eV/Å, at most 500 steps), its energy corrected as the model's
card says, and its formation energy taken with the Materials Project's elemental energies. The distance to the hull is
the true one plus the error of the formation energy, since the hull is that of DFT.

Source: Riebesell et al., Nat. Mach. Intell. 7, 836 (2025), doi:10.1038/s42256-025-01055-1.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import uniscreen
from uniscreen.benchmarking.metrics import regression_metrics, stability_metrics
from uniscreen.benchmarking.truth import Truth, read_truth
from uniscreen.durable import write_atomically, write_json
from uniscreen.screening import ScreenSettings, run_screen
from uniscreen.screening.outputs import csv_bytes
from uniscreen.structures import CandidateTable, read_candidates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from uniscreen.benchmarking.metrics import Metrics
    from uniscreen.screening import Progress, ScreenRun

MAX_ERROR = 5.0
"""eV/atom of formation energy; a prediction further off is a failed one and counts as missing, as it does there."""


@dataclass(frozen=True)
class DiscoveryRun:
    """A finished benchmark.

    ``counts``: structures, and why predictions are missing. ``formation_energy`` and ``stability``: their metrics,
    the latter None where no true hull distances are given. ``predictions``: one row a structure, in input order.
    """

    predictions: pd.DataFrame
    counts: dict[str, int]
    formation_energy: Metrics
    stability: Metrics | None
    folder: Path


def run_discovery(
    structures: Path,
    settings: ScreenSettings,
    out: Path,
    *,
    truth: Path | None = None,
    formation_column: str | None = None,
    hull_column: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> DiscoveryRun:
    """Run the protocol and write predictions, metrics and the screen itself to a folder.

    Args:
        structures: anything that ``read_candidates`` takes.
        settings: the model, and the protocol's relaxation, which is the default.
        out: the folder. If it holds the same benchmark, unfinished, that is continued.
        truth: a CSV or Parquet table with the true energies by id; the structures' own columns unless given.
        formation_column: the column of true formation energies, eV/atom; see ``read_truth``.
        hull_column: that of true hull distances, eV/atom, likewise.
        sample: how many structures to draw at random; all unless given.
        seed: of the draw.
        workers: processes; see ``run_screen``.
        restart: begin anew, even where the folder holds a run.
        on_progress: told after each structure.

    Raises:
        InputError: the structures, their truth, the settings, the model or the folder are wrong as a whole.
    """
    table = read_candidates(structures)
    if sample is not None:
        table = table.sample(sample, seed)
    known = read_truth(table, truth, formation_column, hull_column)
    run = run_screen(
        table, settings, out=out / "screen", references="elements", workers=workers, restart=restart,
        on_progress=on_progress,
    )  # fmt: skip
    predictions = predictions_table(run.table, table, known)
    true, predicted = (predictions[f"formation_energy_{of}_eV_per_atom"].to_numpy() for of in ("true", "predicted"))
    stability = None
    if known.has_hull:
        stability = stability_metrics(
            *(predictions[f"e_above_hull_{of}_eV_per_atom"].to_numpy() for of in ("true", "predicted"))
        )
    result = DiscoveryRun(predictions, _counts(predictions), regression_metrics(true, predicted), stability, out)
    _write(result, _provenance(known, run, settings, table, sample, seed))
    return result


def predictions_table(results: pd.DataFrame, structures: CandidateTable, truth: Truth) -> pd.DataFrame:
    """Put predicted beside true energies, one row a structure in the order of ``structures``.

    ``missing`` says why a prediction is missing, and is empty where there is one. A row that ran out of steps has one.
    """
    import pandas as pd

    by_id = results.set_index("id").loc[[one.id for one in structures]].reset_index()
    true = truth.formation_energy
    predicted = by_id["formation_energy_eV_per_atom"].astype("float64")
    missing = by_id["status"].astype("object").where(predicted.isna(), "")
    missing = missing.mask(missing.isin(["ok", "not_converged"]), "no elemental energy")
    far = (predicted - true).abs() > MAX_ERROR
    predicted = predicted.mask(far)
    error = predicted - true
    return pd.DataFrame(
        {
            "id": by_id["id"],
            "formula": by_id["formula"],
            "n_atoms": by_id["n_atoms"],
            "status": by_id["status"],
            "n_steps": by_id["n_steps"],
            "formation_energy_true_eV_per_atom": true,
            "formation_energy_predicted_eV_per_atom": predicted,
            "error_eV_per_atom": error,
            "e_above_hull_true_eV_per_atom": truth.e_above_hull.where(true.notna()),
            "e_above_hull_predicted_eV_per_atom": truth.e_above_hull + error,
            "missing": missing.mask(far, f"error above {MAX_ERROR:g} eV/atom"),
        }
    )


def _counts(predictions: pd.DataFrame) -> dict[str, int]:
    """Count structures, predictions, and what is missing by reason."""
    reasons = predictions.loc[predictions["missing"] != "", "missing"].value_counts()
    return {
        "structures": len(predictions),
        "predicted": int((predictions["missing"] == "").sum()),
        "not_converged_but_predicted": int(
            ((predictions["status"] == "not_converged") & (predictions["missing"] == "")).sum()
        ),
        "without_truth": int(predictions["formation_energy_true_eV_per_atom"].isna().sum()),
        **{f"missing: {reason}": int(n) for reason, n in reasons.items()},
    }


def _provenance(
    truth: Truth,
    run: ScreenRun,
    settings: ScreenSettings,
    table: CandidateTable,
    sample: int | None,
    seed: int,
) -> dict[str, Any]:
    return {
        "uniscreen": uniscreen.__version__,
        "protocol": "matbench-discovery",
        "model": settings.model,
        "settings": settings.as_dict(),
        "structures": {"name": table.name, "sha256": table.sha256, "sample": sample, "seed": seed},
        "truth": {
            "file": truth.source,
            "formation_energy": truth.formation_column,
            "e_above_hull": truth.hull_column,
        },
        "screen": "screen/run.json",
        "seconds": round(run.seconds, 3),
    }


def _write(result: DiscoveryRun, provenance: dict[str, Any]) -> None:
    """Write predictions.csv, predictions.parquet, metrics.csv and metrics.json."""
    import pandas as pd

    write_atomically(result.folder / "predictions.csv", csv_bytes(result.predictions))
    buffer = io.BytesIO()
    result.predictions.to_parquet(buffer, index=False)
    write_atomically(result.folder / "predictions.parquet", buffer.getvalue())
    metrics = {"formation_energy": result.formation_energy, "stability": result.stability}
    rows = [(group, name, value) for group, values in metrics.items() for name, value in (values or {}).items()]
    rows += [("counts", name, value) for name, value in result.counts.items()]
    long = pd.DataFrame(rows, columns=["of", "metric", "value"])
    write_atomically(result.folder / "metrics.csv", csv_bytes(long))
    document = {"counts": result.counts, **metrics, "provenance": provenance}
    write_json(result.folder / "metrics.json", _without_nan(document))


def _without_nan(value: Any) -> Any:
    """Replace what is not defined by None, since JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    return None if isinstance(value, float | np.floating) and math.isnan(value) else value
