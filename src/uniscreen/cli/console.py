"""Where commands print their tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 140
"""Columns of a table that is not printed to a terminal."""


def standard_output() -> Console:
    """Standard output; lines are longer where it is no terminal, so that a program finds a row in one line."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console
