"""How commands print the checks of a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.console import standard_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLOURS = {"pass": "green", "fail": "bold red", "not run": "yellow"}


def print_checks(checks: Sequence[Mapping[str, Any]], *, strict: bool = False) -> None:
    """One row a check, the reasons last, and how many are of each status; ``strict``: those not required count too."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("check", overflow="fold")
    for title, side in (("value", "right"), ("limit", "right"), ("unit", "left"), ("status", "left")):
        table.add_column(title, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("what was done, or why not", overflow="fold")
    optional = [check for check in checks if check["status"] == "fail" and not (check["required"] or strict)]
    for check in checks:
        value = "-" if check["value"] is None else f"{check['value']:.3g}"
        status = Text(check["status"], style=COLOURS[check["status"]])
        if check in optional:
            status = Text("(fail)", style="yellow")
        table.add_row(check["name"], value, check["limit"], check["unit"], status, Text(check["detail"]))
    standard_output().print(table, highlight=False)
    counting = [check for check in checks if check not in optional]
    counts = {status: sum(check["status"] == status for check in counting) for status in COLOURS}
    lines = [", ".join(f"{n} {status}" for status, n in counts.items() if n)]
    if optional:
        lines[0] += f"; not counted: {'; '.join(check['name'] for check in optional)}"
    if counts["fail"]:
        lines.append("docs/validation.md says what each check is, and what to do about one that fails.")
    for line in lines:
        click.echo(line)
