"""``uniscreen finetune``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.checks import print_checks
from uniscreen.cli.console import standard_output
from uniscreen.cli.options import DEVICE, QUIET, TRUST_MODEL_FILE
from uniscreen.progress import training_bars

if TYPE_CHECKING:
    from uniscreen.training.plan import Plan

FILE = click.Path(path_type=Path)
STAGES = {"rereferenced": "re-referenced"}


@click.command()
@click.argument("recipe", type=FILE)
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--train", type=FILE, help="Labelled structures to train on, instead of the recipe's data.train.")
@click.option(
    "--validation", type=FILE, help="Labelled structures to validate with, instead of a part of the training data."
)
@click.option(
    "--test", type=FILE, help="Labelled structures that are only predicted, instead of the recipe's data.test."
)
@click.option("-o", "--out", type=FILE, help="Folder of the run, in the end a potential. [default: runs/DATA-MODEL]")
@DEVICE
@TRUST_MODEL_FILE
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes that train. [default: one a core]")
@click.option("--dry-run", is_flag=True, help="Only say what would be trained, for how long and in how much memory.")
@click.option("--restart", is_flag=True, help="Begin anew, discarding what the folder holds of an earlier run.")
@QUIET
def finetune(
    recipe: Path,
    settings: tuple[str, ...],
    out: Path | None,
    device: Any,
    workers: int | None,
    *,
    trust_model_file: bool,
    dry_run: bool,
    restart: bool,
    quiet: bool,
    **data: Path | None,
) -> None:
    """Fine-tune a universal potential on your DFT calculations.

    RECIPE is a file, or the name of one that ships ('uniscreen recipe list'). KEY=VALUE changes one of its settings,
    e.g. optimiser.epochs=50. The folder that is written is a potential: 'uniscreen screen --model FOLDER'.
    Its report.html shows what training did.

    The same command again continues a run that was interrupted. Exit code 1 if a check of the trained potential fails.
    """
    from uniscreen.training.recipe_file import read_recipe
    from uniscreen.training.shipped import find_recipe

    chosen = read_recipe(find_recipe(recipe), settings, **data)
    import torch

    from uniscreen.training import finetuning

    torch.set_num_threads(1)  # as in a screen
    how = {"device": device, "trust_model_file": trust_model_file}
    if dry_run:
        _print_plan(finetuning.plan(chosen, workers=workers, **how))
        return
    folder = out if out is not None else finetuning.usual_folder(chosen)
    with training_bars(show=not quiet) as (on_epoch, on_check):
        try:
            summary = finetuning.finetune(
                chosen, folder, workers=workers, restart=restart, on_epoch=on_epoch, on_check=on_check, **how
            )
        except KeyboardInterrupt:
            click.echo("\nStopped. The same command continues.", err=True)
            sys.exit(130)
    if not quiet:
        _print_summary(summary, folder)
    from uniscreen.reports import write_training_report

    report = write_training_report(folder)
    if not quiet:
        standard_output().print(f"Report: {report}", markup=False, highlight=False, soft_wrap=True)
    if any(check["status"] == "fail" and check["required"] for check in summary["checks"]):
        sys.exit(1)


def _print_plan(plan: Plan) -> None:
    console = standard_output()
    shifts = ", ".join(f"{symbol} {shift:+.3f}" for symbol, shift in plan.reference_energy_shifts_eV_per_atom.items())
    lines = [
        f"Members: {plan.members}",
        f"Parameters: {plan.parameters_trained} of {plan.parameters} are trained",
        f"Frames: {plan.n_train} train, {plan.n_validation} validate, {plan.n_test} test, {plan.n_replay} are replayed",
        f"Reference energies, change in eV/atom: {shifts or 'none'}",
        f"Steps: at most {plan.epochs} epochs of {plan.steps_per_epoch}"
        + (f", then {plan.epochs_on_all_frames} epochs on all frames" if plan.epochs_on_all_frames else ""),
        f"Time: at most {plan.seconds / 60:.1f} minutes a member ({plan.seconds_per_epoch:.1f} s an epoch)"
        + (f", {more / 60:.1f} more if no epoch is better than epoch 0" if (more := plan.seconds_of_trials) else ""),
        f"Memory: {plan.memory_GB:.1f} GB a process",
    ]
    for line in lines + [plan.note] * bool(plan.note) + [f"Left out: {reason}" for reason in plan.left_out]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_summary(summary: dict[str, Any], folder: Path) -> None:
    from rich.table import Table

    console = standard_output()
    table = Table(box=None, pad_edge=False)
    for title in ("", "", "energy MAE\nmeV/atom", "force MAE\nmeV/Å", "force\nslope", "stress MAE\nGPa"):
        table.add_column(title, justify="left" if not title else "right")
    for name, stages in summary["errors"].items():
        for stage, errors in stages.items():
            values = (
                (errors["energy_mae_meV_per_atom"], ".1f"),
                (errors["force_mae_meV_per_A"], ".1f"),
                (errors["force_slope"], ".2f"),
                (errors["stress_mae_GPa"], ".2f"),
            )
            shown = ["-" if value is None else format(value, form) for value, form in values]
            table.add_row(name if stage == "pretrained" else "", STAGES.get(stage, stage), *shown)
    console.print(table)
    if summary["checks"]:
        print_checks(summary["checks"])
    for reason in summary["left_out"]:
        console.print(f"Left out: {reason}", markup=False, highlight=False, soft_wrap=True)
    lines = [f"{summary['seconds']:.0f} s of training; {'; '.join(dict.fromkeys(summary['stopped']))}"]
    if any(summary["epochs_on_all_frames"]):
        lines.append(
            "Then, from the beginning, on all frames, those of validation too. Their errors above are from before that."
        )
    elif not any(summary["best_epoch"]):
        lines.append("No epoch was better than epoch 0, whose weights are kept: nothing was learnt.")
    if summary["note"]:
        lines.append(summary["note"])
    for line in [*lines, f"Potential: {folder}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
