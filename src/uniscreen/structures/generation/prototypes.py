"""Structure types, and candidates made from them by putting other elements on the sites of their namesake."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING, Any

from pymatgen.core import Lattice, Structure

from uniscreen.errors import InputError
from uniscreen.messages import did_you_mean
from uniscreen.structures.charges import seed_states
from uniscreen.structures.generation.substitution import substitute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from uniscreen.structures.charges import States
    from uniscreen.structures.generation.substitution import Dropped, Substituted

REPEATED: Dropped = "one element on two kinds of sites"


@dataclass(frozen=True)
class Prototype:
    """A structure type: the crystal that it is named after, and what its sites are called.

    ``sites``: the namesake's element by the name of the site (``A``, ``X``); each element is on one kind of sites.
    ``source``: where the crystal comes from.
    """

    name: str
    structure: Structure
    sites: Mapping[str, str]
    source: str

    @property
    def formula(self) -> str:
        """The formula in terms of the sites, e.g. ``A B X3``."""
        return " ".join(f"{site}{_count(self._amounts[element])}" for site, element in self.sites.items())

    @property
    def states(self) -> States | None:
        """Oxidation states of the namesake, by element."""
        return seed_states(self.structure.composition)

    def candidate_name(self, elements: Mapping[str, str]) -> str:
        """Name a crystal of this type with ``elements`` by site, e.g. ``KMgF3-perovskite``."""
        parts = [f"{elements[site]}{_count(self._amounts[element])}" for site, element in self.sites.items()]
        return f"{''.join(parts)}-{self.name.replace(':', '-')}"

    @property
    def _amounts(self) -> dict[str, float]:
        return dict(self.structure.composition.reduced_composition.get_el_amt_dict())


def decorations(
    prototype: Prototype, alternatives: Mapping[str, Sequence[str]], *, allow_unbalanced: bool = False
) -> Iterator[tuple[Mapping[str, str], Substituted | Dropped]]:
    """Yield every choice of elements for the sites, and the crystal or why there is none.

    ``alternatives``: elements by site; of more sites than the prototype has, the others are ignored.

    Raises:
        InputError: a site has no alternatives.
    """
    if missing := [site for site in prototype.sites if site not in alternatives]:
        raise InputError(
            f"Prototype {prototype.name} is {prototype.formula}: no elements for {', '.join(missing)}. "
            f"Give them, e.g. --elements {missing[0]}=Li,Na."
        )
    states = prototype.states
    for choice in product(*(alternatives[site] for site in prototype.sites)):
        elements = dict(zip(prototype.sites, choice, strict=True))
        if len(set(choice)) < len(choice):
            yield elements, REPEATED
            continue
        replaced = {prototype.sites[site]: element for site, element in elements.items()}
        yield elements, substitute(prototype.structure, states, replaced, allow_unbalanced=allow_unbalanced)


def find_prototype(name: str) -> Prototype:
    """Look a structure type up by its usual name or by its label in the AFLOW library.

    A label that several namesakes share is made definite by ``LABEL:FORMULA``. The sites of a type found by its label
    are called A, B, C ... as in the label.

    Raises:
        InputError: there is none, or there are several.
    """
    if name in (rows := _table()):
        return _named(name, rows[name])
    label, _, formula = name.partition(":")
    found = {key: row for key, row in _library().items() if key[0] == label and formula in ("", key[1])}
    if len(found) > 1:
        raise InputError(f"Several prototypes are {label}; give one of {', '.join(f'{a}:{b}' for a, b in found)}.")
    if not found:
        hint = did_you_mean(name.lower(), rows)
        raise InputError(
            f"Unknown prototype {name!r}.{hint} Known: {', '.join(rows)}, and the labels of the AFLOW library, e.g. "
            "AB_cF8_225_a_b."
        )
    (key,) = found
    structure = _library()[key]
    letters = "ABCDEFGHIJ"
    sites = dict(zip(letters, sorted(structure.composition.get_el_amt_dict()), strict=False))
    return Prototype(name, structure, sites, f"AFLOW {label}")


def named_prototypes() -> list[Prototype]:
    """All structure types that have a usual name, in the order of prototypes.toml."""
    return [_named(name, row) for name, row in _table().items()]


def _named(name: str, row: Mapping[str, Any]) -> Prototype:
    if "aflow" in row:
        structure = _library()[row["aflow"], row["namesake"]]
        return Prototype(name, structure, row["sites"], f"AFLOW {row['aflow']}")
    elements = [element for element, *_ in row["positions"]]
    positions = [position for _, *position in row["positions"]]
    lattice = Lattice.from_parameters(*row["cell"])
    structure = Structure.from_spacegroup(row["space_group"], lattice, elements, positions).get_primitive_structure()
    return Prototype(name, structure, row["sites"], row["source"])


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files("uniscreen.structures.generation").joinpath("prototypes.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _library() -> Mapping[tuple[str, str], Structure]:
    """The crystals of the AFLOW library by label and formula."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    found = {}
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure
        found[entry["tags"]["aflow"], structure.composition.reduced_formula] = structure
    return found


def _count(amount: float) -> str:
    return "" if amount == 1 else f"{amount:g}"
