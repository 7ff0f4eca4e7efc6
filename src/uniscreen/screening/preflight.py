"""What is checked of a structure before any time is spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import InvalidStructureError, IsolatedAtomsError, UnsupportedElementError
from uniscreen.relaxation.guards import MIN_DISTANCE, isolated_atoms
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.potentials.cards import ModelCard

MIN_VOLUME_PER_ATOM = 1.0
"""Å³. Diamond, the densest solid at ambient pressure, has 5.7."""

MIN_PLANE_SPACING = 0.1
"""Å. In a flatter cell the periodic images within the cutoff could not be enumerated."""


def preflight(atoms: Atoms, card: ModelCard) -> AtomicGraph:
    """Check that the model can be asked about these atoms; returns their neighbours, which are searched for here.

    Raises:
        UnsupportedElementError: an element that the model was not trained on.
        InvalidStructureError: two atoms on top of each other, or a cell that is nearly flat.
        IsolatedAtomsError: an atom without a neighbour within the model's cutoff.
    """
    if unknown := card.unsupported_elements(atoms.numbers):
        raise UnsupportedElementError(f"{card.name} was not trained on {', '.join(unknown)}")
    volume = atoms.get_volume() / len(atoms)
    if volume < MIN_VOLUME_PER_ATOM:
        raise InvalidStructureError(
            f"the volume is {volume:.3g} Å³ per atom, expected at least {MIN_VOLUME_PER_ATOM:g}; are the lengths in Å?"
        )
    spacing = float(1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0).max())
    if spacing < MIN_PLANE_SPACING:
        raise InvalidStructureError(
            f"the cell is nearly flat: lattice planes are {spacing:.3g} Å apart, "
            f"expected at least {MIN_PLANE_SPACING:g}; give a reduced cell"
        )
    graph = AtomicGraph.from_atoms([atoms], card.cutoff)
    shortest = float(graph.shortest_distances()[0])
    if shortest < MIN_DISTANCE:
        raise InvalidStructureError(
            f"two atoms are {shortest:.3f} Å apart, expected at least {MIN_DISTANCE:g} Å; "
            "is a site given twice or partially occupied?"
        )
    for reason in isolated_atoms(graph).values():
        raise IsolatedAtomsError(reason)
    return graph
