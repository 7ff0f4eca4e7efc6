"""Test crystals made of the elements that a model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc100
from ase.data import atomic_numbers, chemical_symbols, covalent_radii, vdw_radii
from ase.neighborlist import neighbor_list

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

ONE_ATOM = "one-atom cell"
BINARY = "rattled binary"
SLAB = "slab with vacuum"
TERNARY = "low-symmetry ternary"
SUPERCELL = "rattled supercell"

LOW_SYMMETRY = (BINARY, SLAB, TERNARY)
"""The small structures in which no force and no component of the stress vanishes by symmetry."""

METALS = ("Cu", "Al", "Ni", "Pd", "Ag", "Au", "Pt", "Fe", "Ti", "W", "Mo", "Na", "Si")
PAIRS = (("Na", "Cl"), ("Mg", "O"), ("Li", "F"), ("Ni", "Al"), ("Ti", "N"), ("Ga", "As"), ("Cu", "Au"))
TRIPLES = (("Sr", "Ti", "O"), ("La", "Mn", "O"), ("Cs", "Pb", "I"), ("Li", "Co", "O"), ("Ti", "Al", "N"))

NOBLE_GASES = ("He", "Ne", "Ar", "Kr", "Xe")
"""Bound by dispersion, so that their distances are those of van der Waals radii."""

UNKNOWN_RADIUS = 1.6
"""Å, for the elements (Bk and beyond) without a measured covalent radius."""

VACUUM = 8.0
"""Å on each side of the slab."""

RATTLE = 0.035
"""Standard deviation of the atoms' displacements over twice the smallest radius: 0.09 Å in copper."""

SHEAR = np.array([[1.02, 0.05, 0.0], [0.0, 1.0, -0.06], [0.03, 0.0, 0.99]])
"""Deforms a cell such that no two of its lengths or angles are equal."""


def contract_structures(elements: Collection[str]) -> dict[str, Atoms]:
    """Crystals of 1 to 64 atoms, off their equilibrium, that hold only the given elements.

    Known compounds where the elements allow, else their first elements put onto the same sites. A model of fewer than
    three elements gets the crystals with some sites shared. The same elements give the same crystals; each call gives
    fresh copies.

    Raises:
        InputError: no elements.
    """
    if not elements:
        raise InputError("No elements are given; the contract needs at least one to make test crystals of.")
    one = next((symbol for symbol in METALS if symbol in elements), _first(elements, 1)[0])
    two = next((pair for pair in PAIRS if set(pair) <= set(elements)), _first(elements, 2))
    three = next((triple for triple in TRIPLES if set(triple) <= set(elements)), _first(elements, 3))
    rock_salt = _at_contact(bulk("NaCl", "rocksalt", a=5.0), two)
    slab = fcc100(one, (1, 1, 3), a=2 * np.sqrt(2) * radius(one), vacuum=VACUUM)
    slab.pbc = True
    structures = {
        ONE_ATOM: bulk(one, "fcc", a=2 * np.sqrt(2) * radius(one)),
        BINARY: _sheared(rock_salt * (2, 1, 1)),
        SLAB: _sheared(slab),
        TERNARY: _sheared(_at_contact(_perovskite(), (three[0], three[1], *(three[2],) * 3))),
        SUPERCELL: rock_salt * (4, 4, 2),
    }
    for seed, name in enumerate((BINARY, SLAB, TERNARY, SUPERCELL)):
        atoms = structures[name]
        atoms.rattle(RATTLE * 2 * min(radius(symbol) for symbol in set(atoms.symbols)), seed=seed)
    return structures


def with_an_isolated_atom(elements: Collection[str], cutoff: float) -> list[Atoms]:
    """An atom alone in a box, and one far from a pair: both have no neighbour within the cutoff (Å)."""
    symbol = _first(elements, 1)[0]
    bond = min(2 * radius(symbol), 0.9 * cutoff)
    box = 3 * cutoff + bond
    far = Atoms([symbol] * 3, [[0, 0, 0], [bond, 0, 0], [bond / 2, box / 2, box / 2]], cell=[box] * 3, pbc=True)
    return [Atoms(symbol, cell=[box] * 3, pbc=True), far]


def radius(symbol: str) -> float:
    """Å, half the distance between two like atoms: covalent (Cordero et al. 2008), or van der Waals for a noble gas."""
    number = atomic_numbers[symbol]
    if symbol in NOBLE_GASES:
        return float(vdw_radii[number])
    missing = covalent_radii[0]  # what ASE puts where there is none
    known = number < len(covalent_radii) and covalent_radii[number] != missing
    return float(covalent_radii[number]) if known else UNKNOWN_RADIUS


def _first(elements: Collection[str], n: int) -> tuple[str, ...]:
    """The first n elements by atomic number, hydrogen and noble gases last; the last is repeated if there are fewer."""
    ordered = sorted(elements, key=lambda symbol: (symbol == "H" or symbol in NOBLE_GASES, atomic_numbers[symbol]))
    return tuple(ordered[min(i, len(ordered) - 1)] for i in range(n))


def _perovskite() -> Atoms:
    """ABX3 with five atoms, in the order A, B, X, X, X."""
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([chemical_symbols[1]] * 5, scaled_positions=sites, cell=[4.0] * 3, pbc=True)


def _at_contact(atoms: Atoms, symbols: tuple[str, ...]) -> Atoms:
    """The crystal with these symbols, scaled until the closest two atoms are at the sum of their radii."""
    filled = atoms.copy()
    filled.symbols[:] = list(symbols)
    radii = np.array([radius(symbol) for symbol in symbols])
    i, j, distance = neighbor_list("ijd", filled, 6.0)
    filled.set_cell(filled.cell.array * ((radii[i] + radii[j]) / distance).max(), scale_atoms=True)
    return filled


def _sheared(atoms: Atoms) -> Atoms:
    atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    return atoms
