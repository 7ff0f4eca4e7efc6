"""Checks of forces and stress against finite differences of the energy, and of the energy where an edge appears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.potentials.testing.result import Deviation, Subject
from uniscreen.potentials.testing.structures import LOW_SYMMETRY
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

SEARCH = 1.5
"""Å on each side of the cutoff in which a pair of atoms is looked for that is to cross it."""


def forces_are_derivatives(subject: Subject) -> Iterator[Deviation]:
    """Forces are minus the derivative of the energy: central finite differences, for every atom and direction."""
    h = subject.tolerances.displacement
    for name in LOW_SYMMETRY:
        atoms = subject.structures[name]
        displaced = []
        for atom, direction in np.ndindex(len(atoms), 3):
            for step in (h, -h):
                displaced.append(atoms.copy())
                displaced[-1].positions[atom, direction] += step
        energy = subject.energies(displaced).reshape(len(atoms), 3, 2)
        numerical = (energy[..., 1] - energy[..., 0]) / (2 * h)
        error = np.abs(subject.alone([atoms])[0].forces - numerical).max()
        yield Deviation(float(error), subject.tolerances.force_derivative, "eV/Å", name)


def stress_is_derivative(subject: Subject) -> Iterator[Deviation]:
    """Stress is the derivative of the energy by a symmetric strain over the volume: central finite differences."""
    h = subject.tolerances.strain
    for name in LOW_SYMMETRY:
        atoms = subject.structures[name]
        directions = [_symmetric(i, j) for i in range(3) for j in range(i, 3)]
        strained = []
        for direction in directions:
            for step in (h, -h):
                strained.append(atoms.copy())
                strained[-1].set_cell(atoms.cell.array @ (np.eye(3) + step * direction), scale_atoms=True)
        energy = subject.energies(strained).reshape(-1, 2)
        numerical = (energy[:, 0] - energy[:, 1]) / (2 * h * atoms.get_volume())
        stress = subject.alone([atoms])[0].stress
        error = np.abs([(stress * direction).sum() for direction in directions] - numerical).max()
        yield Deviation(float(error), subject.tolerances.stress_derivative, "eV/Å³", name)


def smooth_at_cutoff(subject: Subject) -> Iterator[Deviation]:
    """The energy does not jump when two atoms come within the cutoff of each other, for each pair of elements.

    The crystal is scaled so that the pair is at the distances cutoff -3h, -h, +h, +3h. A jump J of the energies E at
    the cutoff makes their third difference E(3h) - 3 E(h) + 3 E(-h) - E(-3h) equal to -2 J; a smooth energy has only
    8 h³ times its third derivative. Shorter cutoffs of a model's own, e.g. for angles, are not looked at.
    """
    h = subject.tolerances.crossing
    cutoff = subject.potential.card.cutoff
    for name in LOW_SYMMETRY:
        atoms = subject.structures[name]
        for elements, distance in _distances_near(atoms, cutoff).items():
            path = [_scaled(atoms, (cutoff + step) / distance) for step in (-3 * h, -h, h, 3 * h)]
            jump = abs(subject.energies(path) @ [-1, 3, -3, 1]) / 2
            yield Deviation(float(jump), subject.tolerances.energy_jump, "eV", f"{elements} of {name}")


def _symmetric(i: int, j: int) -> np.ndarray:
    """The (3, 3) symmetric strain with ones at i, i or halves at i, j and j, i."""
    direction = np.zeros((3, 3))
    direction[i, j] += 0.5
    direction[j, i] += 0.5
    return direction


def _distances_near(atoms: Atoms, cutoff: float) -> dict[str, float]:
    """For each pair of elements the distance (Å) of two atoms that is nearest the cutoff."""
    graph = AtomicGraph.from_atoms([atoms], cutoff + SEARCH)
    lengths = graph.edge_vectors.norm(dim=1).numpy()
    ends = graph.edge_index.T.numpy()
    found: dict[str, float] = {}
    for edge in np.argsort(np.abs(lengths - cutoff), kind="stable"):
        found.setdefault("-".join(sorted(atoms.symbols[ends[edge]])), float(lengths[edge]))
    return found


def _scaled(atoms: Atoms, factor: float) -> Atoms:
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell.array * factor, scale_atoms=True)
    return scaled
