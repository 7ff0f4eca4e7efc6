"""A leaderboard as Markdown: the same text for the same results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from uniscreen.reports.leaderboard_notes import best, counted, leaderboard_notes
from uniscreen.reports.leaderboard_tables import main_table, part_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from uniscreen.reports.leaderboard_content import LeaderboardContent, Part
    from uniscreen.reports.tables import Cell, Table

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$])")


def leaderboard_markdown(content: LeaderboardContent) -> str:
    """Write all of it: each dataset's tables, then what the numbers mean and where published ones are from."""
    blocks = ["# Leaderboard", "Written by `uniscreen leaderboard`."]
    for part in content.parts:
        blocks += _part(part, content)
    notes = [f"- **{note.heading}.** {_escaped(note.text)}" for note in leaderboard_notes(content)]
    blocks += ["## What the numbers mean", "\n".join(notes)]
    if content.sources:
        sources = [f"- \\[{n}\\] {_escaped(source)}" for n, source in enumerate(content.sources, start=1)]
        blocks += ["## Sources", "\n".join(sources)]
    return "\n\n".join(blocks) + "\n"


def _part(part: Part, content: LeaderboardContent) -> Iterator[str]:
    yield f"## {_escaped(part.title)}"
    yield _escaped(" ".join([counted(part), *best(part, content)]))
    yield _table(main_table(part))
    for title, table in part_tables(part, content.sources):
        yield f"### {title}"
        yield _table(table)


def _table(table: Table) -> str:
    rule = "|".join("---:" if cell.kind == "number" else "---" for cell in table.headers)
    return "\n".join([_row(table.headers), f"|{rule}|", *map(_row, table.rows)])


def _row(cells: Sequence[Cell]) -> str:
    return f"| {' | '.join(_escaped(cell.text) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
