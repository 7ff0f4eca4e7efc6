"""What a run leaves in its folder: see ``FILES``. All of it is written at the end, ``summary.json`` last."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from uniscreen.durable import write_atomically, write_json
from uniscreen.machine import versions
from uniscreen.potentials import load_potential
from uniscreen.potentials.saved import DESCRIPTION, WEIGHTS, write_committee
from uniscreen.structures.crystal import reduced_formula
from uniscreen.training.errors import Errors
from uniscreen.training.members import BATCH_SIZE
from uniscreen.training.safety import run_checks
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from uniscreen.potentials.base import Potential, SystemResult
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.assignment import Assignment
    from uniscreen.training.dataset import Frames, TrainingData
    from uniscreen.training.finetuning import Prepared
    from uniscreen.training.members import Trained
    from uniscreen.training.safety import Check

MANIFEST = "manifest.json"
RECIPE = "recipe.yaml"
METRICS = "metrics.csv"
PREDICTIONS = "predictions.csv"
FORCES = "forces.parquet"
SUMMARY = "summary.json"
REPORT = "report.html"
FILES = (MANIFEST, RECIPE, METRICS, PREDICTIONS, FORCES, SUMMARY, REPORT, DESCRIPTION, WEIGHTS)

MEMBERS = "members"
CHECKPOINT = "checkpoint"

WORSE = 1.0
"""meV/atom: what refitting the reference energies may take the energy error up by without being told of."""

PACKAGES = ("uniscreen", "torch", "numpy", "ase", "chgnet", "matgl", "mace-torch")


def manifest(prepared: Prepared) -> dict[str, Any]:
    """What makes two runs the same one."""
    return {
        "recipe": prepared.recipe.model_dump(mode="json"),
        "model_sha256": prepared.potential.card.sha256,
        "data_sha256": dict(prepared.sha256),
    }


def is_run(folder: Path) -> bool:
    """Whether a folder has the manifest of a fine-tuning, or one that cannot be read any more."""
    path = folder / MANIFEST
    if not path.is_file():
        return False
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return True
    return isinstance(found, dict) and "recipe" in found


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a run that is done; None of one that is not."""
    path = folder / SUMMARY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(
    folder: Path,
    prepared: Prepared,
    assignments: Sequence[Assignment],
    trained: Sequence[Trained],
    on_check: Callable[[str], None],
) -> dict[str, Any]:
    """Write the tables, the committee of an ensemble, and the summary with the checks, which is returned."""
    tuned = _load(folder, prepared, assignments)
    stages = _all_stages(prepared, trained, tuned)
    _write_csv(folder / METRICS, pd.DataFrame(list(_metrics(trained))))
    _write_csv(folder / PREDICTIONS, pd.DataFrame([row for name, stage in stages.items() for row in stage.rows(name)]))
    atoms = pd.DataFrame([row for name, stage in stages.items() for row in stage.atoms(name)])
    write_atomically(folder / FORCES, atoms.to_parquet(index=False))
    summary = _summary(prepared, assignments, trained, stages)
    if prepared.recipe.checks.run:
        summary["checks"] = [check.as_dict() for check in _checked(prepared, tuned, stages, on_check)]
    write_json(folder / SUMMARY, summary)
    return summary


def _checked(
    prepared: Prepared, tuned: Potential, stages: Mapping[str, _Stages], on_check: Callable[[str], None]
) -> list[Check]:
    """The checks on the test frames, or on those of validation where there are none."""
    data = stages["test"] if "test" in stages else stages["validation"]
    train = stages["train"]
    return run_checks(
        tuned,
        data.labels,
        results=data.results["trained"],
        training_errors=Errors.of(train.labels, train.results["trained"]),
        pretrained=prepared.potential,
        md_ps=prepared.recipe.checks.md_ps,
        on_probe=on_check,
    )


