"""Fingerprints of crystals: which pairs a StructureMatcher need not see, and which it had better see first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

RADIUS = 3.0
"""Of the pair distances in a profile, in units of the cube root of the volume per atom; about 110 neighbours."""

N_BINS = 30

ROUNDING = 1e-6
"""Relative; what lengths may differ by in different computations of the same cell."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is compared instead of two crystals; nothing in it depends on cell, origin, orientation or order of atoms.

    Lengths are in units of the cube root of the volume per atom, so that crystals are compared at equal density.
    ``n_sites``: atoms in the primitive cell. ``edges`` (3,): its edges, ascending. ``minima`` (3,): the lengths of the
    three shortest independent lattice vectors. ``profile``: pair distances by pair of elements, smooth in them.
    """

    n_sites: int
    edges: NDArray[np.float64]
    minima: NDArray[np.float64]
    profile: NDArray[np.float32]


def fingerprint(primitive: Structure) -> Fingerprint:
    """Take the fingerprint of a crystal that is given in its reduced primitive cell."""
    from ase.geometry import minkowski_reduce

    unit = (primitive.volume / len(primitive)) ** (1 / 3)
    reduced, _ = minkowski_reduce(primitive.lattice.matrix)
    return Fingerprint(
        n_sites=len(primitive),
        edges=np.sort(primitive.lattice.abc) / unit,
        minima=np.sort(np.linalg.norm(reduced, axis=1)) / unit,
        profile=_profile(primitive, unit),
    )


def may_match(minima: NDArray[np.float64], edges: NDArray[np.float64], ltol: float) -> NDArray[np.bool_]:
    """Tell which of several crystals a StructureMatcher could match with one more, all of one number of sites.

    ``minima`` (k, 3) of the crystals that are given to ``StructureMatcher.fit`` first, ``edges`` (3,) of the one that
    is given second. False is certain: the matcher maps the second's edges on independent lattice vectors of the
    first, longer by at most ``ltol``, so that the first's i-th minimum is at most (1 + ltol) times the i-th edge.
    """
    return np.all(minima <= (1 + ltol) * (1 + ROUNDING) * edges, axis=1)


def _profile(structure: Structure, unit: float) -> NDArray[np.float32]:
    """Pair distances per atom and pair of elements, in bins, each shared between the two nearest ones."""
    kinds, kind = np.unique([site.specie.Z for site in structure], return_inverse=True)
    centres, neighbours, _, distances = structure.get_neighbor_list(RADIUS * unit)
    place = distances / (RADIUS * unit) * (N_BINS - 1)
    lower = np.minimum(place.astype(np.int64), N_BINS - 2)
    share = place - lower
    pair = kind[centres] * len(kinds) + kind[neighbours]
    size = len(kinds) ** 2 * N_BINS
    first = pair * N_BINS + lower
    counts = np.bincount(first, 1 - share, size) + np.bincount(first + 1, share, size)
    shells = np.arange(1, N_BINS + 1) ** 2  # far shells have more neighbours, which say less
    return (counts.reshape(-1, N_BINS) / shells / len(structure)).astype(np.float32).ravel()
