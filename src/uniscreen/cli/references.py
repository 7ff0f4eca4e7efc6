"""``uniscreen references``."""

from __future__ import annotations

import click

from uniscreen.cli.materials_project import references_mp


@click.group()
def references() -> None:
    """Get the competing entries that candidates are held against."""


references.add_command(references_mp, "mp")
