"""How commands print the checks of a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.console import standard_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLOURS = {"pass": "green", "fail": "bold red", "not run": "yellow"}


def print_checks(checks: Sequence[Mapping[str, Any]]) -> None:
    """One row a check, the reasons last, and how many are of each status."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("check", overflow="fold")
    for title, side in (("value", "right"), ("limit", "right"), ("unit", "left"), ("status", "left")):
        table.add_column(title, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("what was done, or why not", overflow="fold")
    for check in checks:
        value = "-" if check["value"] is None else f"{check['value']:.3g}"
        status = Text(check["status"], style=COLOURS[check["status"]])
        table.add_row(check["name"], value, check["limit"], check["unit"], status, Text(check["detail"]))
    standard_output().print(table, highlight=False)
    counts = {status: sum(check["status"] == status for check in checks) for status in COLOURS}
    optional = sum(check["status"] == "fail" and not check["required"] for check in checks)
    note = f" ({optional} does not count)" if optional else ""
    click.echo(", ".join(f"{n} {status}{note if status == 'fail' else ''}" for status, n in counts.items() if n))
