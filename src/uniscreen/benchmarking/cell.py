"""One cell of a benchmark, in a process of its own, which ends with the benchmark's.

The folder holds ``cell.json``; the trained potential comes to lie in ``model``, and the rows in ``Cell.rows_name``,
written last. What was trained is not trained again where only its evaluation was cut short, or more is to be measured.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.accuracy import accuracy
from uniscreen.benchmarking.baselines import find_baseline, train_baseline
from uniscreen.benchmarking.cells import Cell
from uniscreen.benchmarking.datasets import draw
from uniscreen.benchmarking.physics import measure, read_properties
from uniscreen.benchmarking.results import failed_row, row
from uniscreen.durable import making, write_json
from uniscreen.errors import InputError, UniscreenError
from uniscreen.potentials import load_potential
from uniscreen.processes import end_with
from uniscreen.structures.labels import read_labelled
from uniscreen.training.finetuning import finetune
from uniscreen.training.predictions import predict
from uniscreen.training.reference_energies import residual_shifts, total_shift

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from uniscreen.potentials.base import Potential
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.predictions import Predictions

CELL, TRAINED, MODEL = "cell.json", "trained.json", "model"

BATCH_SIZE = 8

TRAINING_SHARE = 0.8
"""Of the time of a cell, how much a dedicated model may train; the rest is for its evaluation."""


def run_cell(cell: Cell, folder: Path, *, trust_model_file: bool = False, device: str = "auto") -> list[dict[str, Any]]:
    """Train what the cell trains, evaluate it on the test structures, and return its rows.

    Raises:
        UniscreenError: it cannot be trained, loaded or evaluated; what is wrong is said.
    """
    options: dict[str, Any] = {"device": device, "trust_model_file": trust_model_file}
    seconds = _train(cell, folder, options)
    name = str(folder / MODEL) if (folder / MODEL).exists() else cell.potential
    potential = load_potential(name, head="" if name != cell.potential else cell.head, **options)
    assert cell.data.test is not None
    test = read_labelled(cell.data.test, cell.data.conventions).structures
    predicted = predict(potential, test, batch_size=BATCH_SIZE)
    if not predicted.results:
        raise InputError(f"{potential.card.name} can evaluate none of the test structures: {predicted.refused[0]}")
    places = sorted(predicted.results)
    results = [predicted.results[place] for place in places]
    labels = [test[place] for place in places]
    if cell.regime == "re-referenced":
        shifts = total_shift([one.atoms for one in labels], _shifts(cell, potential))
        results = [one._replace(energy=one.energy + shift) for one, shift in zip(results, shifts, strict=True)]
    metrics = accuracy(labels, results)
    if seconds is not None:
        metrics["training_time"] = seconds
    reason = _left_out(test, predicted)
    rows = [row(cell, metric, value, n_test=len(labels), reason=reason) for metric, value in metrics.items()]
    return [*rows, *_elsewhere(cell, potential), *_physics(cell, potential)]


def _physics(cell: Cell, potential: Potential) -> Iterator[dict[str, Any]]:
    """The rows of the properties of crystals, which other energies of reference do not change."""
    if cell.properties is not None and cell.regime != "re-referenced":
        for one in measure(potential, read_properties(cell.properties)):
            yield row(cell, one.metric, one.value, n_test=one.n, reason=one.reason)


def _elsewhere(cell: Cell, potential: Potential) -> Iterator[dict[str, Any]]:
    """The rows of other structures; their energies may be counted from other atoms, so they are not compared."""
    for name, path in cell.elsewhere.items():
        structures = read_labelled(path).structures
        predicted = predict(potential, structures, batch_size=BATCH_SIZE)
        places = sorted(predicted.results)
        if not places:
            yield row(cell, f"force_mae:{name}", math.nan, n_test=0, reason=predicted.refused[0])
            continue
        metrics = accuracy([structures[k] for k in places], [predicted.results[k] for k in places])
        for metric, value in metrics.items():
            if metric.startswith(("force", "stress")):
                yield row(cell, f"{metric}:{name}", value, n_test=len(places), reason=_left_out(structures, predicted))


def _left_out(structures: Sequence[LabelledStructure], predicted: Predictions) -> str:
    """How many structures a potential did not evaluate, and why the first; empty if all were."""
    refused = [f"{structures[place].place}: {why}" for place, why in predicted.refused.items()]
    return f"{len(refused)} of {len(structures)} test structures were not evaluated: {refused[0]}" if refused else ""


def _train(cell: Cell, folder: Path, options: dict[str, Any]) -> float | None:
    """Train into the folder ``model``; seconds of CPU time, also where it was done before; None for no training."""
    if cell.recipe is None and not cell.baseline:
        return None
    record = folder / TRAINED
    if record.is_file():
        return float(json.loads(record.read_bytes())["cpu_seconds"])
    out = folder / MODEL
    if cell.baseline:
        find_baseline(cell.baseline).install()  # the first time takes long, and is no training
    start = _cpu_seconds()
    if cell.recipe is not None:
        finetune(cell.recipe, out, workers=1, restart=True, **options)
    else:
        shutil.rmtree(out, ignore_errors=True)
        train, validation = drawn(cell)
        if not find_baseline(cell.baseline).early_stopping:
            train, validation = [*train, *validation], []
        train_baseline(
            cell.baseline,
            train,
            out,
            validation=validation,
            hyperparameters=cell.hyperparameters,
            seed=cell.seed,
            device="cuda" if options["device"] == "cuda" else "cpu",
            seconds=TRAINING_SHARE * 3600 * cell.hours,
        )
    seconds = _cpu_seconds() - start
    write_json(record, {"cpu_seconds": seconds})
    return seconds


def drawn(cell: Cell) -> tuple[list[LabelledStructure], list[LabelledStructure]]:
    """Return the structures that a cell trains on, and those that it validates with."""
    assert cell.data.train is not None
    return draw(cell.data, read_labelled(cell.data.train, cell.data.conventions).structures)


def _shifts(cell: Cell, potential: Potential) -> dict[str, float]:
    """The reference energies' shifts, eV an atom, that a recipe would begin with."""
    train, _ = drawn(cell)
    predicted = predict(potential, train, batch_size=BATCH_SIZE)
    places = [place for place, one in sorted(predicted.results.items()) if math.isfinite(one.energy)]
    if not places:
        why = next(iter(predicted.refused.values()), "its energies are not finite")
        raise InputError(f"{potential.card.name} can evaluate none of the training structures: {why}")
    return residual_shifts([train[place] for place in places], [predicted.results[place] for place in places])


