"""``uniscreen screen``."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.console import standard_output
from uniscreen.cli.options import DEVICE, DTYPE, FUNCTIONAL, HEAD, QUIET, TRUST_MODEL_FILE, WORKERS
from uniscreen.progress import screening_bar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from pandas import DataFrame, Series
    from rich.table import Table

    from uniscreen.screening import ScreenRun


@click.command()
@click.argument("candidates", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("chgnet-0.3.0",),
    show_default=True,
    metavar="MODEL",
    help="A name of 'uniscreen models', the folder of a trained model, matgl:NAME, mtp:FILE:ELEMENTS, a MACE .model "
    "file, or ase:MODULE:FACTORY. Repeat it for several models: candidates are ranked by the mean, the structures are "
    "those of the first.",
)
@HEAD
@TRUST_MODEL_FILE
@FUNCTIONAL
@DTYPE
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder for the results. [default: <CANDIDATES>-screen]"
)
@click.option(
    "--references",
    default="elements",
    show_default=True,
    metavar="FILE|mp|elements",
    help="The phases that make the hull. FILE: a JSON list of pymatgen ComputedEntries; 'mp': those of the Materials "
    "Project; 'elements': DFT energies of the elements, and the candidates compete with each other.",
)
@click.option(
    "--self-consistent",
    is_flag=True,
    help="Relax the references with the model too, and give the distance to that hull as well. Done once, and kept "
    "in the user's cache.",
)
@click.option("--no-relax", is_flag=True, help="Evaluate the structures as given, without relaxing them.")
@click.option(
    "--fmax", type=float, default=0.05, show_default=True, help="Relax to this largest force, eV/Å, cell included."
)
@click.option("--max-steps", type=int, default=500, show_default=True, help="Most relaxation steps of a candidate.")
@click.option(
    "--optimiser",
    type=click.Choice(["lbfgs", "fire"]),
    default="lbfgs",
    show_default=True,
    help="Algorithm that relaxes.",
)
@click.option(
    "--prescreen",
    is_flag=True,
    help="Save time: stop relaxing a candidate that is not expected to come to within --keep-below of the references' "
    "hull (with 'elements': of the elements alone), judged by a sample that is relaxed in full. A few good ones are "
    "lost.",
)
@click.option(
    "--keep-below",
    type=float,
    metavar="EV",
    help="With --prescreen: keep what may come this near to the hull, eV/atom.",
)
@click.option("--max-atoms", type=int, default=1000, show_default=True, help="Do not evaluate larger structures.")
@click.option("--limit", type=int, metavar="N", help="Take the first N candidates only.")
@WORKERS
@click.option(
    "--deterministic", is_flag=True, help="Make results.csv the same to the last byte on every run on one machine."
)
@DEVICE
@click.option("--top", type=int, default=10, show_default=True, help="How many candidates to print at the end.")
@click.option("--restart", is_flag=True, help="Begin anew, discarding the run in the output folder.")
@QUIET
def screen(
    candidates: Path,
    models: tuple[str, ...],
    out: Path | None,
    references: str,
    workers: int | None,
    top: int,
    *,
    self_consistent: bool,
    restart: bool,
    quiet: bool,
    no_relax: bool,
    **settings: Any,
) -> None:
    """Rank CANDIDATES by their distance to the convex hull.

    Each is relaxed with a universal interatomic potential; the results are a table, a report and the relaxed structures
    in a folder. README.md describes the columns.

    CANDIDATES is a CSV or Parquet table (columns 'id' and one of 'structure', 'cif', 'poscar'; or only ids of the
    Materials Project), a folder of structure files, a multi-frame extxyz file, or a JSON(.gz) list of pymatgen entries
    or structures.

    The same command again continues a run that was interrupted.
    """
    from uniscreen.reports import write_screen_report
    from uniscreen.screening import run_models

    signal.signal(signal.SIGTERM, _interrupt)  # stops as cleanly as Ctrl-C
    with _errors_only() if quiet else nullcontext(), screening_bar(show=not quiet) as (on_progress, on_fetch):
        try:
            run = run_models(
                candidates,
                models,
                out=out,
                references=references,
                self_consistent=self_consistent,
                workers=workers,
                restart=restart,
                on_progress=on_progress,
                on_fetch=on_fetch,
                relax=not no_relax,
                **settings,
            )
        except KeyboardInterrupt:
            click.echo("\nStopped. All finished candidates are recorded; the same command continues.", err=True)
            sys.exit(130)
    report = write_screen_report(run.folder, run.competition.references)
    if not quiet:
        _print_summary(run, report, top)


@contextmanager
def _errors_only() -> Iterator[None]:
    """Hold back what the library logs below an error."""
    logger = logging.getLogger("uniscreen")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _print_summary(run: ScreenRun, report: Path, top: int) -> None:
    """Print how it went, the first candidates, and where the files are."""
    from rich.text import Text

    console = standard_output()
    table, committee = run.table, len(run.models) > 1
    counts = ", ".join(f"{n} {status}" for status, n in table["status"].value_counts().items())
    console.print(f"{len(table)} candidates in {run.seconds:.0f} s: {counts}", highlight=False, soft_wrap=True)
    ranked = table[table["rank"].notna()]
    above = ranked["e_above_hull_mean_eV_per_atom" if committee else "e_above_hull_eV_per_atom"]
    within = ", ".join(f"{int((above <= limit / 1000).sum())} within {limit}" for limit in (0, 25, 50, 100))
    distance = f"Mean distance of {len(run.models)} models" if committee else "Distance"
    console.print(f"{distance} to the hull: {within} meV/atom", highlight=False, soft_wrap=True)
    if run.model_references is not None and (missing := run.model_references.missing):
        click.echo(
            f"Warning: {len(missing)} references have no energy of the model, so the self-consistent hull lacks them: "
            f"{', '.join(list(missing)[:10])}{' ...' if len(missing) > 10 else ''}; reasons in run.json.",
            err=True,
        )
    if not len(ranked):
        for _, row in table.drop_duplicates("status").iterrows():
            why = row["reason"] or row["flags"]
            console.print(Text(f"{row['status']}, such as {row['id']}: {why}"), soft_wrap=True)
    elif top > 0:
        console.print(_first_rows(ranked.head(top), committee=committee))
    for name in (report.name, "results.csv", "results.parquet", "relaxed.extxyz", "run.json"):
        console.print(Text(f"  {run.folder / name}"), soft_wrap=True)


def _first_rows(ranked: DataFrame, *, committee: bool) -> Table:
    """The first candidates; of a committee the means, and in how many models each is stable."""
    from rich.table import Table
    from rich.text import Text

    fifth, cells = ("stable\nin", _stable_in) if committee else ("volume\nchange %", _volume_change)
    mean = "_mean" if committee else ""
    shown = Table(box=None, pad_edge=False)
    for name in ("rank", "id", "formula", "above hull\nmeV/atom", "formation\neV/atom", fifth, "flags"):
        text = name in {"id", "formula", "flags"}
        shown.add_column(name, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for _, row in ranked.iterrows():
        distance = _number(1000 * row[f"e_above_hull{mean}_eV_per_atom"], ".0f")
        if committee:
            distance += f" ±{_number(1000 * row['e_above_hull_std_eV_per_atom'], '.0f'):>3}"
        shown.add_row(
            str(row["rank"]),
            Text(row["id"]),
            row["formula"],
            distance,
            _number(row[f"formation_energy{mean}_eV_per_atom"], ".3f"),
            cells(row),
            row["flags"].replace(";", " "),
        )
    return shown


def _volume_change(row: Series) -> str:
    return _number(row["volume_change_percent"], "+.1f")


def _stable_in(row: Series) -> str:
    """How many of the models with a result put the candidate on or below the hull."""
    return f"{_number(row['stable_share'] * row['n_models'], '.0f')} of {row['n_models']}"


def _number(value: float, form: str) -> str:
    return "-" if value != value else format(value, form)  # NaN is not equal to itself
