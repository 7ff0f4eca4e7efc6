"""Crystals built from published radii: the sizes of atoms and bonds, and the usual cells.

Sizes (Å) come from tables only, never from a measured or calculated crystal:

- ions: Shannon, Acta Cryst. A32, 751 (1976), by charge and coordination number, anions always six-coordinate;
- covalent bonds: Cordero et al., Dalton Trans. 2832 (2008), lengthened beyond four neighbours by Pauling's
  0.6 log10(coordination / 4) Å (J. Am. Chem. Soc. 69, 542 (1947));
- alloys: the sum of the close-packed volumes of the metallic radii (Zen's law).
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from pymatgen.core import Element, Species

ROMAN = {4: "IV", 6: "VI", 8: "VIII", 12: "XII"}


@dataclass(frozen=True)
class Crystal:
    """A fully periodic crystal: element symbols, lattice (3, 3) Å with vectors as rows, fractional (n, 3)."""

    symbols: tuple[str, ...]
    lattice: np.ndarray
    fractional: np.ndarray


def symbol(ion: str) -> str:
    """Return the element of an ion such as 'Co3+', or of a plain symbol."""
    return ion.rstrip("+-0123456789")


def ionic_radius(ion: str, coordination: int) -> float:
    """Return Shannon's radius; cobalt is low-spin as Co3+ and high-spin otherwise, as in its oxides."""
    spin = {"Co3+": "Low Spin"}.get(ion, "High Spin" if symbol(ion) == "Co" else "")
    return Species.from_str(ion).get_shannon_radius(ROMAN[coordination], spin)


def bond(left: str, right: str, coordination: int) -> float:
    """Return a bond length: of ions if `right` is an anion, of covalently bound atoms otherwise."""
    if right.endswith("-"):
        return ionic_radius(left, coordination) + ionic_radius(right, 6)
    single = sum(float(covalent_radii[atomic_numbers[one]]) for one in (left, right))
    return single + 0.6 * math.log10(coordination / 4)


def metallic_radius(element: str) -> float:
    """Return the twelve-coordinate metallic radius."""
    return float(Element(element).metallic_radius)


def alloy_volume(*elements: str) -> float:
    """Return the summed volume of close-packed spheres, in Å³."""
    return sum(4 * math.sqrt(2) * metallic_radius(one) ** 3 for one in elements)


def crystal(lattice: np.ndarray, **sites: list[tuple[float, ...]]) -> Crystal:
    """Return the crystal with these fractional sites; `Co_A` and `Co_B` are both Co."""
    symbols = [name.split("_")[0] for name, places in sites.items() for _ in places]
    return Crystal(tuple(symbols), lattice, np.array([place for places in sites.values() for place in places]))


def on_cubic(lattice: np.ndarray, a: float, **sites: list[tuple[float, ...]]) -> Crystal:
    """Return the crystal whose sites are given in units of the cubic edge `a` rather than of `lattice`."""
    plain = crystal(lattice, **sites)
    return Crystal(plain.symbols, lattice, plain.fractional * a @ np.linalg.inv(lattice) % 1.0)


def fcc(a: float) -> np.ndarray:
    """Return the primitive face-centred cubic lattice."""
    return a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])


def tetragonal(a: float, c: float) -> np.ndarray:
    """Return the primitive tetragonal lattice."""
    return np.diag([a, a, c])


def hexagonal(a: float, c: float) -> np.ndarray:
    """Return the hexagonal lattice."""
    return np.array([[a, 0, 0], [-a / 2, a * math.sqrt(3) / 2, 0], [0, 0, c]])


def rhombohedral(a: float, c: float) -> np.ndarray:
    """Return the primitive rhombohedral lattice of the hexagonal cell with edges `a` and `c`."""
    return np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3 @ hexagonal(a, c)


def axis(z: float) -> tuple[float, float, float]:
    """Return the site at hexagonal height `z` on the threefold axis, in rhombohedral coordinates."""
    return (z % 1.0,) * 3


def repeated(one: Crystal, times: int) -> Crystal:
    """Return the supercell with `times` cells along each vector, the copies of each atom together."""
    shifts = np.array(list(itertools.product(range(times), repeat=3)))
    symbols = tuple(element for element in one.symbols for _ in shifts)
    fractional = (one.fractional[:, None] + shifts).reshape(-1, 3) / times
    return Crystal(symbols, one.lattice * times, fractional)


def rattled(one: Crystal, seed: int, amplitude: float) -> Crystal:
    """Return the crystal with every coordinate moved by up to `amplitude` Å, the same way for each seed."""
    # random.Random promises the same stream in every Python; numpy's generators do not
    source = random.Random(seed)
    steps = np.array([source.uniform(-amplitude, amplitude) for _ in range(one.fractional.size)])
    moved = one.fractional + steps.reshape(-1, 3) @ np.linalg.inv(one.lattice)
    return Crystal(one.symbols, one.lattice, moved % 1.0)
