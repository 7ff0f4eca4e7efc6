"""``uniscreen data``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uniscreen.cli.console import standard_output
from uniscreen.cli.options import DEVICE, QUIET, TRUST_MODEL_FILE
from uniscreen.progress import work_bars

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uniscreen.training.inspection import Inspection, ModelDistance, Range

SHOWN = 10
"""Most lines of a list of frames."""


@click.group()
def data() -> None:
    """Choose structures to label, and check labelled ones."""


@data.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model", metavar="NAME", help="Compare with this potential, e.g. chgnet-0.3.0, and check units and signs."
)
@TRUST_MODEL_FILE
@DEVICE
@click.option(
    "--energy",
    type=click.Choice(["total", "per-atom"]),
    help="Whether energies are totals or per atom. [default: as usual in the format]",
)
@click.option(
    "--stress-unit",
    type=click.Choice(["eV/A^3", "GPa", "kbar"]),
    help="Unit of the stresses. [default: as usual in the format]",
)
@click.option(
    "--stress-sign",
    type=click.Choice(["tension-positive", "compression-positive"]),
    help="Sign of the stresses. [default: as usual in the format]",
)
@click.option(
    "--stress-order",
    type=click.Choice(["xx yy zz yz xz xy", "xx yy zz xy yz zx"]),
    help="Order of six stress components. [default: as usual in the format]",
)
@click.option("--energy-key", help="Key of the energy in the file.")
@click.option("--forces-key", help="Key of the forces in the file.")
@click.option("--stress-key", help="Key of the stress in the file.")
@click.option("--group-key", help="Key of the group that a frame belongs to.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def inspect(
    context: click.Context,
    /,
    file: Path,
    model: str | None,
    device: Any,
    *,
    trust_model_file: bool,
    as_json: bool,
    **conventions: Any,
) -> None:
    """Show what FILE holds, and how far a potential is from it.

    Counts, elements, groups, ranges, outliers and duplicates; with --model also whether units and signs are right.

    FILE is extxyz, vasprun.xml, OUTCAR, an ASE database, pymatgen JSON (chgnet, MPtrj, mlearn, MatPES), or a folder of
    these. Exit code 1 if units or signs are not what they were taken to be.
    """
    from uniscreen.structures.labels import LabelConventions, read_labelled
    from uniscreen.training.inspection import inspect_data

    found = read_labelled(file, LabelConventions(**conventions))
    found.require_named()
    potential = None
    if model is not None:
        import torch

        from uniscreen.potentials import load_potential

        torch.set_num_threads(1)  # as in a screen
        potential = load_potential(model, device=device, trust_model_file=trust_model_file)
    inspection = inspect_data(found, potential)
    if as_json:
        click.echo(json.dumps(inspection.as_dict(), indent=2))
    else:
        _print(inspection)
    if inspection.model is not None and any(f.verdict == "disagrees" for f in inspection.model.findings):
        context.exit(1)


@data.command("select")
@click.argument("structures", type=click.Path(path_type=Path))
@click.option("-n", "n", type=int, required=True, metavar="N", help="How many to choose.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="File of the chosen structures, .extxyz."
)
@click.option(
    "--model",
    default="chgnet-0.3.0",
    show_default=True,
    metavar="NAME",
    help="The potential that is to be trained: CHGNet, M3GNet, TensorNet or MACE.",
)
@click.option(
    "--known",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Structures that are labelled, or were chosen, before: choose none that are like these.",
)
@TRUST_MODEL_FILE
@DEVICE
@QUIET
def select_structures(
    structures: Path,
    n: int,
    out: Path,
    model: str,
    known: Path | None,
    device: Any,
    *,
    trust_model_file: bool,
    quiet: bool,
) -> None:
    """Choose N of STRUCTURES to label, which stand for all.

    Those are clustered that a potential would learn the same from, and the middle one of each cluster is chosen. Ten
    chosen ones can train it about as well as thirty drawn at random; see docs/training-data.md.

    STRUCTURES is what 'uniscreen screen' reads: crystals in a table, a folder, an extxyz or JSON file, such as
    snapshots of molecular dynamics. They need no labels.

    \b
    uniscreen data select snapshots.extxyz -n 10 -o chosen.extxyz
    uniscreen label chosen.extxyz --settings gpaw.yaml -o labelled.extxyz
    uniscreen finetune chgnet-quick --train labelled.extxyz
    """  # noqa: D301 (click's mark of lines that are not wrapped)
    import torch

    from uniscreen.errors import InputError
    from uniscreen.potentials import load_potential
    from uniscreen.structures import read_candidates
    from uniscreen.training.selection import select, write_selection

    torch.set_num_threads(1)  # as in a screen
    if out.suffix != ".extxyz" or out.is_dir():
        raise InputError(f"--out is {out}, expected the name of a file that ends in .extxyz.")
    if out.resolve() in {path.resolve() for path in (structures, known) if path is not None}:
        raise InputError(f"--out {out} is what there is to choose from, and would be replaced. Give another name.")
    table = read_candidates(structures)
    before = None if known is None else read_candidates(known)
    potential = load_potential(model, device=device, trust_model_file=trust_model_file)
    with work_bars(show=not quiet) as update:
        found = select(
            table, n, potential, known=before, on_progress=lambda done, total: update("comparing", done, total)
        )
    write_selection(found, table, out)
    if not quiet:
        click.echo(f"{n} of {len(table)} structures chosen: {out}")
    for place, reason in found.left_out.items():
        click.echo(f"{table.candidates[place].id} left out: {reason}", err=True)


def _print(found: Inspection) -> None:
    console = standard_output()
    counts = f"{found.frames} frames, {found.periodic} periodic, {found.with_stress} with stress"
    console.print(f"{found.name}: {counts}", markup=False)
    console.print("Elements (frames): " + ", ".join(f"{symbol} {count}" for symbol, count in found.elements.items()))
    console.print(_ranges(found), highlight=False)
    if found.groups:
        console.print(_groups(found), highlight=False)
    if found.without_group:
        console.print(
            f"{found.without_group} frames have no group, so nothing says which belong together. For a fine-tuning "
            "give each its 'group', or say how to split them: data.split.by=composition, block or frame.",
            highlight=False,
            soft_wrap=True,
        )
    _list(console, "Left out", list(found.left_out))
    _list(console, "Force above 50 eV/Å", [f"{place}: {force:.1f} eV/Å" for place, force in found.outliers])
    _list(console, "Duplicates", [" = ".join(places) for places in found.duplicates])
    if found.at_rest:
        console.print(found.at_rest, markup=False, highlight=False, soft_wrap=True)
    if found.model is not None:
        _print_model(console, found.model)


def _ranges(found: Inspection) -> Table:
    """The smallest, middle and largest of what is measured."""
    rows: dict[str, tuple[Range | None, str]] = {
        "atoms": (found.atoms, ".0f"),
        "energy, eV/atom": (found.energy_eV_per_atom, ".3f"),
        "largest force, eV/Å": (found.max_force_eV_per_A, ".3f"),
        "pressure, GPa": (found.pressure_GPa, ".2f"),
        "volume, Å³/atom": (found.volume_A3_per_atom, ".2f"),
    }
    table = _table("", "lowest", "median", "highest")
    for name, (values, form) in rows.items():
        if values is not None:
            table.add_row(name, *(format(value, form) for value in (values.lowest, values.median, values.highest)))
    return table


def _groups(found: Inspection) -> Table:
    """One row a group, with the potential's errors where there is one."""
    from rich.text import Text

    titles = ["group", "frames", "atoms", "largest\nforce, eV/Å"]
    table = _table(*titles, *(["energy error\nmeV/atom", "force error\nmeV/Å"] if found.model else []))
    for group in found.groups[: 4 * SHOWN]:
        row: list[str | Text] = [
            Text(group.group),
            str(group.frames),
            str(group.atoms),
            f"{group.max_force_eV_per_A:.2f}",
        ]
        if found.model:
            errors = (group.energy_mae_meV_per_atom, group.force_mae_meV_per_A)
            row += ["-" if error is None else f"{error:.1f}" for error in errors]
        table.add_row(*row)
    if len(found.groups) > 4 * SHOWN:
        table.add_row(f"... and {len(found.groups) - 4 * SHOWN} more")
    return table


