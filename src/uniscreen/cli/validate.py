"""``uniscreen validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.checks import print_checks
from uniscreen.cli.options import DEVICE, HEAD, TRUST_MODEL_FILE

if TYPE_CHECKING:
    from uniscreen.potentials.base import Potential
    from uniscreen.structures.labels import LabelledStructure


@click.command()
@click.argument("model")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled structures that MODEL was not trained on.")
@click.option("--against", metavar="BASE", help="The model that MODEL was trained from. [default: as its card says]")
@click.option(
    "--forgetting-sample",
    type=click.Path(path_type=Path),
    help="Labelled structures to compare MODEL with BASE on, instead of built crystals of most elements.",
)
@click.option(
    "--md-ps",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Length of the molecular dynamics, ps.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Count all checks: the strict limit of the energy error, and what was forgotten of other systems.",
)
@click.option(
    "--energy",
    type=click.Choice(["total", "per-atom"]),
    help="Whether energies are totals or per atom. [default: as usual in the format]",
)
@click.option("--energy-key", help="Key of the energy in the file.")
@click.option("--forces-key", help="Key of the forces in the file.")
@click.option("--group-key", help="Key of the group that a structure belongs to.")
@DEVICE
@HEAD
@TRUST_MODEL_FILE
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def validate(
    context: click.Context,
    /,
    model: str,
    data: Path | None,
    against: str | None,
    forgetting_sample: Path | None,
    md_ps: float,
    device: Any,
    head: str,
    *,
    strict: bool,
    trust_model_file: bool,
    as_json: bool,
    **conventions: Any,
) -> None:
    """Check whether MODEL is safe to use.

    Errors, symmetries, dynamics, holes, forgetting: docs/validation.md says what each check is and where its limit
    comes from. MODEL is a folder that finetune wrote, or any model that screen takes. Without --data, what needs labels
    is not run.

    Exit code 1 if a check fails.
    """
    import torch
    from rich.console import Console

    from uniscreen.potentials import load_potential
    from uniscreen.structures.labels import LabelConventions
    from uniscreen.training.safety import is_safe, read_trained_on, read_training_errors, run_checks

    torch.set_num_threads(1)  # as in a screen; with more, sums need not be the same twice
    structures = _labelled(data, LabelConventions(**conventions))
    sample = None if forgetting_sample is None else _labelled(forgetting_sample, None)
    potential = load_potential(model, device=device, head=head, trust_model_file=trust_model_file)
    trained_on = read_trained_on(Path(model))
    n_known = sum(one.geometry_digest in trained_on for one in structures)
    if n_known:
        click.echo(
            f"{n_known} of {len(structures)} structures of {data} are among those that {potential.card.name} was "
            "trained on or chosen by: errors there say nothing of new structures.",
            err=True,
        )
    with Console(stderr=True).status(f"checking {potential.card.name}") as status:
        checks = run_checks(
            potential,
            structures,
            training_errors=read_training_errors(Path(model)),
            pretrained=_pretrained(potential, against, device),
            sample=sample,
            md_ps=md_ps,
            on_probe=lambda name: status.update(f"checking {potential.card.name}: {name}"),
        )
    if as_json:
        found = {"model": model, "n_trained_on": n_known, "checks": [check.as_dict() for check in checks]}
        click.echo(json.dumps(found, indent=2))
    else:
        print_checks([check.as_dict() for check in checks], strict=strict)
    if not is_safe(checks, strict=strict):
        context.exit(1)


def _labelled(path: Path | None, conventions: Any) -> tuple[LabelledStructure, ...]:
    from uniscreen.structures.labels import read_labelled

    return () if path is None else read_labelled(path, conventions).structures


def _pretrained(potential: Potential, against: str | None, device: Any) -> Potential | None:
    """What the potential was trained from: as the user says, else as its card does, if it can be loaded."""
    from uniscreen.errors import InputError
    from uniscreen.potentials import load_potential, resolve_model

    if against is not None:
        is_of_its_kind = resolve_model(against)[0].architecture == potential.card.architecture
        return load_potential(against, device=device, head=potential.card.head if is_of_its_kind else "")
    if not potential.card.base:
        return None
    try:
        return load_potential(potential.card.base, device=device, head=potential.card.head)
    except InputError as error:
        click.echo(f"{potential.card.base}, which it was trained from, cannot be loaded: {error}", err=True)
        return None
