"""Structure types, each a function from elements or ions to a crystal.

Positions follow the type; where a type has a free ratio or coordinate, it is that of the type's namesake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, vdw_radii
from crystals import (
    Crystal,
    alloy_volume,
    axis,
    bond,
    crystal,
    fcc,
    hexagonal,
    metallic_radius,
    on_cubic,
    rhombohedral,
    symbol,
    tetragonal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ZERO, HALF, QUARTER, THREE_QUARTERS = (0.0,) * 3, (0.5,) * 3, (0.25,) * 3, (0.75,) * 3
FACES = [(0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)]
EDGES = [(0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5)]


@dataclass(frozen=True)
class Prototype:
    """A structure type: its name, its space group number, and what builds a member from elements or ions."""

    name: str
    space_group: int
    build: Callable[..., Crystal]


def fcc_element(x: str) -> Crystal:
    """Face-centred cubic metal."""
    return crystal(fcc(2 * math.sqrt(2) * metallic_radius(x)), **{x: [ZERO]})


def bcc_element(x: str) -> Crystal:
    """Body-centred cubic metal."""
    a = 4 / math.sqrt(3) * metallic_radius(x)
    return crystal(a / 2 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]), **{x: [ZERO]})


def hcp_element(x: str) -> Crystal:
    """Hexagonal close-packed metal with the ideal c/a."""
    a = 2 * metallic_radius(x)
    return crystal(hexagonal(a, a * math.sqrt(8 / 3)), **{x: [(1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)]})


def diamond(x: str) -> Crystal:
    """Diamond."""
    return crystal(fcc(4 / math.sqrt(3) * bond(x, x, 4)), **{x: [ZERO, QUARTER]})


def grey_arsenic(x: str) -> Crystal:
    """Grey arsenic (A7), a distorted octahedron: c/a 2.80 and height 0.227 are those of the prototype."""
    ratio, z = 2.80, 0.227
    a = bond(x, x, 6) / math.sqrt(1 / 3 + (ratio * (2 * z - 1 / 3)) ** 2)
    return crystal(rhombohedral(a, ratio * a), **{x: [axis(z), axis(-z)]})


def molecular(x: str) -> Crystal:
    """Return upright diatomic molecules in close-packed layers (beta oxygen), at van der Waals distance."""
    length, a = bond(x, x, 4), 2 * float(vdw_radii[atomic_numbers[x]])
    c = 3 * (length + a * math.sqrt(2 / 3))
    return crystal(rhombohedral(a, c), **{x: [axis(length / 2 / c), axis(-length / 2 / c)]})


def rocksalt(x: str, y: str) -> Crystal:
    """Rock salt."""
    return crystal(fcc(2 * bond(x, y, 6)), **{symbol(x): [ZERO], symbol(y): [HALF]})


def caesium_chloride(x: str, y: str) -> Crystal:
    """Caesium chloride."""
    a = 2 / math.sqrt(3) * bond(x, y, 8)
    return crystal(tetragonal(a, a), **{symbol(x): [ZERO], symbol(y): [HALF]})


def zincblende(x: str, y: str) -> Crystal:
    """Zinc blende."""
    return crystal(fcc(4 / math.sqrt(3) * bond(x, y, 4)), **{symbol(x): [ZERO], symbol(y): [QUARTER]})


def wurtzite(x: str, y: str) -> Crystal:
    """Wurtzite with regular tetrahedra."""
    a = math.sqrt(8 / 3) * bond(x, y, 4)
    sites = [[(1 / 3, 2 / 3, z), (2 / 3, 1 / 3, z + 0.5)] for z in (0.0, 0.375)]
    return crystal(hexagonal(a, a * math.sqrt(8 / 3)), **{symbol(x): sites[0], symbol(y): sites[1]})


def fluorite(x: str, y: str) -> Crystal:
    """Fluorite: `x` eight-coordinate, `y` four-coordinate."""
    a = 4 / math.sqrt(3) * bond(x, y, 8)
    return crystal(fcc(a), **{symbol(x): [ZERO], symbol(y): [QUARTER, THREE_QUARTERS]})


def antifluorite(x: str, y: str) -> Crystal:
    """Antifluorite: `x` four-coordinate if an ion; the bond is shared by eight neighbours if covalent."""
    a = 4 / math.sqrt(3) * bond(x, y, 4 if y.endswith("-") else 8)
    return crystal(fcc(a), **{symbol(x): [QUARTER, THREE_QUARTERS], symbol(y): [ZERO]})


def rutile(x: str, y: str) -> Crystal:
    """Rutile: c/a 0.644 and u 0.305 are those of the prototype."""
    ratio, u = 0.644, 0.305
    a = bond(x, y, 6) / (math.sqrt(2) * u)
    anions = [(u, u, 0), (1 - u, 1 - u, 0), (0.5 + u, 0.5 - u, 0.5), (0.5 - u, 0.5 + u, 0.5)]
    return crystal(tetragonal(a, ratio * a), **{symbol(x): [ZERO, HALF], symbol(y): anions})


def corundum(x: str, y: str) -> Crystal:
    """Corundum: c/a 2.73, z 0.352, x 0.306 and the mean bond of 0.402 a are those of the prototype."""
    ratio, z, u = 2.73, 0.352, 0.306 + 0.25
    a = bond(x, y, 6) / 0.402
    cations = [axis(z), axis(-z), axis(0.5 - z), axis(0.5 + z)]
    first, second = (u, (0.5 - u) % 1.0, 0.25), (1 - u, (u + 0.5) % 1.0, 0.75)
    anions = [tuple(np.roll(site, shift).tolist()) for site in (first, second) for shift in range(3)]
    return crystal(rhombohedral(a, ratio * a), **{symbol(x): cations, symbol(y): anions})


def ordered_rocksalt(x: str, y: str, z: str) -> Crystal:
    """Rock salt with alternating (001) layers of two cations."""
    a = bond(x, z, 6) + bond(y, z, 6)
    anions = [(0.5, 0.5, 0.0), (0.0, 0.0, 0.5)]
    return crystal(tetragonal(a / math.sqrt(2), a), **{symbol(x): [ZERO], symbol(y): [HALF], symbol(z): anions})


def ordered_zincblende(x: str, y: str, z: str) -> Crystal:
    """Zinc blende with alternating (001) layers of two cations."""
    a = 2 / math.sqrt(3) * (bond(x, z, 4) + bond(y, z, 4))
    sites = {symbol(x): [ZERO], symbol(y): [HALF], symbol(z): [(0.5, 0.0, 0.25), (0.0, 0.5, 0.75)]}
    return crystal(tetragonal(a / math.sqrt(2), a), **sites)


def layered(x: str, y: str, z: str) -> Crystal:
    """Return layered AMO2 (alpha-NaFeO2): the edge weighs M-O three to one over A-O."""
    guest, host = bond(x, z, 6), bond(y, z, 6)
    a = math.sqrt(2) * (0.75 * host + 0.25 * guest)
    half_guest, half_host = (math.sqrt(one**2 - a**2 / 3) for one in (guest, host))
    c = 6 * (half_guest + half_host)
    anion = 1 / 3 - half_host / c
    sites = {symbol(x): [HALF], symbol(y): [ZERO], symbol(z): [axis(anion), axis(-anion)]}
    return crystal(rhombohedral(a, c), **sites)


def perovskite(x: str, y: str, z: str) -> Crystal:
    """Cubic perovskite: the mean of the edges that the A-X and the B-X bonds ask for."""
    a = bond(x, z, 12) / math.sqrt(2) + bond(y, z, 6)
    return crystal(tetragonal(a, a), **{symbol(x): [HALF], symbol(y): [ZERO], symbol(z): EDGES})


def spinel(x: str, y: str, z: str) -> Crystal:
    """Return a normal spinel: edge and anion parameter are what its two bond lengths require."""
    p, octahedral = bond(x, z, 4) / math.sqrt(3), bond(y, z, 6)
    # octahedral² = 11/64 a² - 5/4 a p + 3 p², from the anion at (1/8 a + p) along [111]
    a = (5 / 4 * p + math.sqrt(25 / 16 * p**2 - 11 / 16 * (3 * p**2 - octahedral**2))) / (11 / 32)
    u = p / a + 0.25
    signs = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
    anions = [tuple(s * u for s in one) for one in signs] + [tuple(0.25 - s * u for s in one) for one in signs]
    octahedra = [(5 / 8, 5 / 8, 5 / 8), (5 / 8, 7 / 8, 7 / 8), (7 / 8, 5 / 8, 7 / 8), (7 / 8, 7 / 8, 5 / 8)]
    sites = {f"{symbol(x)}_A": [ZERO, QUARTER], f"{symbol(y)}_B": octahedra, symbol(z): anions}
    return on_cubic(fcc(a), a, **sites)


def half_heusler(x: str, y: str, z: str) -> Crystal:
    """Half-Heusler: `z` has eight covalent neighbours, four `x` and four `y`."""
    a = 4 / math.sqrt(3) * (bond(x, z, 8) + bond(y, z, 8)) / 2
    return crystal(fcc(a), **{x: [ZERO], y: [HALF], z: [QUARTER]})


def full_heusler(x: str, y: str, z: str) -> Crystal:
    """Full Heusler X2YZ (L2_1)."""
    a = (4 * alloy_volume(x, x, y, z)) ** (1 / 3)
    return crystal(fcc(a), **{x: [QUARTER, THREE_QUARTERS], y: [ZERO], z: [HALF]})


def b2(x: str, y: str) -> Crystal:
    """Return a B2 alloy."""
    a = alloy_volume(x, y) ** (1 / 3)
    return crystal(tetragonal(a, a), **{x: [ZERO], y: [HALF]})


def l1_2(x: str, y: str) -> Crystal:
    """Return an L1_2 alloy X3Y."""
    a = alloy_volume(x, x, x, y) ** (1 / 3)
    return crystal(tetragonal(a, a), **{x: FACES, y: [ZERO]})


PROTOTYPES = {
    "bcc": Prototype("bcc", 229, bcc_element),
    "fcc": Prototype("fcc", 225, fcc_element),
    "hcp": Prototype("hcp", 194, hcp_element),
    "diamond": Prototype("diamond", 227, diamond),
    "A7": Prototype("grey arsenic", 166, grey_arsenic),
    "molecular": Prototype("beta oxygen", 166, molecular),
    "rocksalt": Prototype("rock salt", 225, rocksalt),
    "CsCl": Prototype("caesium chloride", 221, caesium_chloride),
    "zincblende": Prototype("zinc blende", 216, zincblende),
    "wurtzite": Prototype("wurtzite", 186, wurtzite),
    "fluorite": Prototype("fluorite", 225, fluorite),
    "antifluorite": Prototype("antifluorite", 225, antifluorite),
    "rutile": Prototype("rutile", 136, rutile),
    "corundum": Prototype("corundum", 167, corundum),
    "ordered-rocksalt": Prototype("ordered rock salt", 123, ordered_rocksalt),
    "ordered-zincblende": Prototype("ordered zinc blende", 115, ordered_zincblende),
    "layered": Prototype("layered AMO2", 166, layered),
    "perovskite": Prototype("cubic perovskite", 221, perovskite),
    "spinel": Prototype("normal spinel", 227, spinel),
    "half-heusler": Prototype("half-Heusler", 216, half_heusler),
    "full-heusler": Prototype("full Heusler", 225, full_heusler),
    "B2": Prototype("B2", 221, b2),
    "L1_2": Prototype("L1_2", 221, l1_2),
}