def _print_model(console: Console, model: ModelDistance) -> None:
    """The distance from the potential, and what the checks of units and signs say."""
    stress = "" if model.stress_mae_GPa is None else f", stress {model.stress_mae_GPa:.2f} GPa"
    slope = "" if model.force_slope is None else f" with slope {model.force_slope:.2f}"
    console.print(
        f"{model.model}, mean absolute errors: energy {model.energy_mae_meV_per_atom:.1f} meV/atom after "
        f"re-referencing ({model.energy_mae_before_meV_per_atom:.1f} before), forces "
        f"{model.force_mae_meV_per_A:.1f} meV/Å{slope}{stress}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    shifts = ", ".join(f"{symbol} {value:+.3f}" for symbol, value in model.shifts_eV_per_atom.items())
    console.print(f"Re-referencing, eV/atom: {shifts}", highlight=False, soft_wrap=True)
    _list(console, "Cannot be evaluated", list(model.refused))
    _list(
        console,
        "Farthest (RMS error of the forces)",
        [f"{place}: {error:.2f} eV/Å" for place, error in model.farthest],
    )
    colours = {"agrees": "green", "disagrees": "bold red", "undecided": "yellow"}
    for finding in model.findings:
        text = f"{finding.check}: [{colours[finding.verdict]}]{finding.verdict}[/]: "
        console.print(text, end="")
        console.print(f"{finding.seen}. {finding.fix}".rstrip(), markup=False, highlight=False, soft_wrap=True)
    if model.two_sets_of_energies:
        console.print(model.two_sets_of_energies, markup=False, highlight=False, soft_wrap=True)


def _list(console: Console, title: str, lines: list[str]) -> None:
    """A title with its lines, the first of them if they are many; nothing if there are none."""
    if not lines:
        return
    console.print(f"{title}: {len(lines)}", highlight=False)
    for line in lines[:SHOWN]:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"  ... and {len(lines) - SHOWN} more")


def _table(*titles: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for k, title in enumerate(titles):
        table.add_column(title, justify="left" if k == 0 else "right", overflow="fold")
    return table
