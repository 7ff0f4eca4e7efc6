"""``uniscreen export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from uniscreen.cli.options import HEAD, TRUST_MODEL_FILE

if TYPE_CHECKING:
    from uniscreen.potentials.exporting import Export


@click.command()
@click.argument("model")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "package",
    type=click.Choice(["chgnet", "matgl", "mace"]),
    help="Fail unless the model is one of this package, which decides the format.",
)
@HEAD
@TRUST_MODEL_FILE
def export(model: str, path: Path, package: str | None, head: str, *, trust_model_file: bool) -> None:
    """Write MODEL to PATH in the format of its own package.

    It can be used there without uniscreen. MODEL is a model's name or the folder of a trained one. PATH is a new file
    (chgnet, mace) or folder (matgl). What was written is loaded with the package, and its energies, forces and stresses
    are compared with uniscreen's.
    """
    import torch

    from uniscreen.potentials import load_potential
    from uniscreen.potentials.exporting import export as write

    torch.set_num_threads(1)  # as in a screen
    potential = load_potential(model, device="cpu", head=head, trust_model_file=trust_model_file)
    _print(potential.card.name, write(potential, path, package))


def _print(name: str, done: Export) -> None:
    from uniscreen.potentials.exporting import ENERGY_LIMIT

    click.echo(f"{name} is in {done.path}, for {done.format}. To load it there: {done.loading_code}")
    found = done.differences
    moments = "" if found.magnetic_moments_muB is None else f", {found.magnetic_moments_muB:.1g} μ_B"
    click.echo(
        f"Loaded there, it differs on {found.n_crystals} crystals by at most {1000 * found.energy_eV_per_atom:.1g} "
        f"meV/atom, {1000 * found.forces_eV_per_A:.1g} meV/Å, {found.stress_GPa:.1g} GPa{moments}."
    )
    if found.energy_eV_per_atom > ENERGY_LIMIT:
        click.echo(
            f"Warning: reference energies this large leave {done.format}'s float32 no better than "
            f"{1000 * found.energy_eV_per_atom:.1f} meV/atom. Forces and stresses are not affected.",
            err=True,
        )
