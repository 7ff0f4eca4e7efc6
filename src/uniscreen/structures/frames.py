"""Split extxyz text into frames, and read one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.crystal import HYDROGEN_ISOTOPES, check_count, crystal
from uniscreen.structures.guard import shorten

_PAIR = re.compile(
    r"""(?:^|\s)(?:([^\s="']+)\s*=\s*)?(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"'=][^\s]*))""",
)
"""A word of a comment line, or a key with its value: what is quoted is one of them, whatever it holds."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ase import Atoms

    from uniscreen.structures.candidate import ReadLimits


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of an extxyz file: the line it begins on (from 1), its comment line, and its whole text."""

    line: int
    comment: str
    text: str


def split_frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Yield the frames of an extxyz text, given as its lines, without parsing any; blank lines may follow the last.

    Raises:
        InvalidStructureError: a frame does not begin with its number of atoms, or is shorter than it says.

    """
    left = _without_blank_end(lines)
    at = 1
    for first in left:
        n_atoms = _declared(first, at)
        rest = [*islice(left, 1 + n_atoms)]
        if len(rest) <= n_atoms:
            raise InvalidStructureError(
                f"the frame at line {at} declares {n_atoms:,} atoms, but only "
                f"{max(len(rest) - 1, 0):,} lines of atoms follow."
            )
        yield Frame(at, rest[0], "\n".join((first, *rest)) + "\n")
        at += 2 + n_atoms


def _without_blank_end(lines: Iterable[str]) -> Iterator[str]:
    blank: list[str] = []
    for line in lines:
        if line.strip():
            yield from blank
            blank.clear()
            yield line
        else:
            blank.append(line)


def parse_extxyz(text: str, limits: ReadLimits) -> Atoms:
    """Read an extxyz text with exactly one frame.

    ``initial_magmoms`` or ``magmoms`` become initial magnetic moments; constraints and results are left out.

    Raises:
        InvalidStructureError: it is malformed, has several frames, or is not periodic in all directions.
        TooLargeError: the frame declares more than ``limits.max_atoms`` atoms.

    """
    from ase.io import read

    check_count(_declared(text.split("\n", 1)[0], 1), limits)
    frames = list(split_frames(text.split("\n")))
    if len(frames) != 1:
        raise InvalidStructureError(
            f"holds {len(frames)} frames; expected one. To screen all of them, give this file as the input."
        )
    properties = _properties(frames[0].comment)
    try:
        atoms = read(StringIO(_isotopes_as_hydrogen(frames[0].text, properties)), index=0, format="extxyz")
    except KeyError as error:
        raise InvalidStructureError(
            f"{shorten(str(error), 40)} is not a chemical element or a known column."
        ) from error
    if not atoms.pbc.all():
        raise InvalidStructureError(
            "is not a periodic crystal: expected a Lattice, and pbc (if given) true in all three directions."
        )
    results = {} if atoms.calc is None else atoms.calc.results
    magmoms = atoms.arrays.get("initial_magmoms", results.get("magmoms"))
    return crystal(atoms.numbers, atoms.positions, atoms.cell.array, magmoms)


def _declared(line: str, number: int) -> int:
    """Return the number of atoms that the first line of a frame declares."""
    word = line.strip()
    if not word.isdecimal() or len(word) > 15:
        raise InvalidStructureError(f"line {number} is {shorten(word, 40)!r}; expected the number of atoms of a frame.")
    return int(word)


def _properties(comment: str) -> str:
    """The columns of the atoms; refused without positions, for which ASE puts every atom at the origin."""
    from ase.io.extxyz import key_val_str_to_dict

    properties = str(key_val_str_to_dict(comment).get("Properties", "species:S:1:pos:R:3"))
    if "pos:R:3" not in properties:
        raise InvalidStructureError(f"Properties is {shorten(properties, 60)!r}; expected it to hold pos:R:3.")
    return properties


def _isotopes_as_hydrogen(text: str, properties: str) -> str:
    """The text of a frame with H for D and T in the column of species, since ASE does not know them."""
    before, found, _ = properties.partition("species:")
    if not found:
        return text
    n_before = sum(int(count) for count in before.split(":")[2::3])
    count, comment, atoms = text.split("\n", 2)
    isotope = rf"^([^\S\n]*(?:\S+[^\S\n]+){{{n_before}}})[{''.join(HYDROGEN_ISOTOPES)}](?=\s)"
    return "\n".join((count, comment, re.sub(isotope, r"\1H", atoms, flags=re.MULTILINE)))


def raw_value(comment: str, key: str) -> str | None:
    """Return a value as it is written, since ASE reads ``id=001`` as the number 1 and ``id="1 2"`` as an array."""
    for match in _PAIR.finditer(comment):
        found, *values = match.groups()
        if found == key:
            return next(value for value in values if value is not None).replace('\\"', '"').strip()
    return None
