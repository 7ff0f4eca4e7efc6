"""Read a CIF: pymatgen for the syntax, symmetry and atoms ourselves.

pymatgen's own structure building merges atoms at one place, drops rows whose label it cannot read, replaces
an unknown space group by P1 and turns ``?`` into 0. A screening must not compute another crystal than the one
given, so all of these are errors here, except atoms at one place: they are all kept, and it is the distance
check of the screening that reports them.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from uniscreen.errors import InvalidStructureError, TooLargeError
from uniscreen.structures.cif_symmetry import cif_operations
from uniscreen.structures.crystal import HYDROGEN_ISOTOPES, atomic_number, check_count, crystal, finite_array
from uniscreen.structures.guard import describe, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.structures.candidate import ReadLimits

    Block = Mapping[str, list[str]]

MAX_WORDS = 1_000_000
"""Words of a CIF outside long texts; the parser takes some 300 bytes for each; real files have thousands."""

MAX_TEXT = 1000
"""Characters of a text in a CIF; what describes the crystal is shorter, the rest is not needed."""

SAME_PLACE = 0.05
"""Å; images of one row nearer than this are one atom on a special position, given with two or three digits."""

THIRDS_TOLERANCE = 1e-4
"""Fractional; where symmetry acts, a coordinate this near to 1/3 or 2/3 is taken for it (0.3333)."""

LIKE_ASCII = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
    | dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u202f", " ")
    | dict.fromkeys("\u200b\u2060\ufeff", "")
)
"""Minus signs and blanks as PDF files and word processors have them; what is not ASCII is lost in the parser."""

FORMULA_MISMATCH = 0.02
"""Relative difference of an element's share from a rounded formula."""

TEXTS = re.compile(r"^;.*?^;", re.MULTILINE | re.DOTALL)
LABELS = re.compile(r"^\s*(?:loop_\s+)?_atom_site[_.]label\s", re.IGNORECASE | re.MULTILINE)
MODULATED = re.compile(r"_cell_modulation_dimension|_space_group_symop_ssg_.*")


def parse_cif(text: str, limits: ReadLimits) -> Atoms:
    """Read the structure of a CIF, in the cell that the file gives; D and T are read as hydrogen.

    Raises:
        InvalidStructureError: several structures, partial occupancy, unreadable values, or symmetry that is unknown
            or does not fit the cell.
        TooLargeError: more rows of atoms, or more atoms after symmetry, than ``limits.max_atoms``.

    """
    from pymatgen.io.cif import CifParser

    short = _compact(text)
    try:
        parser = CifParser.from_str(short, frac_tolerance=0.0)
    except (ArithmeticError, LookupError, ValueError) as error:
        if re.search(r"not a multiple|zip\(\)", str(error)):
            raise InvalidStructureError("is not a well-formed CIF: a loop has a value too many or too few.") from error
        raise InvalidStructureError(f"is not a well-formed CIF ({shorten(describe(error), 100)}).") from error
    block = _only_structure({name: _values(block) for name, block in parser.as_dict().items()}, short)
    labels = block["_atom_site_label"]
    check_count(len(labels), limits)
    numbers = _elements(block, labels)
    _check_occupied(block, labels)
    fractional = _fractional(block, labels)
    cell = _cell(block)
    rotations, shifts = cif_operations(block, cell)
    numbers, fractional = _expand(numbers, fractional, rotations, shifts, cell, limits)
    _check_formula(block, numbers)
    return crystal(numbers, fractional @ cell, cell)


def _compact(text: str) -> str:
    """Return a CIF without blank lines and long texts (``;`` ... ``;``): pymatgen is slow and large on these.

    What is not ASCII becomes ``?`` (the parser would drop it), but for minus signs and blanks, and the words ``data_``
    and ``loop_`` become small letters.

    Raises:
        TooLargeError: it holds more than a million words all the same.

    """
    ascii_only = text.translate(LIKE_ASCII).encode("ascii", "replace").decode()
    lines = re.sub(r"\n\s*\n", "\n", ascii_only.lstrip())
    lines = re.sub(r"^\s*(data|loop)_", lambda word: word[0].lower(), lines, flags=re.MULTILINE | re.IGNORECASE)
    short = TEXTS.sub(lambda block: block[0] if len(block[0]) <= MAX_TEXT else "'long text'", lines)
    if next(islice(re.finditer(r"\S+", short), MAX_WORDS, None), None) is not None:
        raise TooLargeError(f"the CIF holds more than {MAX_WORDS:,} values, which is no single structure.")
    return short