class _Stages:
    """The predictions for one set of frames before training, after re-referencing and after training."""

    def __init__(self, frames: Frames, rereferenced: Sequence[SystemResult], trained: Sequence[SystemResult]) -> None:
        self.labels = frames.labels
        self.results = {"pretrained": frames.pretrained, "rereferenced": rereferenced, "trained": trained}

    def errors(self) -> dict[str, dict[str, Any]]:
        """The errors by stage."""
        return {stage: asdict(Errors.of(self.labels, results)) for stage, results in self.results.items()}

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """One row a frame, for ``predictions.csv``."""
        for k, label in enumerate(self.labels):
            results = {stage: found[k] for stage, found in self.results.items()}
            yield {
                "set": name,
                "place": label.place,
                "group": label.group,
                "formula": reduced_formula(label.atoms),
                "n_atoms": len(label.atoms),
                "energy_eV": label.energy,
                **{f"energy_{stage}_eV": result.energy for stage, result in results.items()},
                **{
                    f"force_mae_{stage}_meV_per_A": 1000 * float(np.mean(np.abs(results[stage].forces - label.forces)))
                    for stage in ("pretrained", "trained")
                },
                **{
                    f"stress_mae_{stage}_GPa": _stress_mae(label, results[stage]) for stage in ("pretrained", "trained")
                },
                **_deviations(results["trained"]),
            }

    def atoms(self, name: str) -> Iterator[dict[str, Any]]:
        """One row an atom, for ``forces.parquet``; forces in eV/Å."""
        for k, label in enumerate(self.labels):
            before, after = self.results["pretrained"][k].forces, self.results["trained"][k].forces
            deviations = self.results["trained"][k].force_std
            for atom, symbol in enumerate(label.atoms.symbols):
                vectors = {"": label.forces[atom], "_pretrained": before[atom], "_trained": after[atom]}
                components = {
                    f"f{axis}{stage}": float(vector[i])
                    for stage, vector in vectors.items()
                    for i, axis in enumerate("xyz")
                }
                deviation = {} if deviations is None else {"force_std": float(deviations[atom])}
                yield {"set": name, "place": label.place, "element": symbol, **components, **deviation}


def _load(folder: Path, prepared: Prepared, assignments: Sequence[Assignment]) -> Potential:
    """The potential of the folder; several members are made a committee first."""
    if len(assignments) > 1:
        from uniscreen.potentials.committee import Committee

        members = [load_potential(str(one.folder), device=prepared.device) for one in assignments]
        card = replace(Committee(members).card, tuned_elements=prepared.data.elements)
        write_committee(folder, card, [f"{MEMBERS}/{one.number}" for one in assignments])
    return load_potential(str(folder), device=prepared.device)


def _all_stages(prepared: Prepared, trained: Sequence[Trained], tuned: Potential) -> dict[str, _Stages]:
    """The predictions by what the frames were used for.

    Those that validate are predicted by what had not been trained on them, also where they were trained on later, in a
    refit or by the members of other folds.
    """
    data, splits = prepared.data, prepared.data.splits
    places = sorted({place for split in splits for place in split.validation})
    all_train = len(splits) > 1 or any(one.refit is not None for one in trained)
    train = data.known if all_train else data.known.at(splits[0].train)
    stages = {
        "train": _stages(prepared, train, _predicted(tuned, train)),
        "validation": _stages(prepared, data.known.at(places), _held_out(data, trained, places)),
    }
    return stages | ({"test": _stages(prepared, data.test, _predicted(tuned, data.test))} if len(data.test) else {})


def _predicted(potential: Potential, frames: Frames) -> list[SystemResult]:
    return potential.evaluate([label.atoms for label in frames.labels], batch_size=BATCH_SIZE)


def _held_out(data: TrainingData, trained: Sequence[Trained], places: Sequence[int]) -> list[SystemResult]:
    """For each place the mean of what the members predict that held it out."""
    found: dict[int, list[SystemResult]] = {place: [] for place in places}
    for one in trained:
        held = data.splits[one.number % len(data.splits)].validation
        for place, result in zip(held, one.held_out, strict=True):
            found[place].append(result)
    return [_mean(found[place]) for place in places]


