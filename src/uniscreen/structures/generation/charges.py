"""Oxidation states: whether a composition can be neutral, and with which ions."""

from __future__ import annotations

from functools import lru_cache
from math import comb
from types import MappingProxyType
from typing import TYPE_CHECKING

from pymatgen.core import Composition, Element, Species

if TYPE_CHECKING:
    from collections.abc import Mapping

    States = Mapping[str, float]

MAX_COMBINATIONS = 100_000
"""Ways to share an element's states among the atoms of a formula; about a second, and few formulas have so many."""

PEROXIDE = -1.0
"""The state of oxygen in a peroxide; ICSD's list of common states has only -2."""


def neutral_states(composition: Composition, *, peroxide: bool = False) -> States | None:
    """Find the oxidation state of each element, averaged over its atoms, that makes the composition neutral.

    Of several assignments the one whose states are most frequent in the ICSD is taken, by pymatgen's
    ``Composition.oxi_state_guesses``, which also says which states an element has. A composition of metals only has no
    ions: all its states are 0. With ``peroxide`` all oxygen is -1. None: no assignment is neutral.
    """
    amounts = composition.get_el_amt_dict()
    if all(Element(symbol).is_metal for symbol in amounts):
        return dict.fromkeys(amounts, 0.0)
    return _guess(composition.reduced_formula, peroxide=peroxide)


def seed_states(composition: Composition) -> States | None:
    """As ``neutral_states``; what is neutral only as a peroxide is one."""
    return neutral_states(composition) or neutral_states(composition, peroxide=True)


def ions(states: States) -> list[str]:
    """Name the ions, cations first: ``Na+``, ``Fe3+``, ``Co2.67+``, ``O2-``; empty for a metal."""
    if not any(states.values()):
        return []
    ordered = sorted(states.items(), key=lambda item: item[1] < 0)
    return [f"{symbol}{_charge(state)}" for symbol, state in ordered]


def species(symbol: str, state: float) -> Species | Element:
    """Return the ion of an element whose state is an integer, rounded if it is an average; the element if it is 0."""
    charge = round(state)
    return Species(symbol, charge) if charge else Element(symbol)


@lru_cache(maxsize=65536)
def _guess(formula: str, *, peroxide: bool) -> States | None:
    """Take the most frequent neutral assignment; none where there would be too many to try."""
    composition = Composition(formula)
    ways = sum(comb(int(n) + len(_states(el)) - 1, int(n)) for el, n in composition.items())
    if ways > MAX_COMBINATIONS or (peroxide and "O" not in composition):
        return None
    guesses = composition.oxi_state_guesses({"O": [PEROXIDE]} if peroxide else None)
    return MappingProxyType(guesses[0]) if guesses else None


def _states(element: Element) -> tuple[int, ...]:
    return tuple(element.icsd_oxidation_states or element.common_oxidation_states)


def _charge(state: float) -> str:
    size = f"{abs(state):.3g}"
    sign = "" if state == 0 else "-" if state < 0 else "+"
    return f"{'' if size == '1' else size}{sign}"
