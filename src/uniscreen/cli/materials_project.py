"""``uniscreen candidates mp`` and ``uniscreen references mp``."""

from __future__ import annotations

import gzip
from pathlib import Path

import click

from uniscreen.cli.options import QUIET
from uniscreen.progress import work_bars

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
    from uniscreen.structures.formats import is_gz
    from uniscreen.structures.writing import check_writable
    from uniscreen.thermodynamics import ReferenceSet
    from uniscreen.thermodynamics.materials_project import MaterialsProject, fetch_references, parse_system

    check_writable(out, (".json", ".json.gz"))
    systems = [parse_system(text) for text in chemsys]
    with work_bars(show=not quiet) as update:
        content = fetch_references(
            MaterialsProject.connect(), systems, thermo_type, lambda *counts: update("chemical systems", *counts)
        )
    found = ReferenceSet.from_bytes(content, out.name)
    write_atomically(out, content if is_gz(out.name) else gzip.decompress(content))
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
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The table to write, .csv or .json, each also with .gz.",
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
    from uniscreen.structures.writing import check_writable
    from uniscreen.thermodynamics.materials_project import (
        MaterialsProject,
        Selection,
        select_materials,
        table_content,
    )

    check_writable(out, (".csv", ".csv.gz", ".json", ".json.gz"))
    selection = Selection(systems, _symbols(elements), _symbols(exclude_elements), n_atoms, e_above_hull, limit)
    with work_bars(show=not quiet) as update:
        database = MaterialsProject.connect()
        materials = select_materials(database, selection, thermo_type, lambda *counts: update("materials", *counts))
    write_atomically(out, table_content(materials, out.name, thermo_type, database.version))
    if not quiet:
        click.echo(f"{len(materials)} candidates in {out}")
        click.echo(f"Materials Project {database.version} ({thermo_type})")


def _symbols(text: str | None) -> tuple[str, ...]:
    return tuple(symbol.strip() for symbol in text.split(",")) if text else ()