def _values(block: Mapping[str, Any]) -> Block:
    """Return the values by key, as lists: one where the key stands outside a loop.

    Keys are alike in upper and lower case, and with the points of newer dictionaries (``_cell.length_a``).
    """
    return {
        key.lower().replace(".", "_"): [value] if isinstance(value, str) else [str(v) for v in value]
        for key, value in block.items()
    }


def _only_structure(blocks: Mapping[str, Block], text: str) -> Block:
    """Return the block of a CIF with atoms.

    Of several blocks of one name, and of several lists of atoms in a block, the parser keeps the last.
    """
    found = {name: block for name, block in blocks.items() if "_atom_site_label" in block}
    if not found:
        raise InvalidStructureError("the CIF holds no atoms: there is no _atom_site_label.")
    names = [f"data_{name}" for name in found]
    if (n_lists := len(LABELS.findall(TEXTS.sub("", text)))) > 1 or len(names) > 1:
        raise InvalidStructureError(
            f"the CIF holds {max(n_lists, len(names))} structures ({shorten(', '.join(names), 80)}). Put each into its "
            "own file."
        )
    (block,) = found.values()
    hydrogens = block.get("_atom_site_attached_hydrogens", [])
    if any(h not in ("0", ".", "?") for h in hydrogens):
        raise InvalidStructureError(
            "the CIF attaches hydrogen atoms without positions (_atom_site_attached_hydrogens). Add the atoms."
        )
    if any(value not in ("0", ".", "?") for key in block if MODULATED.fullmatch(key) for value in block[key]):
        raise InvalidStructureError("is a modulated structure, not a crystal with a cell. Give an approximant of it.")
    return block


def _number(text: str, what: str) -> float:
    """Read ``1.234(5)`` as 1.234."""
    match = re.fullmatch(r"([^()\s]+)(\(\d*\)?)?", text.strip())
    try:
        return float(match[1] if match else text)
    except ValueError:
        raise InvalidStructureError(f"{what} is {shorten(text, 40)!r} in the CIF; expected a number.") from None


def _cell(block: Block) -> NDArray[np.float64]:
    """Return the cell, (3, 3) Å, with a along x and b in the xy plane."""
    from ase.cell import Cell

    keys = [f"_cell_length_{k}" for k in "abc"] + [f"_cell_angle_{k}" for k in ("alpha", "beta", "gamma")]
    if missing := [key for key in keys if not block.get(key)]:
        raise InvalidStructureError(f"has no lattice, so it is not a periodic crystal: the CIF lacks {missing[0]}.")
    parameters = [_number(block[key][0], key) for key in keys]
    if not min(parameters[:3]) > 0.0:
        raise InvalidStructureError(f"a cell length is {min(parameters[:3]):g} Å; expected more than 0.")
    angles = sorted(parameters[3:])
    if not (angles[0] > 0.0 and angles[2] < 180.0 and sum(angles) < 360.0 and angles[2] < angles[0] + angles[1]):
        found = ", ".join(f"{angle:g}" for angle in parameters[3:])
        raise InvalidStructureError(f"no cell has the angles {found} degrees.")
    return finite_array(Cell.fromcellpar(parameters).array, (3, 3), "lattice vectors")


def _elements(block: Block, labels: list[str]) -> NDArray[np.int64]:
    symbols = block.get("_atom_site_type_symbol", [])
    if len(symbols) == len(labels):
        return np.array([_element_of_symbol(symbol) for symbol in symbols])
    return np.array([_element_of_label(label) for label in labels])


def _element_of_symbol(symbol: str) -> int:
    """Read ``Fe``, ``Fe3+``, ``O2-`` or ``CU``."""
    match = re.fullmatch(r"([A-Za-z]+)(\d*[.,]?\d*[+-]?\d*)", symbol.strip())
    return atomic_number(match[1].capitalize() if match else symbol)


