"""Turning or moving a structure as a whole changes no energy, and turns the forces with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.potentials.testing.structures import LOW_SYMMETRY, contract_structures
from uniscreen.potentials.testing.symmetries import RIGID_SHIFT, TURN
from uniscreen.training.safety.result import Measurement

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.training.safety.subject import Subject

MAX_STRUCTURES = 10
"""Structures of the data, evenly spread over it."""


def rotation(subject: Subject) -> tuple[Measurement, Measurement]:
    """The largest change of the energy per atom and of a force component, in the frame of the structure, by a turn."""
    structures, which = _structures(subject)
    turned = [_turned(atoms) for atoms in structures]
    return _changes(subject, structures, turned, TURN, f"{which}, turned about an oblique axis")


def translation(subject: Subject) -> tuple[Measurement, Measurement]:
    """The largest change of the energy per atom and of a force component by moving all atoms alike."""
    structures, which = _structures(subject)
    moved = [atoms.copy() for atoms in structures]
    for atoms in moved:
        atoms.positions += RIGID_SHIFT
    return _changes(subject, structures, moved, np.eye(3), f"{which}, all atoms moved by {RIGID_SHIFT.tolist()} Å")


def _structures(subject: Subject) -> tuple[list[Atoms], str]:
    """Structures without symmetry, and what they are in words."""
    if subject.data:
        pairs = subject.pairs
        chosen = np.unique(np.linspace(0, len(pairs) - 1, MAX_STRUCTURES).astype(int))
        return [pairs[k][0].atoms for k in chosen], f"{len(chosen)} structures of the data"
    card = subject.potential.card
    built = contract_structures(card.tuned_elements or card.elements)
    return [built[name] for name in LOW_SYMMETRY], f"{len(LOW_SYMMETRY)} built structures"


def _turned(atoms: Atoms) -> Atoms:
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ TURN.T)
    turned.positions = atoms.positions @ TURN.T
    return turned


def _changes(
    subject: Subject, before: list[Atoms], after: list[Atoms], turn: np.ndarray, where: str
) -> tuple[Measurement, Measurement]:
    """The largest changes, in meV/atom and meV/Å; ``turn`` (3, 3) is what forces must follow."""
    old, new = subject.potential.evaluate(before), subject.potential.evaluate(after)
    pairs = list(zip(old, new, strict=True))
    energy = float(np.max([abs(b.energy - a.energy) / len(a.forces) for a, b in pairs]))  # NaN if one of them is
    force = float(np.max([np.abs(b.forces - a.forces @ turn.T).max() for a, b in pairs]))
    return Measurement(1000 * energy, f"the largest change over {where}"), Measurement(
        1000 * force, "the largest change of a component, likewise"
    )
