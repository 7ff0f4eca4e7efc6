"""``uniscreen models``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.console import standard_output
from uniscreen.cli.fetch import fetch, hub, print_fetched_from_hub
from uniscreen.cli.options import DEVICE, DTYPE, HEAD, TRUST_MODEL_FILE

if TYPE_CHECKING:
    from uniscreen.potentials import ModelCard
    from uniscreen.potentials.testing import CheckResult


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the models that can be used, or say more about one.

    Without a command, print the list.
    """
    if context.invoked_subcommand is None:
        _print_list()


models.add_command(fetch)
models.add_command(hub)


@models.command()
@click.argument("name")
def show(name: str) -> None:
    """Print what model NAME was trained on, and what its energies are."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for label, value in _facts(*_described(name)).items():
        grid.add_row(label, Text(value))
    standard_output().print(grid)


@models.command()
@click.argument("name")
@DEVICE
@DTYPE
@HEAD
@TRUST_MODEL_FILE
@click.pass_context
def check(context: click.Context, /, name: str, **options: Any) -> None:
    """Test model NAME: symmetries, derivatives, batches, errors.

    Exit code 1 if a check fails.
    """
    import torch
    from rich.console import Console

    from uniscreen.potentials import load_potential
    from uniscreen.potentials.testing import check_potential, precision

    torch.set_num_threads(1)  # as in a screen; with more, sums need not be the same twice
    potential = load_potential(name, **options)
    with Console(stderr=True).status(f"checking {potential.card.name}"):
        results = check_potential(potential)
    click.echo(f"{potential.card.name}, {precision(potential)}, {potential.device.type}")
    _print_results(results)
    if any(result.status == "failed" for result in results):
        context.exit(1)


@models.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove the environment that model NAME has of its own.

    It is made anew when it is next needed.
    """
    from uniscreen.errors import InputError
    from uniscreen.potentials import find_card
    from uniscreen.potentials.loading import own_environment

    card = find_card(name)
    environment = own_environment(card)
    if environment is None:
        raise InputError(f"{card.name} runs in this environment; only models with one of their own can be removed.")
    removed = environment.remove()
    if not removed:
        raise InputError(f"There is no environment of {card.name} in {environment.folder.parent}.")
    for folder in removed:
        click.echo(f"removed {folder}")


def _print_list() -> None:
    """One row a model card."""
    from rich.table import Table

    from uniscreen.potentials import model_cards

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in ("name", "archi-\ntecture", "func-\ntional", "energies", "licence", "pack-\nage", "on\ndisk"):
        table.add_column(title, no_wrap=title != "licence")
    for card in model_cards().values():
        table.add_row(
            card.name,
            card.architecture,
            card.functional,
            card.energy_convention,
            _licence(card),
            _yes(_installed(card)),
            _yes(_weights(card, check=False) is not None),
        )
    standard_output().print(table, highlight=False)
    print_fetched_from_hub()


def _licence(card: ModelCard) -> str:
    """The licence's name, and whether it restricts what the model may be used for."""
    name = card.licence.partition(",")[0]
    return f"{name}: restricted use" if card.restricted_use else name


def _described(name: str) -> tuple[ModelCard, Path | None]:
    """The card of a model, and its weights if they are on this machine."""
    from uniscreen.errors import InputError, UnknownModelError
    from uniscreen.potentials import find_card
    from uniscreen.potentials.hub import SCHEME, hub_model
    from uniscreen.potentials.loading import saved_card

    if name.startswith(SCHEME):
        return hub_model(name)
    try:
        card = find_card(name)
    except UnknownModelError:
        if Path(name).is_dir():
            return saved_card(Path(name)), Path(name)
        if name.startswith(("ase:", "mtp:")) or Path(name).suffix == ".model":
            raise InputError(f"{name} has no model card to show. What it does: uniscreen models check {name}") from None
        raise
    return card, _weights(card)