def _element_of_label(label: str) -> int:
    """Read ``Fe1``, ``O2a``, ``Si_3`` or ``CUA``.

    Refused are ``CO1``, which may be carbon or cobalt, ``Mg/Fe1``, and ``T1``, a tetrahedral site and not tritium.
    """
    from ase.data import atomic_numbers

    letters = re.match(r"[A-Za-z]*", label.strip())
    assert letters is not None
    if re.match(r"[A-Za-z]+\d*[,/&+][A-Za-z]|T(?![A-Za-z])", label.strip()):
        raise InvalidStructureError(
            f"site {shorten(label, 20)!r} names no single element. Add an _atom_site_type_symbol column to the CIF."
        )
    first, two = letters[0][:1].upper(), letters[0][:2].capitalize()
    upper_second = letters[0][1:2].isupper()
    if upper_second and two in atomic_numbers and first in atomic_numbers:
        raise InvalidStructureError(
            f"site {shorten(label, 20)!r} may be {first} or {two}. Add an _atom_site_type_symbol column to the CIF."
        )
    return atomic_number(first if upper_second and two not in atomic_numbers else two or label)


def _check_occupied(block: Block, labels: list[str]) -> None:
    for label, text in zip(labels, block.get("_atom_site_occupancy", []), strict=False):
        if text in ("?", "."):
            continue
        occupancy = _number(text, f"the occupancy of site {label}")
        if abs(occupancy - 1.0) > 1e-6:
            raise InvalidStructureError(
                f"site {shorten(label, 20)!r} has occupancy {occupancy:g}; expected 1. "
                "Order the structure first (pymatgen: OrderDisorderedStructureTransformation)."
            )


def _fractional(block: Block, labels: list[str]) -> NDArray[np.float64]:
    columns = []
    for axis in "xyz":
        values = block.get(f"_atom_site_fract_{axis}", [])
        if len(values) != len(labels):
            raise InvalidStructureError(
                f"the CIF has {len(values)} values of _atom_site_fract_{axis} for {len(labels)} atoms."
            )
        what = f"fractional {axis} of site"
        columns.append([_number(v, f"{what} {shorten(k, 20)}") for v, k in zip(values, labels, strict=True)])
    return finite_array(columns, (3, len(labels)), "fractional coordinates").T


def _check_formula(block: Block, numbers: NDArray[np.int64]) -> None:
    """Check the composition against the formula beside it, if that is a plain one: hydrogen is often not in the list.

    Raises:
        InvalidStructureError: they differ.

    """
    from ase.data import atomic_numbers
    from ase.symbols import Symbols

    there = np.bincount(numbers)
    for text in block.get("_chemical_formula_sum", []):
        parts = re.findall(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+|)", text)
        plain = "".join(map("".join, parts)) == re.sub(r"\s", "", text)
        if not (parts and plain and all(s in HYDROGEN_ISOTOPES or atomic_numbers.get(s) for s, _ in parts)):
            continue
        elements = [atomic_number(symbol) for symbol, _ in parts]
        told = np.bincount(elements, [float(amount or 1.0) for _, amount in parts], minlength=len(there))
        listed = np.pad(there, (0, len(told) - len(there))) / there.sum()
        if not np.allclose(listed, told / max(told.sum(), 1e-9), rtol=FORMULA_MISMATCH, atol=0.0):
            found = Symbols(numbers).formula.reduce()[0]
            raise InvalidStructureError(
                f"its atoms are {found} and its _chemical_formula_sum is {shorten(text, 60)!r}. Add the atoms that are "
                "missing, or correct the formula."
            )


def _expand(
    numbers: NDArray[np.int64],
    fractional: NDArray[np.float64],
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    cell: NDArray[np.float64],
    limits: ReadLimits,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Apply the symmetry to each row by itself, so that two rows at one place stay two atoms."""
    if len(rotations) == 1 and np.array_equal(rotations[0], np.eye(3)) and not shifts.any():
        return numbers, fractional
    thirds = np.round(3.0 * fractional) / 3.0
    near = (np.abs(fractional - thirds) < THIRDS_TOLERANCE) & (thirds % 1.0 != 0.0)
    orbits = [_orbit(row, rotations, shifts, cell) for row in np.where(near, thirds, fractional)]
    check_count(sum(len(orbit) for orbit in orbits), limits)
    return np.repeat(numbers, [len(orbit) for orbit in orbits]), np.concatenate(orbits)


def _orbit(
    row: NDArray[np.float64],
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the different images of one position, (m, 3) fractional in [0, 1)."""
    images = rotations @ row + shifts
    images -= np.floor(images)
    delta = images[:, None] - images
    delta -= np.round(delta)
    same = np.linalg.norm(delta @ cell, axis=2) < SAME_PLACE
    kept: NDArray[np.float64] = images[~np.tril(same, -1).any(axis=1)]
    return kept
