"""``uniscreen candidates mp`` and ``uniscreen references mp``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uniscreen.cli.options import QUIET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THERMO_TYPES = ("GGA_GGA+U", "R2SCAN", "GGA_GGA+U_R2SCAN")

thermo_type_option = click.option(
    "--thermo-type",
    type=click.Choice(THERMO_TYPES),
    default=THERMO_TYPES[0],
    show_default=True,
    help="Which DFT energies: GGA_GGA+U for models of PBE labels (MPtrj), R2SCAN for r2SCAN ones.",
)


@click.command()
@click.argument("chemsys", nargs=-1, required=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="The file to write, .json or .json.gz."
)
@thermo_type_option
@QUIET
def references_mp(chemsys: tuple[str, ...], out: Path, thermo_type: str, *, quiet: bool) -> None:
    """Fetch the Materials Project's entries of each CHEMSYS.

    CHEMSYS is a chemical system such as Li-Co-O. The file is for uniscreen screen --references FILE. Entries of all
    subsystems are included. What was fetched is kept for the next time; an interrupted fetch continues. The key is
    taken from MP_API_KEY or pymatgen's settings.
    """
    from uniscreen.durable import write_atomically
    from uniscreen.thermodynamics import ReferenceSet
    from uniscreen.thermodynamics.materials_project import MaterialsProject, fetch_references, parse_system

    _check_out(out, (".json", ".json.gz"))
    systems = [parse_system(text) for text in chemsys]
    with progress_bar("chemical systems", quiet=quiet) as on_progress:
        content = fetch_references(MaterialsProject.connect(), systems, thermo_type, on_progress)
    found = ReferenceSet.from_bytes(content, out.name)
    write_atomically(out, content if out.suffix == ".gz" else _plain(content))
    if not quiet:
        assert found.database is not None
        click.echo(f"{len(found)} entries ({found.functional}, corrections: {found.scheme}) in {out}")
        click.echo(f"{found.database}, retrieved {found.database.retrieved}")


@click.command()
@click.option(
    "--chemsys",
    "systems",
    multiple=True,
    metavar="A-B-C",
    help="Exactly this chemical system; * stands for any element. Repeatable.",
)
@click.option("--elements", metavar="A,B", help="Materials with all of these elements.")
@click.option("--exclude-elements", metavar="A,B", help="Materials with none of these elements.")
@click.option("--n-atoms", type=int, nargs=2, metavar="MIN MAX", help="Number of atoms in the cell.")
@click.option("--e-above-hull", type=float, nargs=2, metavar="MIN MAX", help="Distance to the DFT hull, eV/atom.")
@click.option("--limit", type=int, metavar="N", help="Only the first N, by id.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="The table to write, .csv, .json or .json.gz."
)
@thermo_type_option
@QUIET
def candidates_mp(
    systems: tuple[str, ...],
    elements: str | None,
    exclude_elements: str | None,
    n_atoms: tuple[int, int] | None,
    e_above_hull: tuple[float, float] | None,
    limit: int | None,
    out: Path,
    thermo_type: str,
    *,
    quiet: bool,
) -> None:
    """Take candidates from the Materials Project.

    The table is for uniscreen screen, with DFT energies beside the structures; the DFT distance to the hull and
    formation energy are carried through to its results. The key is taken from MP_API_KEY or pymatgen's settings.
    """
    from uniscreen.durable import write_atomically
    from uniscreen.thermodynamics.materials_project import (
        MaterialsProject,
        Selection,
        select_materials,
        table_content,
    )

    _check_out(out, (".csv", ".json", ".json.gz"))
    selection = Selection(systems, _symbols(elements), _symbols(exclude_elements), n_atoms, e_above_hull, limit)
    with progress_bar("materials", quiet=quiet) as on_progress:
        database = MaterialsProject.connect()
        materials = select_materials(database, selection, thermo_type, on_progress)
    write_atomically(out, table_content(materials, out.name, thermo_type, database.version))
    if not quiet:
        click.echo(f"{len(materials)} candidates in {out}")
        click.echo(f"Materials Project {database.version} ({thermo_type})")


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on the standard error stream that is told how many are done, and of how many."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _symbols(text: str | None) -> tuple[str, ...]:
    return tuple(symbol.strip() for symbol in text.split(",")) if text else ()


def _check_out(out: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that cannot be written before anything is fetched."""
    from uniscreen.errors import InputError

    if not out.name.endswith(suffixes):
        raise InputError(f"--out {out} has no known ending; expected {' or '.join(suffixes)}.")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}.")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; expected the name of a file.")
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"--out {out}: no permission to write to the folder {out.parent}.")


def _plain(content: bytes) -> bytes:
    import gzip

    return gzip.decompress(content)
