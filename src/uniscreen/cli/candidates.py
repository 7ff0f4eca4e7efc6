"""``uniscreen candidates``: tables of crystals to be screened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from uniscreen.cli.console import standard_output
from uniscreen.cli.materials_project import candidates_mp
from uniscreen.progress import work_bars

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uniscreen.structures.generation import Made

OUT = click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="The table to write, .csv or .csv.gz."
)
UNBALANCED = click.option(
    "--allow-unbalanced", is_flag=True, help="Also write crystals whose usual oxidation states do not add up to zero."
)


@click.group()
def candidates() -> None:
    """Make tables of candidates, or remove duplicates from one."""


candidates.add_command(candidates_mp, "mp")


@candidates.command()
@click.argument("seeds", type=click.Path(path_type=Path))
@click.option(
    "--replace",
    "replacements",
    multiple=True,
    required=True,
    metavar="OLD=NEW,...",
    help="Elements to put in place of one. Repeatable: all are applied, in every combination.",
)
@UNBALANCED
@OUT
def substitute(seeds: Path, replacements: tuple[str, ...], out: Path, *, allow_unbalanced: bool) -> None:
    """Exchange elements of the crystals in SEEDS.

    An element is exchanged on all its sites, and the cell is scaled to the new radii.

    SEEDS is anything that 'uniscreen screen' takes. The old element is kept as an alternative only if it is named
    (Li=Li,Na). Crystals are written if oxidation states that occur in the ICSD make them neutral, and metals always.

    \b
    uniscreen candidates substitute seeds.csv --replace Li=Na,K --replace Co=Fe,Mn,Ni -o new.csv
    """  # noqa: D301 (click's mark of lines that are not wrapped)
    from uniscreen.structures import read_candidates
    from uniscreen.structures.generation import parse_alternatives, write_substituted

    alternatives = parse_alternatives(replacements, "--replace")
    table = read_candidates(seeds)
    with work_bars() as update:
        made = write_substituted(
            table,
            alternatives,
            out,
            allow_unbalanced=allow_unbalanced,
            on_progress=lambda done, total: update("substituting", done, total),
        )
    _report(made, out)


@candidates.command()
@click.option(
    "--prototype",
    "names",
    multiple=True,
    metavar="NAME,...",
    help="Structure types; --list shows their names. Repeatable.",
)
@click.option(
    "--elements",
    "elements",
    multiple=True,
    metavar="SITE=NEW,...",
    help="Elements for the sites of one name. Repeatable: every combination is made.",
)
@click.option("--list", "listed", is_flag=True, help="List the structure types and their sites, and stop.")
@UNBALANCED
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The table to write, .csv or .csv.gz.")
def prototypes(
    names: tuple[str, ...], elements: tuple[str, ...], out: Path | None, *, listed: bool, allow_unbalanced: bool
) -> None:
    """Put elements on the sites of common structure types.

    A type is named as in --list, or by its label in the AFLOW library (AB_cF8_225_a_b), whose sites are A, B, C.

    \b
    uniscreen candidates prototypes --prototype rocksalt,fluorite --elements A=Mg,Ca --elements X=O,F -o new.csv
    """  # noqa: D301
    from uniscreen.structures.generation import find_prototype, parse_alternatives, write_decorated

    if listed:
        _print_prototypes()
        return
    chosen = list(dict.fromkeys(name.strip() for given in names for name in given.split(",")))
    for option, value in (("--prototype", chosen), ("--elements", elements), ("--out", out)):
        if not value:
            raise click.UsageError(f"Missing option {option}.")
    assert out is not None
    made = write_decorated(
        [find_prototype(name) for name in chosen],
        parse_alternatives(elements, "--elements"),
        out,
        allow_unbalanced=allow_unbalanced,
    )
    _report(made, out)


@candidates.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--against", type=click.Path(path_type=Path), help="Known crystals; say of each row which of them it is, if any."
)
@click.option("--ltol", type=float, default=0.2, show_default=True, help="Tolerance of cell edges, relative.")
@click.option(
    "--stol", type=float, default=0.3, show_default=True, help="Tolerance of sites, in (volume per atom)^(1/3)."
)
@click.option("--angle-tol", type=float, default=5.0, show_default=True, help="Tolerance of cell angles, degrees.")
@OUT
def deduplicate(table: Path, against: Path | None, out: Path, *, ltol: float, stol: float, angle_tol: float) -> None:
    """Keep the first of each crystal in TABLE.

    TABLE and the known crystals are anything that 'uniscreen screen' takes. Two crystals are the same if pymatgen's
    StructureMatcher says so, with the tolerances given: at equal volume, in any cell, orientation or order of atoms.
    The column 'duplicates' and the file OUT-duplicates.csv say which is which.
    """
    from uniscreen.structures import read_candidates
    from uniscreen.structures.deduplication import Tolerances, find_duplicates, write_unique
    from uniscreen.structures.writing import check_writable

    check_writable(out)
    tolerances = Tolerances(ltol, stol, angle_tol)
    rows = read_candidates(table)
    known = None if against is None else read_candidates(against)
    with work_bars() as update:
        found = find_duplicates(rows, tolerances, against=known, on_progress=update)
    listed = write_unique(rows, found, out, against=known is not None)
    kept = len(rows) - len(found.duplicate_of)
    click.echo(f"{kept} of {len(rows)} candidates kept in {out}; which they stand for: {listed}", err=True)
    if known is not None:
        n_compared = kept - len(found.not_compared)
        n_known = len(found.known_as)
        click.echo(f"{n_known} of them known, {n_compared - n_known} new, against {len(known)} references", err=True)
    rows_left = {rows.candidates[row].id: reason for row, reason in found.not_compared.items()}
    _warn("kept without being compared", rows_left)
    _warn("references left out", found.unreadable_references)


def _print_prototypes() -> None:
    from rich.table import Table

    from uniscreen.structures.generation import named_prototypes

    grid = Table(box=None, pad_edge=False)
    for title in ("name", "formula", "namesake", "from"):
        grid.add_column(title, no_wrap=title != "from", overflow="fold")
    for prototype in named_prototypes():
        namesake = prototype.structure.composition.reduced_formula
        grid.add_row(prototype.name, prototype.formula, namesake, prototype.source)
    standard_output().print(grid, highlight=False)


def _report(made: Made, out: Path) -> None:
    """Say on stderr what was written and what was not."""
    click.echo(f"{made.n_written} candidates in {out}", err=True)
    for reason, n in made.dropped.most_common():
        click.echo(f"  {n} dropped: {reason}", err=True)
    _warn("seeds unreadable", made.unreadable)


def _warn(what: str, reasons: Mapping[str, str], shown: int = 5) -> None:
    """Count rows that something was wrong with, and name the first."""
    if reasons:
        click.echo(f"  {len(reasons)} {what}:", err=True)
        for name, reason in list(reasons.items())[:shown]:
            click.echo(f"    {name}: {reason}", err=True)
        if len(reasons) > shown:
            click.echo(f"    and {len(reasons) - shown} more", err=True)
