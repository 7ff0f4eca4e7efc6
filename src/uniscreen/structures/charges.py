"""Oxidation states: whether a composition can be neutral, and with which ions."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from pymatgen.analysis.bond_valence import PRIOR_PROB
from pymatgen.core import Composition, Element, Species

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    States = Mapping[str, float]

PEROXIDE = -1.0
"""The state of oxygen in a peroxide; ICSD's list of common states has only -2."""


def neutral_states(composition: Composition, *, peroxide: bool = False) -> States | None:
    """Find the oxidation state of each element, averaged over its atoms, that makes the composition neutral.

    Of several assignments the one whose states are most frequent in the ICSD is taken, as pymatgen's
    ``Composition.oxi_state_guesses`` does, but of a formula of any size. A composition of metals only, or of one
    element, has no ions: all its states are 0. With ``peroxide`` all oxygen is -1. None: no assignment is neutral.
    """
    amounts = composition.get_el_amt_dict()
    if len(amounts) == 1 or all(Element(symbol).is_metal for symbol in amounts):
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
    """Take the most frequent neutral assignment, element by element: for each charge so far only the best is kept."""
    amounts = Composition(formula).get_el_amt_dict()
    if peroxide and "O" not in amounts:
        return None
    best: dict[float, tuple[float, tuple[float, ...]]] = {0: (0, ())}  # by charge: frequency, charge of each element
    for symbol, n in amounts.items():
        own = _charges(symbol, int(n), (PEROXIDE,) if peroxide and symbol == "O" else _states(symbol))
        wider: dict[float, tuple[float, tuple[float, ...]]] = {}
        for charge, (frequency, charges) in best.items():
            for more, its in own.items():
                known = wider.get(charge + more)
                if known is None or frequency + its > known[0]:
                    wider[charge + more] = (frequency + its, (*charges, more))
        best = wider
    if 0 not in best:
        return None
    shares = zip(amounts.items(), best[0][1], strict=True)
    return MappingProxyType({symbol: charge / n for (symbol, n), charge in shares})


def _charges(symbol: str, n: int, states: Sequence[float]) -> dict[float, float]:
    """The charges that n atoms can have together, each with the sum of its states' frequencies, the highest."""
    frequencies = {state: PRIOR_PROB.get(Species(symbol, state), 0) for state in states}
    best: dict[float, float] = {0: 0}
    for _ in range(n):
        wider: dict[float, float] = {}
        for charge, frequency in best.items():
            for state, more in frequencies.items():
                wider[charge + state] = max(wider.get(charge + state, 0), frequency + more)
        best = wider
    return best


def _states(symbol: str) -> tuple[int, ...]:
    element = Element(symbol)
    return tuple(element.icsd_oxidation_states or element.common_oxidation_states)


def _charge(state: float) -> str:
    size = f"{abs(state):.3g}"
    sign = "" if state == 0 else "-" if state < 0 else "+"
    return f"{'' if size == '1' else size}{sign}"
