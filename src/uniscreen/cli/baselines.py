"""``uniscreen baselines``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.console import standard_output
from uniscreen.cli.licence import settle_licence

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(invoke_without_command=True)
@click.pass_context
def baselines(context: click.Context) -> None:
    """Train potentials made for one system, such as GAP or MTP.

    Without a command, list the kinds.
    """
    if context.invoked_subcommand is None:
        _print_list()


@baselines.command("list")
def list_() -> None:
    """List the kinds, and which can be trained here."""
    _print_list()


@baselines.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the hyperparameters of NAME and their defaults."""
    from uniscreen.benchmarking.baselines import find_baseline

    baseline = find_baseline(name)
    click.echo(f"{baseline.title}, with {baseline.package} ({baseline.licence}): {baseline.status}")
    if baseline.restricted_use:
        click.echo(f"  for {baseline.restricted_use} only: {baseline.licence_url}")
    click.echo(f"  {baseline.unavailable or baseline.citation}")
    for key, value in (baseline.hyperparameters or {}).items():
        click.echo(f"  {key}={value}")
    if baseline.hyperparameters_from:
        click.echo(f"  defaults: {baseline.hyperparameters_from}")


@baselines.command()
@click.argument("name")
@click.option("--accept-licence", is_flag=True, help="Accept a licence that restricts the use of the package.")
def install(name: str, *, accept_licence: bool) -> None:
    """Make the environment of NAME, which training does too."""
    from uniscreen.benchmarking.baselines import find_baseline

    baseline = find_baseline(name)
    settle_licence(baseline, "baselines install", accept=accept_licence)
    environment = baseline.install()
    click.echo(f"{baseline.name}: {baseline.package} is in {environment.folder}")


@baselines.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove the environment of NAME; trained models stay.

    It is made anew when it is next needed.
    """
    from uniscreen.benchmarking.baselines import find_baseline
    from uniscreen.errors import InputError

    baseline = find_baseline(name)
    if baseline.unavailable:
        raise InputError(f"{baseline.name} has no environment; it cannot be had.")
    removed = baseline.environment.remove()
    if not removed:
        raise InputError(f"There is no environment of {baseline.name} in {baseline.environment.folder.parent}.")
    for folder in removed:
        click.echo(f"removed {folder}")
    if baseline.sharing:
        click.echo(f"it was that of {' and '.join(baseline.sharing)} too")


@baselines.command()
@click.argument("name")
@click.option("--train", "train_file", type=click.Path(path_type=Path), required=True, help="Labelled structures.")
@click.option(
    "--validation",
    "validation_file",
    type=click.Path(path_type=Path),
    help="Labelled structures to choose the best step by; networks and ace need them.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the trained model.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all that is random.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to train.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="CPU threads.")
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=24.0,
    show_default=True,
    metavar="H",
    help="Time limit, hours.",
)
@click.argument("hyperparameters", nargs=-1, metavar="[KEY=VALUE]...")
def train(
    name: str,
    train_file: Path,
    validation_file: Path | None,
    out: Path,
    hyperparameters: tuple[str, ...],
    *,
    hours: float,
    **options: Any,
) -> None:
    """Train a model of the kind NAME from labelled structures.

    These are an extxyz file, VASP output, an ASE database ... KEY=VALUE changes a hyperparameter; 'uniscreen baselines
    show NAME' lists them. The folder is a model like any other: give it as --model. When the time is up, models that
    train step by step (networks, ace) end with their best step, and mtp with the step that it is at; training of the
    others is given up.
    """
    from uniscreen.benchmarking.baselines import train_baseline
    from uniscreen.progress import last_line
    from uniscreen.structures.labels import read_labelled

    structures = read_labelled(train_file).structures
    validation = read_labelled(validation_file).structures if validation_file else ()
    given = _pairs(hyperparameters)
    with last_line(f"training {name}: ") as on_line:
        card = train_baseline(
            name,
            structures,
            out,
            validation=validation,
            hyperparameters=given,
            seconds=3600 * hours,
            on_line=on_line,
            **options,
        )
    click.echo(f"{out}: {card.architecture} for {' '.join(card.species)}, cutoff {card.cutoff:g} Å, trained on")
    click.echo(f"  {len(structures)} structures; use it as --model {out}")


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """``key=value`` words as a table."""
    from uniscreen.errors import InputError

    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise InputError(f"{wrong[0]!r} is not KEY=VALUE, e.g. cutoff=5.0.")
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def _print_list() -> None:
    """One row a kind of model."""
    from rich.table import Table

    from uniscreen.benchmarking.baselines import baselines as known

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in ("name", "model", "package", "licence", "status"):
        table.add_column(title, no_wrap=title in {"name", "package"}, overflow="fold")
    for baseline in known().values():
        status = f"{baseline.status}: {baseline.unavailable}" if baseline.unavailable else baseline.status
        table.add_row(baseline.name, baseline.title, baseline.package, baseline.licence, status)
    standard_output().print(table, highlight=False)
