"""``uniscreen leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from uniscreen.cli.console import standard_output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from uniscreen.reports.leaderboard_content import LeaderboardContent, Part

_BY = ("dataset", "model", "regime", "n_train")
_REASON_LENGTH = 160
_NAME_WIDTH = 12


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Rank by this metric and show no other. Repeatable. [default: all]",
)
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(_BY),
    default=("dataset",),
    show_default=True,
    help="Rank separately for each of these; always for each dataset. Repeatable.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, help="Most entries to print of a dataset."
)
@click.option(
    "-o",
    "--out",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.{csv,md,html}",
    help="Write all entries to a file. Repeatable.",
)
def leaderboard(
    results: tuple[Path, ...], metrics: tuple[str, ...], by: tuple[str, ...], top: int, files: tuple[Path, ...]
) -> None:
    """Rank potentials by the RESULTS of benchmarks.

    RESULTS are folders of 'uniscreen benchmark', their results.parquet or results.csv, and CSV files of published
    figures.

    An entry is a model in a regime with a number of structures; its value is the mean over seeds, ± their standard
    deviation. "#" is its place, or the best and the worst one inside the noise. docs/leaderboard.md says how.
    """
    from uniscreen.reports.leaderboard_content import LeaderboardContent
    from uniscreen.reports.leaderboard_report import check_format, write_leaderboard

    for file in files:
        check_format(file)
    content = LeaderboardContent.read(results, metrics, by)
    for file in files:  # before printing, which ends early where the output is a pipe that is closed
        write_leaderboard(file, content)
    print_leaderboard(content, top)
    for file in files:
        click.echo(f"  {file}")


def print_leaderboard(content: LeaderboardContent, top: int) -> None:
    """Print the best entries of each data set, and the sources of those that are not ours."""
    console = standard_output()
    for part in content.parts:
        _print(console, part, content, top)
    for number, source in enumerate(content.sources, start=1):
        console.print(f"[{number}] {source}", markup=False, highlight=False)


def _print(console: Console, part: Part, content: LeaderboardContent, top: int) -> None:
    """The entries with the ranked metrics, what failed, and how many are not shown."""
    from rich.text import Text

    from uniscreen.reports.leaderboard_notes import best, counted
    from uniscreen.reports.leaderboard_tables import failed_table
    from uniscreen.reports.text import shortened

    console.print(Text(f"{part.title}. {counted(part)}"))
    console.print(_grid(part, top, console.width), highlight=False)
    if (n := len(part.entries)) > top:
        console.print(f"... and {n - top} more: --top {n} prints all.", highlight=False)
    for sentence in best(part, content):
        console.print(Text(sentence))
    for name, regime, sizes, failed, reason in failed_table(part).rows:
        why = shortened(reason.text, _REASON_LENGTH)
        console.print(Text(f"Failed: {name.text} {regime.text}, n_train {sizes.text}, {failed.text} cells: {why}"))
    console.print()


def _grid(part: Part, top: int, room: int) -> Table:
    """The first entries in ``room`` columns."""
    from rich.table import Table
    from rich.text import Text

    from uniscreen.reports.leaderboard_tables import board_table

    shown = board_table(part, part.ranked, ranked=part.ranked)
    kept = [place for place, header in enumerate(shown.headers) if header.text != "Seeds"]
    titles = ["n" if shown.headers[place].text == "n_train" else shown.headers[place].text for place in kept]
    rows = [[row[place].text for place in kept] for row in shown.rows[:top]]
    grid = Table(box=None, pad_edge=False)
    for place, title, width in zip(kept, titles, _widths(titles, rows, room), strict=True):
        side: Literal["left", "right"] = "right" if shown.headers[place].kind == "number" else "left"
        grid.add_column(Text(title), justify=side, overflow="fold", width=width)
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _widths(titles: list[str], rows: list[list[str]], room: int) -> list[int | None]:
    """Widths with which headings wrap, then the names in the first column; None where rich decides better."""
    cells = [max(map(len, column)) for column in zip(*rows, strict=True)]
    gaps = 2 * (len(titles) - 1)
    if sum(map(max, cells, map(len, titles))) + gaps <= room:
        return [None] * len(titles)
    names, *values = (max(cell, *map(len, title.split())) for cell, title in zip(cells, titles, strict=True))
    left = room - gaps - sum(values)
    return [min(names, left), *values] if left >= _NAME_WIDTH else [None] * len(titles)
