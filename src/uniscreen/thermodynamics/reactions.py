"""Decomposition reactions in words: what one formula unit of a crystal falls into."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from uniscreen.thermodynamics.entries import CompetingEntry


def shares_by_formula(phases: Iterable[tuple[CompetingEntry, float]]) -> dict[str, float]:
    """Shares of the atoms by reduced formula, the largest first."""
    shares: dict[str, float] = {}
    for phase, share in phases:
        formula, _ = formula_unit(phase.amounts)
        shares[formula] = shares.get(formula, 0.0) + share
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def reaction(amounts: Mapping[str, float], phases: Sequence[tuple[CompetingEntry, float]]) -> str:
    """Write what one formula unit of ``amounts`` decomposes into, e.g. ``LiCoO2 -> 0.5 Li2O + 0.5 Co2O3``.

    ``phases``: each with its share of the atoms, together of the same composition; so the reaction is balanced. The
    formula unit is pymatgen's reduced formula.
    """
    formula, n_atoms = formula_unit(amounts)
    units = dict(formula_unit(phase.amounts) for phase, _ in phases)
    products = []
    for product, share in shares_by_formula(phases).items():
        coefficient = f"{share * n_atoms / units[product]:.4g}"
        products.append(product if coefficient == "1" else f"{coefficient} {product}")
    return f"{formula} -> {' + '.join(products)}"


def formula_unit(amounts: Mapping[str, float]) -> tuple[str, float]:
    """Reduced formula and the atoms in it; elements that are molecules are written as such (O2)."""
    return _formula_unit(tuple(amounts.items()))


@lru_cache(maxsize=65536)
def _formula_unit(amounts: tuple[tuple[str, float], ...]) -> tuple[str, float]:
    from pymatgen.core import Composition

    composition = Composition(dict(amounts))
    formula, factor = composition.get_reduced_formula_and_factor()
    return str(formula), float(composition.num_atoms / factor)