def _cpu_seconds() -> float:
    """CPU time of this process and of those that it has started and seen end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(folder: Path, *, trust_model_file: bool, device: str) -> None:
    """Run the cell of a folder; an error becomes a row, one that is not meant for the user is in the log as well."""
    cell = Cell.model_validate_json((folder / CELL).read_text(encoding="utf-8"))
    with making(folder):  # the process of a benchmark that was killed may be at it for another moment
        if (folder / cell.rows_name).is_file():
            return
        start = time.perf_counter()
        try:
            rows = run_cell(cell, folder, trust_model_file=trust_model_file, device=device)
        except UniscreenError as error:
            rows = [failed_row(cell, str(error))]
        except Exception as error:  # the boundary between cells: a model's code raises what it likes
            traceback.print_exc()
            rows = [failed_row(cell, f"{type(error).__name__}: {' '.join(str(error).split())}")]
        seconds = round(time.perf_counter() - start, 1)
        timed = [one | {"seconds": seconds} for one in rows]
        write_json(folder / cell.rows_name, timed)


def main() -> None:
    """Run the cell that the benchmark names."""
    import torch

    folder, parent, device, trust = sys.argv[1:]
    end_with(int(parent))
    torch.set_num_threads(1)
    run(Path(folder), trust_model_file=trust == "trust", device=device)


if __name__ == "__main__":
    main()
