"""``uniscreen label``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uniscreen.cli.options import QUIET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uniscreen.training.labelling.outputs import LabelRow


@click.command()
@click.argument("structures", type=click.Path(path_type=Path))
@click.option("--calculator", metavar="NAME", help="A name that ASE knows (gpaw, emt ...) or module:factory.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    help="YAML file: calculator, parameters, environment; see docs/training-data.md.",
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="File of the labelled structures, .extxyz."
)
@click.option(
    "--python", type=click.Path(path_type=Path), help="Python interpreter that has the calculator. [default: this one]"
)
@click.option(
    "--workers", type=int, default=1, show_default=True, metavar="N", help="Worker processes, one thread each."
)
@click.option("--retry-failed", is_flag=True, help="Compute again what is recorded as failed.")
@click.option("--restart", is_flag=True, help="Begin anew, discarding the labels that are recorded.")
@QUIET
def label(
    structures: Path,
    calculator: str | None,
    settings: Path | None,
    out: Path,
    python: Path | None,
    workers: int,
    *,
    retry_failed: bool,
    restart: bool,
    quiet: bool,
) -> None:
    """Compute labels of STRUCTURES with any ASE calculator.

    Labels are energies, forces and, where the calculator has them, stresses.

    STRUCTURES is what 'uniscreen screen' reads: crystals in a table, a folder, an extxyz or JSON file; a column 'group'
    is carried through. The calculator, named by --calculator or in --settings, runs in the interpreter of --python,
    which needs ASE and NumPy only.

    The same command again continues a run that was interrupted. Exit code 1 if a structure has no label.
    """
    from uniscreen.training.labelling import read_label_settings, run_labelling

    with _progress(quiet=quiet) as on_progress:
        try:
            run = run_labelling(
                structures,
                read_label_settings(settings, calculator),
                out,
                python=python,
                workers=workers,
                retry_failed=retry_failed,
                restart=restart,
                on_progress=on_progress,
            )
        except KeyboardInterrupt:
            click.echo("\nStopped. All finished structures are recorded; the same command continues.", err=True)
            sys.exit(130)
    if not quiet:
        click.echo(f"{len(run.rows) - len(run.failed)} of {len(run.rows)} structures labelled: {run.out}")
        click.echo(f"  {run.folder / 'labels.csv'}\n  {run.folder / 'provenance.json'}")
    for row in run.failed:
        click.echo(f"{row.id}: {row.reason}", err=True)
    if run.failed:
        sys.exit(1)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[LabelRow, int, int], None] | None]:
    """A progress bar with the time left and the number of failures."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left; {task.fields[failed]} failed"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("labelling", total=None, failed=0)
        failed = 0

        def update(row: LabelRow, done: int, total: int) -> None:
            nonlocal failed
            failed += row.status != "ok"
            bar.update(task, total=total, completed=done, failed=failed)

        yield update
