"""Write a fine-tuning's report: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from uniscreen.reports import training_tables
from uniscreen.reports.learning_curves import learning_curves
from uniscreen.reports.page import flat, write_page
from uniscreen.reports.parity import energy_parity, force_parity, magnitude_figure
from uniscreen.reports.text import number, plural
from uniscreen.reports.training_breakdown import breakdown, worst_frames
from uniscreen.reports.training_notes import training_notes
from uniscreen.reports.training_results import SETS, TrainingResults
from uniscreen.training.outputs import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPLATE = "training.html.j2"
_ROLE = {
    "test": " that took no part in training",
    "validation": " (they chose the epoch: errors of new structures are larger)",
    "train": " (those of the training itself: errors of new structures are larger)",
}
_HELD_OUT = " (predicted by a first training that held them out)"
_HELD_OUT_IN_FOLDS = " (each predicted by the member that held it out)"


class Tile(NamedTuple):
    """A number of the headline: what it is after training, and what it was."""

    label: str
    value: str
    before: str


def write_training_report(folder: Path) -> Path:
    """Write ``report.html`` of a fine-tuning's folder, from what the run left there.

    The file holds all scripts and styles, and a content security policy that forbids it any network.

    Raises:
        InputError: the run is not done, or a file of the folder is missing or not what it should be.

    """
    folder = Path(folder)
    path = folder / REPORT
    _write(path, TrainingResults.read(folder))
    return path


_NOTHING_GAINED = {
    False: "No epoch was better than epoch 0: the weights are those that training began with.",
    True: "No epoch was better than epoch 0 on the frames that validate, but training gained more with others held "
    "out.",
}
"""Whether training began once more on all frames: what to know where no epoch was better."""


def verdict(results: TrainingResults) -> str:
    """One sentence: how the errors changed on the frames that say most of new structures."""
    name = results.sets[0]
    role = _ROLE[name]
    if name == "validation" and (results.refitted or results.has_folds):
        role = _HELD_OUT_IN_FOLDS if results.has_folds else _HELD_OUT
    if name == "test" and results.summary["n_test_known"]:
        role = f", of which {results.summary['n_test_known']} are also among those that train or validate"
    before, moved, after = (results.errors(name, stage) for stage in ("pretrained", "rereferenced", "trained"))
    energy = _change(moved["energy_mae_meV_per_atom"], after["energy_mae_meV_per_atom"], 1, " (re-referenced)")
    force = _change(before["force_mae_meV_per_A"], after["force_mae_meV_per_A"], 0, "")
    untrained = "" if any(results.summary["best_epoch"]) else f" {_NOTHING_GAINED[results.refitted]}"
    return (
        f"On {plural(after['frames'], f'{SETS[name]} frame')}{role}, training "
        f"{energy.format('energy')} meV/atom and {force.format('force')} meV/Å.{untrained}"
    )


def checks_verdict(results: TrainingResults) -> str:
    """One sentence: which checks of the trained potential fail; "" where none was made."""
    checks = results.summary["checks"]
    if not checks:
        return ""
    counting = [check for check in checks if check.get("required", True)]
    failed = failed_checks(results)
    n_not_run = sum(check["status"] == "not run" for check in counting)
    n_run = len(counting) - n_not_run
    said = f"{len(failed)} of {plural(n_run, 'check')} failed: {'; '.join(failed)}" if failed else ""
    passed = said or f"No failure in {plural(n_run, 'check')}"
    return f"{passed}{f'. {n_not_run} could not be run' if n_not_run else ''}."


def failed_checks(results: TrainingResults) -> list[str]:
    """The names of the checks that fail, but for those that do not count."""
    checks = results.summary["checks"]
    return [str(check["name"]) for check in checks if check["status"] == "fail" and check.get("required", True)]


def _write(path: Path, results: TrainingResults) -> None:
    first, *others = results.sets
    write_page(
        path,
        _TEMPLATE,
        nonce=results.sha256,  # unknown to whoever wrote the data, and the same for the same data
        results=results,
        summary=results.summary,
        strategy=_strategy(results.summary["strategy"]),
        verdict=verdict(results),
        checks_verdict=checks_verdict(results),
        unsafe=bool(failed_checks(results)),
        tiles=list(_tiles(results, first)),
        errors=training_tables.error_table(results),
        checks=training_tables.checks_table(results),
        shifts=training_tables.shift_table(results),
        curves=learning_curves(results),
        rollbacks=_rollbacks(results),
        parity=[energy_parity(results), force_parity(results)],
        magnitudes=magnitude_figure(results, first),
        detailed=breakdown(results, first),
        other_sets=[breakdown(results, name) for name in others],
        worst=[("energies", worst_frames(results, "energy")), ("forces", worst_frames(results, "forces"))],
        notes=training_notes(results),
        provenance=_provenance(results),
    )


def _change(before: float, after: float, decimals: int, of_before: str) -> str:
    """What became of an error, with a place for its name: by the digits that are shown."""
    texts = number(before, decimals), number(after, decimals)
    if texts[0] == texts[1]:
        return f"left the {{}} error at {texts[1]}"
    return f"{'lowered' if after < before else 'raised'} the {{}} error from {texts[0]}{of_before} to {texts[1]}"


def _tiles(results: TrainingResults, name: str) -> Iterator[Tile]:
    """The errors over a set after training, with those before it."""
    for key, label, decimals, earlier, words in (
        ("energy_mae_meV_per_atom", "energy MAE, meV/atom", 1, "rereferenced", "re-referenced"),
        ("force_mae_meV_per_A", "force MAE, meV/Å", 0, "pretrained", "before"),
        ("force_slope", "force slope (1 is right)", 2, "pretrained", "before"),
        ("stress_mae_GPa", "stress MAE, GPa", 2, "pretrained", "before"),
    ):
        value, before = results.errors(name, "trained")[key], results.errors(name, earlier)[key]
        if value is not None and before is not None:
            yield Tile(label, number(value, decimals), f"{words}: {number(before, decimals)}")


def _strategy(strategy: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in flat(strategy) if key != "kind")
    return f"{strategy.get('kind', '')}{f' ({settings})' if settings else ''}"


def _rollbacks(results: TrainingResults) -> list[str]:
    """What was thrown away and why, by member where there are several."""
    single = len(results.summary["rollbacks"]) == 1
    return [
        reason if single else f"Member {member}: {reason}"
        for member, reasons in enumerate(results.summary["rollbacks"])
        for reason in reasons
    ]


def _provenance(results: TrainingResults) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headed lists of key and value: what was trained, from which data, with which programs."""
    summary = results.summary
    elsewhere = (
        "errors",
        "checks",
        "rollbacks",
        "left_out",
        "note",
        "unit_checks",
        "reference_energy_shifts_eV_per_atom",
    )
    plain = {key: value for key, value in summary.items() if key not in elsewhere and not isinstance(value, Mapping)}
    card = {
        key: value
        for key, value in results.card.items()
        if key in {"name", "base", "architecture", "functional", "energy_convention", "licence", "citation", "sha256"}
    }
    checksums = {
        "model": results.manifest.get("model_sha256"),
        **{f"data.{name}": value for name, value in results.manifest.get("data_sha256", {}).items()},
    }
    sections = [
        ("Run", plain),
        ("Potential", card),
        ("Checksums (SHA-256) of what went in", checksums),
        ("Versions", summary.get("versions", {})),
    ]
    return [(heading, flat(content)) for heading, content in sections if content]
