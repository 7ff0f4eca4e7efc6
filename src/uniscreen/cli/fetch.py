"""``uniscreen models fetch`` and ``uniscreen models hub``: weights from the network, ahead of a run without one."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from uniscreen.cli.licence import settle_licence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNNABLE = ("M3GNet-PES", "TensorNet-PES")
"""How the names of those models of the hub begin that are potentials of a known architecture."""


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--accept-licence", is_flag=True, help="Accept a licence that restricts the use of the weights.")
def fetch(names: tuple[str, ...], *, accept_licence: bool) -> None:
    """Fetch the weights of models into the cache.

    NAME is one of `uniscreen models`, or matgl:NAME[@REVISION] of `uniscreen models hub`. The same command again
    continues a download that was interrupted.
    """
    from uniscreen.potentials.fetching import fetch_weights

    for name in names:  # all questions come before the first download
        _settle_licence(name, accept=accept_licence)
    for name in names:
        with _progress(name) as on_progress:
            fetched = fetch_weights(name, on_progress=on_progress, on_wait=partial(_say_waiting, name))
        click.echo(f"{fetched.name}: {'already at' if fetched.was_there else 'fetched to'} {fetched.path}")


@click.command()
def hub() -> None:
    """List the potentials of matgl on the Hugging Face hub."""
    from uniscreen.potentials.hub import ORGANISATION, SCHEME, hub_names, is_here

    names = hub_names()
    runnable = [SCHEME + name for name in names if name.startswith(RUNNABLE)]
    width = max((len(name) for name in runnable), default=0)
    for name in runnable:
        click.echo(f"{name:{width}}  {'fetched' if is_here(name) else 'not fetched'}")
    others = len(names) - len(runnable)
    click.echo(f"{len(runnable)} potentials of {ORGANISATION}; {others} others are no {' or '.join(RUNNABLE)} model.")


def print_fetched_from_hub() -> None:
    """One line a model of the hub that is on this machine; nothing if there is none."""
    from uniscreen.errors import InputError
    from uniscreen.potentials.hub import fetched_cards

    try:
        cards = fetched_cards()
    except InputError as error:  # a damaged one must not hide the others of the list above
        click.echo(f"Models of the hub: {error}", err=True)
        return
    for card in cards:
        click.echo(f"{card.name}  {card.architecture}  {card.functional}  {card.energy_convention}  {card.licence}")


def _settle_licence(name: str, *, accept: bool) -> None:
    """Show a licence that restricts use and record that it is accepted, by the option or by an answer."""
    from uniscreen.potentials import find_card
    from uniscreen.potentials.hub import SCHEME, HubName

    if name.startswith(SCHEME):
        HubName.parse(name)
        return
    settle_licence(find_card(name), "models fetch", accept=accept)


def _say_waiting(name: str) -> None:
    click.echo(f"{name} is being fetched by another process; waiting for it.", err=True)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with bytes, speed and time left, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