def _facts(card: ModelCard, path: Path | None) -> dict[str, str]:
    """Every field of a card that is not empty in words, with units."""
    from uniscreen.potentials.licences import is_accepted
    from uniscreen.potentials.loading import BACKENDS

    forces = {
        "conservative": "conservative: minus the derivative of the energy",
        "direct": "direct: not the derivative of the energy",
    }
    facts = {
        "name": card.name,
        "aliases": ", ".join(card.aliases) or "none",
        "architecture": card.architecture,
        "package": f"{BACKENDS[card.architecture].package}, {_where_installed(card)}",
        "weights": "not on this machine, or not those of this card" if path is None else str(path),
        "from": card.weights,
        "file of the folder": card.weights_file,
        "size": f"{card.size_bytes / 1e6:.1f} MB" if card.size_bytes else "unknown",
        "sha256": card.sha256 or "unknown",
        "licence": f"{card.licence} {card.licence_url}".strip(),
        "use": _use(card, accepted=is_accepted(card)),
        "citation": card.citation,
        "functional": card.functional,
        "energies": f"{card.energy_convention}: {_energies(card)}",
        "reference energies": _moved(card),
        "forces": forces[card.forces],
        "head": card.head,
        "magnetic moments": "yes" if card.magnetic_moments else "no",
        "precision": card.dtype,
        "cutoff": f"{card.cutoff:g} Å",
        "fine-tuned from": card.base,
        "fine-tuned on": " ".join(_by_atomic_number(card.tuned_elements)),
        "elements": f"{len(card.elements)}: {' '.join(_by_atomic_number(card.elements))}",
    }
    return {label: value for label, value in facts.items() if value}


def _energies(card: ModelCard) -> str:
    """What the energies are, and what a screen adds to them."""
    from uniscreen.screening.corrections import required_correction
    from uniscreen.thermodynamics import CorrectionScheme

    if card.energy_convention == "MP2020-corrected":
        return "total energies that already carry the Materials Project's 2020 corrections"
    if required_correction(card) is CorrectionScheme.MP2020:
        return "raw DFT total energies; a screen adds the Materials Project's 2020 corrections"
    if card.functional == "unknown":
        return "raw total energies; --functional tells a screen what they may be compared with"
    return "raw DFT total energies; a screen adds no corrections, as there are none for this functional"


def _moved(card: ModelCard) -> str:
    """What was added to the reference energies of the base, if anything."""
    moved = ", ".join(f"{symbol} {shift:+.3f}" for symbol, shift in card.reference_shifts)
    return f"moved from those of the base, eV/atom: {moved}; screens take that off before the hull" if moved else ""


def _use(card: ModelCard, *, accepted: bool) -> str:
    if not card.restricted_use:
        return "not restricted further" if card.licence != "unknown" else "unknown"
    return f"{card.restricted_use} only; {'accepted' if accepted else 'yet to be accepted'}"


def _by_atomic_number(symbols: frozenset[str]) -> list[str]:
    from ase.data import atomic_numbers

    return sorted(symbols, key=lambda symbol: int(atomic_numbers[symbol]))


def _where_installed(card: ModelCard) -> str:
    """Where the package that the model needs is, in words."""
    from uniscreen.potentials.loading import own_environment

    environment = own_environment(card)
    if environment is None:
        return "installed" if _installed(card) else "not installed"
    place = environment.folder if environment.installed else "which is made when it is first needed"
    return f"in an environment of its own, {place}"


def _installed(card: ModelCard) -> bool:
    """Whether the package that the model needs is here, in the model's own environment if it has one."""
    from uniscreen.potentials.loading import BACKENDS, own_environment

    environment = own_environment(card)
    if environment is not None:
        return environment.installed
    return find_spec(BACKENDS[card.architecture].imports) is not None


def _weights(card: ModelCard, *, check: bool = True) -> Path | None:
    """The model's weights, or None where they are missing or, if that is checked, not those of the card."""
    from uniscreen.errors import InputError
    from uniscreen.potentials.weights import locate

    try:
        path = locate(card, check=check)
    except InputError:
        return None
    return path if path.exists() else None


def _print_results(results: list[CheckResult]) -> None:
    """The worst error of each check against its tolerance, and the outcome."""
    from rich.table import Table
    from rich.text import Text

    colours = {"passed": "green", "failed": "bold red", "expected failure": "yellow"}
    table = Table(box=None, pad_edge=False)
    for title in ("check", "error", "tolerance", "unit", "outcome"):
        table.add_column(title, justify="right" if title in {"error", "tolerance"} else "left", no_wrap=True)
    table.add_column("where", overflow="fold")
    for result in results:
        error = "0" if result.error == 0 else f"{result.error:.1e}"
        tolerance = "0" if result.tolerance == 0 else f"{result.tolerance:.0e}"
        outcome = Text(result.status, style=colours[result.status])
        table.add_row(result.name, error, tolerance, result.unit, outcome, Text(result.detail))
    standard_output().print(table, highlight=False)
    counts = {status: sum(result.status == status for result in results) for status in colours}
    click.echo(", ".join(f"{n} {status}" for status, n in counts.items() if n))


def _yes(value: object) -> str:
    return "yes" if value else "no"
