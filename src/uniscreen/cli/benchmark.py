"""``uniscreen benchmark``: how far potentials are to be trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.progress import progress_bars

if TYPE_CHECKING:
    from uniscreen.benchmarking import DiscoveryRun


@click.group()
def benchmark() -> None:
    """Measure how far a potential can be trusted."""


@benchmark.command()
@click.option(
    "--structures", type=click.Path(path_type=Path), required=True, help="Crystals: anything that a screen takes."
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="CSV or Parquet of true energies by id. [default: STRUCTURES]",
)
@click.option("--truth-formation-energy", metavar="COLUMN", help="True formation energies, eV/atom, corrected.")
@click.option("--truth-e-above-hull", metavar="COLUMN", help="True distances to the hull, eV/atom.")
@click.option("--model", default="chgnet-0.3.0", show_default=True, help="A model's name, or a MACE .model file.")
@click.option("--head", default="", help="Which output to use of a model that has several.")
@click.option("--trust-model-file", is_flag=True, help="Run the code in a pickled model that no card vouches for.")
@click.option("--functional", type=click.Choice(["PBE", "r2SCAN"]), help="Of the training labels of a model file.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Precision. [default: the model's own]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--optimiser",
    type=click.Choice(["lbfgs", "fire"]),
    default="fire",
    show_default=True,
    help="What relaxes; the protocol's is FIRE.",
)
@click.option("--sample", type=int, metavar="N", help="Draw N structures at random. [default: all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option("--workers", type=int, metavar="N", help="Processes. [default: one a core; one on a GPU]")
@click.option("--restart", is_flag=True, help="Begin anew, discarding the run in the output folder.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
def discovery(
    structures: Path,
    out: Path,
    truth: Path | None,
    truth_formation_energy: str | None,
    truth_e_above_hull: str | None,
    sample: int | None,
    seed: int,
    workers: int | None,
    *,
    restart: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Run matbench-discovery's protocol: relax, correct, compare formation energies and stability with the truth.

    Columns that WBM's summary, Materials Project entries or 'uniscreen candidates mp' have for the true energies are
    found by themselves. Without distances to the hull only formation energies are compared. The same command again
    continues a run that was interrupted.
    """
    from uniscreen.benchmarking import run_discovery
    from uniscreen.screening import ScreenSettings

    with progress_bars(quiet=quiet) as update:
        try:
            run = run_discovery(
                structures,
                ScreenSettings(**settings),
                out,
                truth=truth,
                formation_column=truth_formation_energy,
                hull_column=truth_e_above_hull,
                sample=sample,
                seed=seed,
                workers=workers,
                restart=restart,
                on_progress=lambda progress: update("relaxing", progress.n_done, progress.total),
            )
        except KeyboardInterrupt:
            click.echo("\nStopped. What is finished is recorded; the same command continues.", err=True)
            sys.exit(130)
    _print(run)


def _print(run: DiscoveryRun) -> None:
    """Print what was counted, the metrics, and where the files are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    counts = ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in run.counts.items() if n)
    console.print(counts, highlight=False, soft_wrap=True)
    grid = Table(box=None, pad_edge=False)
    grid.add_column("")
    grid.add_column("metric")
    grid.add_column("value", justify="right")
    for title, metrics in (("formation energy", run.formation_energy), ("stability", run.stability)):
        for name, value in (metrics or {}).items():
            grid.add_row(title, *_metric(name, value))
            title = ""  # named in its first row only
    console.print(grid, highlight=False)
    for name in ("metrics.json", "metrics.csv", "predictions.csv", "predictions.parquet", "screen"):
        console.print(Text(f"  {run.folder / name}"), soft_wrap=True)


def _metric(name: str, value: float) -> tuple[str, str]:
    """Write an energy in meV/atom, a count as it is, and a ratio with three decimals."""
    if name.endswith("_eV_per_atom"):
        return f"{name.removesuffix('_eV_per_atom').replace('_', ' ')}, meV/atom", f"{1000 * value:.1f}"
    return name, str(value) if isinstance(value, int) else f"{value:.3f}"
