"""What the symbols and numbers of space groups stand for: settings of spglib's table, by their Hall number.

The table has the 530 settings of the International Tables: the axes, cell choices and origins of the 230 groups.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_SETTINGS = 530
MONOCLINIC = range(3, 16)

GLIDES_BEFORE_E = {
    39: "Abm2 Bma2 B2cm C2mb Cm2a Ac2m",
    41: "Aba2 Bba2 B2cb C2cb Cc2a Ac2a",
    64: "Cmca Ccmb Abma Acam Bbcm Bmab",
    67: "Cmma Cmmb Abmm Acmm Bmcm Bmam",
    68: "Ccca Ccca Cccb Cccb Abaa Abaa Acaa Acaa Bbcb Bbcb Bbab Bbab",
}
"""Symbols of the settings, in the table's order, from before the International Tables wrote e for a double glide."""

CHOICES = {
    "H": r"h(ex|exagonal)?(axes)?",
    "R": r"r(h|hombohedral)?(axes)?",
    "1": r"1|s|o1|origin(choice)?1",
    "2": r"2|z|o2|origin(choice)?2",
}
"""What stands behind a symbol for the axes of a rhombohedral group, or for an origin (S and Z in the ICSD)."""


class Setting(NamedTuple):
    """A setting: the number of its group, the table's name for its axes, cell or origin, and its Hall symbol."""

    number: int
    choice: str
    hall_symbol: str
    symbols: frozenset[str]


def settings_of_symbol(symbol: str) -> frozenset[int]:
    """The settings that a Hermann-Mauguin symbol may stand for: ``P 1 21/c 1``, ``P21/c``, ``F d -3 m :2``, ``R-3mH``.

    The symbol may be short or full. Empty: there is none.
    """
    plain = re.sub(r"[\s_]", "", symbol).lower()
    if found := _by_symbol().get(plain):
        return found
    for choice, words in CHOICES.items():
        if match := re.fullmatch(rf"(.+?)[:({{\[]*({words})[)}}\]]?", plain):
            named = _by_symbol().get(match[1], frozenset())
            if chosen := frozenset(k for k in named if settings()[k].choice.startswith(choice)):
                return chosen
    return frozenset()


def settings_of_hall_symbol(symbol: str) -> frozenset[int]:
    """The settings that have a Hall symbol, such as ``-R 3 2"``; empty: none has."""
    plain = _plain_hall(symbol)
    return frozenset(k for k, setting in settings().items() if _plain_hall(setting.hall_symbol) == plain)


def settings_of_number(number: int) -> frozenset[int]:
    """The settings of a group, by its number in the International Tables; empty: there is no such group."""
    return frozenset(k for k, setting in settings().items() if setting.number == number)


def usual_settings(number: int) -> frozenset[int]:
    """The settings that a number alone stands for; several where axes or the origin may be chosen."""
    first = min(settings_of_number(number), default=0)
    return frozenset(k for k in settings_of_number(number) if settings()[k].symbols & settings()[first].symbols)


def is_usual(setting: int) -> bool:
    """Whether a setting is the one that is meant where its symbol has others too.

    It has the axes of the group's first setting, or the unique axis b (of several in a monoclinic group, it is first).
    """
    number = settings()[setting].number
    return number in MONOCLINIC or setting in usual_settings(number)


def operations_of(setting: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The operations of a setting: rotations (m, 3, 3) and translations (m, 3), of fractional coordinates."""
    import spglib

    found = spglib.get_symmetry_from_database(setting)
    assert found is not None
    return np.asarray(found["rotations"], np.float64), np.asarray(found["translations"], np.float64)


@cache
def settings() -> dict[int, Setting]:
    """All settings, by their Hall number."""
    import spglib

    table: dict[int, Setting] = {}
    for hall in range(1, N_SETTINGS + 1):
        kind = spglib.get_spacegroup_type(hall)
        assert kind is not None
        # The first of several symbols is that of the group; in a monoclinic one only the others tell the axes.
        first, *others = kind.international.split("=")
        symbols = [kind.international_full, *(others or [first])]
        if kind.number in MONOCLINIC:
            symbols += [re.sub(r" 1(?= |$)", "", symbol.strip()) for symbol in symbols]
        if kind.number in GLIDES_BEFORE_E:
            before = sum(setting.number == kind.number for setting in table.values())
            symbols.append(GLIDES_BEFORE_E[kind.number].split()[before])
        plain = frozenset(re.sub(r"[\s_]", "", symbol).lower() for symbol in symbols)
        table[hall] = Setting(int(kind.number), kind.choice, kind.hall_symbol, plain)
    return table


@cache
def _by_symbol() -> dict[str, frozenset[int]]:
    table: dict[str, set[int]] = {}
    for hall, setting in settings().items():
        for symbol in setting.symbols:
            table.setdefault(symbol, set()).add(hall)
    return {symbol: frozenset(found) for symbol, found in table.items()}


def _plain_hall(symbol: str) -> str:
    return " ".join(symbol.replace("_", " ").replace("''", '"').lower().split())
