"""Candidates from known crystals: elements exchanged, charges balanced, the cell scaled to the new radii."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Literal

from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability
from pymatgen.core import Structure

from uniscreen.errors import InputError
from uniscreen.structures.charges import PEROXIDE, ions, neutral_states, seed_states, species
from uniscreen.structures.generation.volumes import rescaled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from uniscreen.structures.charges import States
    from uniscreen.structures.generation.volumes import VolumeSource

Dropped = Literal[
    "an element to replace is missing", "no neutral oxidation states", "one element on two kinds of sites"
]


@dataclass(frozen=True)
class Substituted:
    """A crystal made from a seed.

    ``replaced``: new element by old one. ``states``: average oxidation state by element, None where none are neutral.
    ``probability``: Hautier's, None where an ion is not in its tables. ``volume_from``: what its volume rests on.
    """

    structure: Structure
    replaced: Mapping[str, str]
    states: States | None
    probability: float | None
    volume_from: VolumeSource

    @property
    def label(self) -> str:
        """The exchange in a form fit for an id, e.g. ``Li-Na_Co-Fe``; empty if nothing was exchanged."""
        return "_".join(f"{old}-{new}" for old, new in self.replaced.items() if old != new)

    @property
    def ions(self) -> str:
        """The ions, e.g. ``Na+ Fe3+ O2-``; empty for a metal, or where no states are neutral."""
        return " ".join(ions(self.states or {}))


def parse_alternatives(options: Sequence[str], what: str) -> dict[str, tuple[str, ...]]:
    """Read options such as ``Li=Na,K`` into alternatives by what stands before the sign; each given once.

    ``what`` is the option's name, for errors.

    Raises:
        InputError: an option is not of this form, holds no element symbol where one belongs, or a name comes twice.
    """
    alternatives: dict[str, tuple[str, ...]] = {}
    for option in options:
        name, _, symbols = option.partition("=")
        name, found = name.strip(), tuple(symbol.strip() for symbol in symbols.split(","))
        if not name or not all(found):
            raise InputError(f"{what} {option!r}: expected a name, '=' and elements, e.g. {what} Li=Na,K.")
        if name in alternatives:
            raise InputError(f"{what} gives {name} twice; list all its elements in one, e.g. {what} {name}=Na,K.")
        for symbol in found:
            check_element(symbol, f"{what} {option!r}")
        alternatives[name] = tuple(dict.fromkeys(found))
    return alternatives


def check_element(symbol: str, where: str) -> None:
    """Check that there is an element of this symbol.

    Raises:
        InputError: there is none.
    """
    from ase.data import atomic_numbers

    if atomic_numbers.get(symbol, 0) < 1:
        raise InputError(f"{where}: {symbol!r} is not a chemical element; expected Li, O, Fe ...")


def substitutions(
    seed: Structure, alternatives: Mapping[str, Sequence[str]], *, allow_unbalanced: bool = False
) -> Iterator[Substituted | Dropped]:
    """Yield every combination of the alternatives in place of the seed's elements, or why there is none.

    All replacements are made at once and on all sites of an element, so that Li=Na with Na=Li swaps the two. A seed
    that lacks an element to replace gives none.

    ``seed``: an ordered crystal of elements without oxidation states. ``alternatives``: new elements by old one.
    """
    amounts = seed.composition.get_el_amt_dict()
    if not all(old in amounts for old in alternatives):
        yield "an element to replace is missing"
        return
    states = seed_states(seed.composition)
    for choice in product(*alternatives.values()):
        replaced = dict(zip(alternatives, choice, strict=True))
        yield substitute(seed, states, replaced, allow_unbalanced=allow_unbalanced)


def substitute(
    seed: Structure, old_states: States | None, replaced: Mapping[str, str], *, allow_unbalanced: bool = False
) -> Substituted | Dropped:
    """Replace elements of a seed with the oxidation states ``old_states``, and scale its cell.

    Oxygen that stays in a peroxide stays -1.
    """
    structure = Structure(
        seed.lattice, [replaced.get(site.specie.symbol, site.specie.symbol) for site in seed], seed.frac_coords
    )
    peroxide = "O" not in replaced and (old_states or {}).get("O") == PEROXIDE
    states = neutral_states(structure.composition, peroxide=peroxide)
    if states is None and not allow_unbalanced:
        return "no neutral oxidation states"
    scaled, source = rescaled(structure, states or {}, seed, old_states or {})
    probability = None
    if states is not None and old_states is not None:
        probability = _probability(old_states, states, replaced)
    return Substituted(scaled, dict(replaced), states, probability, source)


def _probability(old: States, new: States, replaced: Mapping[str, str]) -> float | None:
    """Compute the probability that the ions of a crystal can be exchanged, given the old ones.

    Source: Hautier et al., Inorg. Chem. 50, 656 (2011), doi:10.1021/ic102031h, with pymatgen's tables. None if an ion
    has a fractional state or is not in the tables.
    """
    pairs = [((el, state), (replaced.get(el, el), new[replaced.get(el, el)])) for el, state in old.items()]
    if not all(state != 0 and float(state).is_integer() for pair in pairs for _, state in pair):
        return None
    table = _table()
    exchanged = [(species(*before), species(*after)) for before, after in pairs]
    if not all(ion in table.species for pair in exchanged for ion in pair):
        return None
    return prod(float(table.cond_prob(after, before)) for before, after in exchanged)


@cache
def _table() -> SubstitutionProbability:
    """Load the probabilities once; it takes a second."""
    return SubstitutionProbability()
