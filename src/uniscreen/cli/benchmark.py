"""``uniscreen benchmark``: how far potentials are to be trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.console import standard_output
from uniscreen.cli.options import DEVICE, DTYPE, FUNCTIONAL, HEAD, TRUST_MODEL_FILE, WORKERS
from uniscreen.progress import work_bars

if TYPE_CHECKING:
    from uniscreen.benchmarking import DiscoveryRun
    from uniscreen.benchmarking.cells import Cell
    from uniscreen.benchmarking.runner import BenchmarkRun


class _RunByDefault(click.Group):
    """``uniscreen benchmark SPEC.yaml`` is ``uniscreen benchmark run SPEC.yaml``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take options that come before the file for those of ``run``."""
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take what is the name of a file for the argument of ``run``."""
        if args[0] not in self.commands and (Path(args[0]).suffix or Path(args[0]).exists()):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_RunByDefault)
def benchmark() -> None:
    """Compare potentials on your own data: benchmark SPEC.yaml.

    That is short for 'uniscreen benchmark run SPEC.yaml', whose --help says more. docs/benchmarks.md describes
    SPEC.yaml.
    """


@benchmark.command()
@click.argument("spec_file", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder of the run. [default: runs/NAME of the benchmark]"
)
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="How many seeds, instead of the spec's.")
@click.option("--n-train", metavar="N,N,all", help="Numbers of training structures, instead of the spec's.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cells at a time. [default: one a core on CPUs, one on a GPU]",
)
@DEVICE
@TRUST_MODEL_FILE
@click.option("--retry-failed", is_flag=True, help="Run the cells again in which anything failed.")
@click.option("--dry-run", is_flag=True, help="Only print the cells.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def run(
    spec_file: Path,
    out: Path | None,
    seeds: int | None,
    n_train: str | None,
    *,
    dry_run: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train and evaluate the potentials of SPEC.yaml on its data.

    A cell is one potential, regime, number of training structures and seed. The same command again continues a run
    that was interrupted, and a spec with more models, sizes or seeds runs what is new. 'uniscreen leaderboard' ranks
    the folder by other metrics, or several folders together.
    """
    from uniscreen.benchmarking.runner import plan, run_benchmark
    from uniscreen.benchmarking.spec import read_spec

    words = n_train.replace(" ", "").split(",") if n_train else []
    sizes = [int(word) if word.isdecimal() else word for word in words] or None
    spec = read_spec(spec_file, seeds=seeds, n_train=sizes)
    out = out or Path("runs") / spec.benchmark
    if dry_run:
        _print_cells(plan(spec, out))
        return
    with work_bars(show=not quiet) as update:
        try:
            found = run_benchmark(spec, out, on_cell=lambda _, done, total: update("cells", done, total), **options)
        except KeyboardInterrupt:
            click.echo("\nStopped. Cells that are done are recorded; the same command continues.", err=True)
            sys.exit(130)
    _print_run(found)


def _print_cells(planned: list[tuple[Cell, bool]]) -> None:
    """One row a model and regime: its sizes and how many of its cells are done."""
    groups: dict[tuple[str, str, str], list[tuple[Cell, bool]]] = {}
    for cell, done in planned:
        groups.setdefault((cell.dataset, cell.label, cell.regime), []).append((cell, done))
    console = standard_output()
    for (dataset, label, regime), members in groups.items():
        sizes = sorted({cell.n_train for cell, _ in members if cell.n_train})
        on = f" on {', '.join(map(str, sizes))}" if sizes else ""
        n_done = sum(done for _, done in members)
        console.print(f"{dataset}: {label}, {regime}{on}: {len(members)} cells, {n_done} done", highlight=False)
    console.print(f"{len(planned)} cells", highlight=False)


def _print_run(found: BenchmarkRun) -> None:
    """Print the leaderboard, which says what failed and why, and write it beside the results."""
    from uniscreen.cli.leaderboard import print_leaderboard
    from uniscreen.reports.leaderboard_report import write_run_leaderboard

    content, files = write_run_leaderboard(found.folder)
    print_leaderboard(content, top=20)
    click.echo(f"{found.total - found.failed} of {found.total} cells are done.")
    for file in (*files, found.folder / "results.csv", found.folder / "results.parquet"):
        click.echo(f"  {file}")
    if found.failed == found.total:
        sys.exit(1)


@benchmark.command()
@click.option(
    "--structures",
    type=click.Path(path_type=Path),
    required=True,
    help="Crystals: anything that 'uniscreen screen' takes.",
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="CSV or Parquet of true energies by id. [default: STRUCTURES]",
)
@click.option("--truth-formation-energy", metavar="COLUMN", help="True formation energies, eV/atom, corrected.")
@click.option("--truth-e-above-hull", metavar="COLUMN", help="True distances to the hull, eV/atom.")
@click.option("--model", default="chgnet-0.3.0", show_default=True, metavar="MODEL", help="As for 'uniscreen screen'.")
@HEAD
@TRUST_MODEL_FILE
@FUNCTIONAL
@DTYPE
@DEVICE
@click.option(
    "--optimiser",
    type=click.Choice(["lbfgs", "fire"]),
    default="fire",
    show_default=True,
    help="Algorithm that relaxes; the protocol's is FIRE.",
)
@click.option("--sample", type=int, metavar="N", help="Take N structures, drawn at random. [default: all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draw.")
@WORKERS
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
    """Run matbench-discovery's protocol against known energies.

    Crystals are relaxed, corrected, and their formation energies and stability compared with the truth. Columns that
    WBM's summary, Materials Project entries or 'uniscreen candidates mp' have for the true energies are found by
    themselves. Without distances to the hull only formation energies are compared. The same command again continues a
    run that was interrupted.
    """
    from uniscreen.benchmarking import run_discovery
    from uniscreen.screening import ScreenSettings

    with work_bars(show=not quiet) as update:
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
    from rich.table import Table
    from rich.text import Text

    console = standard_output()
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
