"""Chemical systems: sets of elements, and which of them cover which."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ChemicalSystem = frozenset[str]

MAX_ELEMENTS = 12
"""Elements of one system. Its 4095 subsystems are asked for by name; each further element doubles them."""


def parse_system(text: str) -> ChemicalSystem:
    """Read a chemical system such as ``Li-Co-O``.

    Raises:
        InputError: it is not elements joined by hyphens.

    """
    from pymatgen.core import Element

    symbols = text.strip().split("-")
    unknown = [symbol for symbol in symbols if not Element.is_valid_symbol(symbol) or symbol in ("D", "T")]
    if unknown:
        raise InputError(
            f"{text!r} is not a chemical system: {', '.join(map(repr, unknown))} is not an element. Expected elements "
            "joined by hyphens, e.g. Li-Co-O."
        )
    return frozenset(symbols)


def system_name(elements: Iterable[str]) -> str:
    """Name a system as the Materials Project does: in the order of the alphabet."""
    return "-".join(sorted(elements))


def maximal_systems(systems: Iterable[ChemicalSystem]) -> list[ChemicalSystem]:
    """Leave out each system that lies in another, whose entries include its own; in order of size, then name.

    Raises:
        InputError: a system has more than 12 elements.

    """
    kept: list[ChemicalSystem] = []
    covered: set[str] = set()
    for system in sorted(set(systems), key=lambda elements: (-len(elements), system_name(elements))):
        if system_name(system) not in covered:
            kept.append(system)
            covered.update(_within(system))
    return kept


def all_subsystems(systems: Iterable[ChemicalSystem]) -> list[str]:
    """Name every system within the given ones once, themselves included; smaller ones first.

    Raises:
        InputError: a system has more than 12 elements.

    """
    names = {name for system in systems for name in _within(system)}
    return sorted(names, key=lambda name: (name.count("-"), name))


def _within(system: ChemicalSystem) -> Iterator[str]:
    if len(system) > MAX_ELEMENTS:
        raise InputError(
            f"The chemical system {system_name(system)} has {len(system)} elements; competing entries are fetched "
            f"for at most {MAX_ELEMENTS}. Leave such candidates out, or give references by file."
        )
    elements = sorted(system)
    for size in range(1, len(elements) + 1):
        yield from map("-".join, combinations(elements, size))
