"""Write a leaderboard as a file: one HTML file that needs no network, Markdown, or CSV."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import uniscreen
from uniscreen.durable import write_atomically
from uniscreen.errors import InputError
from uniscreen.reports.leaderboard_content import LeaderboardContent
from uniscreen.reports.leaderboard_markdown import leaderboard_markdown
from uniscreen.reports.leaderboard_notes import best, counted, leaderboard_notes
from uniscreen.reports.leaderboard_tables import main_table, part_tables
from uniscreen.reports.page import write_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FORMATS = (".csv", ".md", ".html")

_TEMPLATE = "leaderboard.html.j2"


def check_format(path: Path) -> None:
    """Check that a leaderboard can be written to a file of this name.

    Raises:
        InputError: it cannot.
    """
    if path.suffix not in FORMATS:
        raise InputError(
            f"A leaderboard cannot be written to {path}; expected a name that ends in {', '.join(FORMATS)}."
        )
    if path.is_dir():
        raise InputError(f"A leaderboard cannot be written to {path}, which is a folder.")


def write_leaderboard(path: Path, content: LeaderboardContent) -> None:
    """Write all or nothing of a leaderboard, in the format that the name of the file ends in.

    The CSV file is the table that ``uniscreen.leaderboard`` returns. The HTML file holds all scripts and styles, and a
    content security policy that forbids it any network.

    Raises:
        InputError: the format is unknown.
    """
    check_format(path)
    if path.suffix == ".html":
        _write_page(path, content)
    elif path.suffix == ".md":
        write_atomically(path, leaderboard_markdown(content).encode("utf-8", "replace"))
    else:
        write_atomically(path, content.shown.to_csv(index=False).encode("utf-8", "replace"))


def write_run_leaderboard(folder: Path) -> tuple[LeaderboardContent, tuple[Path, ...]]:
    """Write ``leaderboard.html`` and ``leaderboard.csv`` beside the results of a benchmark; they are returned too."""
    files = tuple(folder / name for name in ("leaderboard.html", "leaderboard.csv"))
    content = LeaderboardContent.read((folder,), (), ("dataset",))
    for file in files:
        write_leaderboard(file, content)
    return content, files


def _write_page(path: Path, content: LeaderboardContent) -> None:
    rows = content.board.to_csv(index=False).encode("utf-8", "replace")
    write_page(
        path,
        _TEMPLATE,
        nonce=hashlib.sha256(rows).hexdigest(),  # unknown to whoever wrote the data, and the same for the same data
        version=uniscreen.__version__,
        content=content,
        parts=list(_parts(content)),
        notes=leaderboard_notes(content),
    )


def _parts(content: LeaderboardContent) -> Iterator[dict[str, Any]]:
    """What the page shows of each dataset."""
    from uniscreen.reports.leaderboard_curves import curve_figures
    from uniscreen.reports.leaderboard_fronts import front_figures
    from uniscreen.reports.leaderboard_marks import Marks, regime_signs

    for n, part in enumerate(content.parts, start=1):
        marks = Marks.of(part, content.sources)
        yield {
            "name": f"part-{n}",
            "title": part.title,
            "counted": counted(part),
            "best": best(part, content),
            "main": main_table(part),
            "signs": regime_signs(part),
            "curves": curve_figures(part, marks, f"curve-{n}"),
            "fronts": front_figures(part, marks, f"front-{n}"),
            "tables": part_tables(part, content.sources),
        }
