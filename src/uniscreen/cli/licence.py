"""Licences that restrict use: accepted by an option or by an answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uniscreen.potentials.licences import Licensed


def settle_licence(licensed: Licensed, command: str, *, accept: bool) -> None:
    """Show a licence that restricts use and record that it is accepted, by the option or by an answer.

    Raises:
        LicenceError: it is not; with the command that accepts it.
    """
    from uniscreen.potentials import licences

    if licences.is_accepted(licensed):
        return
    if accept or sys.stdin.isatty():
        click.echo(licences.terms(licensed), err=True)
    if accept or (sys.stdin.isatty() and click.confirm("Do you accept this licence?", err=True)):
        licences.accept(licensed)
        click.echo(f"That you accept it is recorded in {licences.acceptances_file()}", err=True)
    licences.require_accepted(licensed, command)