def _mean(results: Sequence[SystemResult]) -> SystemResult:
    """The mean energy, forces and stress of one structure, and how far several are apart."""
    energies, forces = [one.energy for one in results], [one.forces for one in results]
    mean = results[0]._replace(
        energy=float(np.mean(energies)),
        forces=np.mean(forces, axis=0),
        stress=np.mean([one.stress for one in results], axis=0),
    )
    if len(results) == 1:
        return mean
    return mean._replace(
        energy_std=float(np.std(energies, ddof=1)) / len(mean.forces),
        force_std=np.sqrt(np.var(forces, axis=0, ddof=1).sum(axis=1)),
    )


def _stages(prepared: Prepared, frames: Frames, trained: Sequence[SystemResult]) -> _Stages:
    shift = prepared.shifts
    moved = [
        result._replace(energy=result.energy + sum(shift.get(symbol, 0.0) for symbol in label.atoms.symbols))
        for label, result in zip(frames.labels, frames.pretrained, strict=True)
    ]
    return _Stages(frames, moved, trained)


def _summary(
    prepared: Prepared, assignments: Sequence[Assignment], trained: Sequence[Trained], stages: Mapping[str, _Stages]
) -> dict[str, Any]:
    first = assignments[0]
    return {
        "model": prepared.potential.card.name,
        "strategy": prepared.recipe.strategy.model_dump(mode="json"),
        "members": len(assignments),
        "parameters_trained": trained[0].n_trained,
        "n_train": len(first.material.train),
        "n_validation": len(first.material.validation),
        "n_test": len(prepared.data.test),
        "n_test_known": prepared.data.n_test_known,
        "n_replay": len(first.material.replay),
        "trained_on": sorted({label.geometry_digest for label in prepared.data.known.labels}),
        "elements": sorted(prepared.data.elements),
        "reference_energy_shifts_eV_per_atom": dict(prepared.shifts),
        "epochs": [one.state.epoch for one in trained],
        "best_epoch": [one.state.best_epoch for one in trained],
        "epochs_on_all_frames": [one.refit.epoch if one.refit is not None else 0 for one in trained],
        "stopped": [one.state.stopped for one in trained],
        "rollbacks": [[reason for part in one.parts for reason in part.rollbacks] for one in trained],
        "seconds": round(sum(part.seconds for one in trained for part in one.parts), 1),
        "errors": {name: stage.errors() for name, stage in stages.items()},
        "left_out": list(prepared.data.left_out),
        "note": _note(prepared, trained, stages),
        "unit_checks": [f"{one.check}: {one.verdict}: {one.seen}" for one in prepared.data.findings],
        "data_sha256": dict(prepared.sha256),
        "versions": versions(PACKAGES),
        "checks": [],
    }


def _note(prepared: Prepared, trained: Sequence[Trained], stages: Mapping[str, _Stages]) -> str:
    """What to know about the frames and the reference energies, if anything."""
    rereferenced = prepared.recipe.reference_energies == "refit"
    notes = prepared.data.notes(refit=any(one.refit is not None for one in trained), rereferenced=rereferenced)
    errors = stages["validation"].errors()
    before, after = (errors[stage]["energy_mae_meV_per_atom"] for stage in ("pretrained", "rereferenced"))
    if rereferenced and after > before + WORSE:
        notes += (
            f" Refitting the reference energies took the energy error of the frames that validate from {before:.1f} to "
            f"{after:.1f} meV/atom: reference_energies=keep leaves them as they were."
        )
    return notes.strip()


def _metrics(trained: Sequence[Trained]) -> Iterator[dict[str, Any]]:
    for one in trained:
        for row in one.rows:
            yield {"member": one.number, **row}


def _deviations(result: SystemResult) -> dict[str, float]:
    """How far the members of an ensemble are apart; nothing of a single potential."""
    if result.energy_std is None or result.force_std is None:
        return {}
    return {
        "energy_std_meV_per_atom": 1000 * result.energy_std,
        "max_force_std_meV_per_A": 1000 * float(result.force_std.max()),
    }


def _stress_mae(label: LabelledStructure, result: SystemResult) -> float | None:
    if label.stress is None:
        return None
    return EV_PER_CUBIC_ANGSTROM_TO_GPA * float(np.mean(np.abs(result.stress - label.stress)))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())
