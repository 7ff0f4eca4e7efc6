"""How near atoms are to each other, in units of their radii."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.neighborlist import neighbor_list

from uniscreen.potentials.testing.structures import radius

if TYPE_CHECKING:
    from ase import Atoms


def shortest_contact(atoms: Atoms, fraction: float) -> str | None:
    """In words, two atoms nearer than a fraction of the sum of their radii; None if there are none."""
    radii = np.array([radius(symbol) for symbol in atoms.symbols])
    reach = {
        (a, b): fraction * (radius(a) + radius(b)) for a in set(atoms.symbols) for b in set(atoms.symbols) if a <= b
    }
    i, j, distance = neighbor_list("ijd", atoms, reach)
    if len(i) == 0:
        return None
    k = int(np.argmin(distance / (radii[i] + radii[j])))
    return f"{atoms.symbols[i[k]]} and {atoms.symbols[j[k]]} are {distance[k]:.2f} Å apart"
