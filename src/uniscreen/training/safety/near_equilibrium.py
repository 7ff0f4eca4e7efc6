"""Near equilibrium nothing is torn apart: forces are small, and a crystal keeps its symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.result import RelaxationSettings
from uniscreen.training.safety.parents import symmetry
from uniscreen.training.safety.result import Measurement, NotRun

if TYPE_CHECKING:
    from uniscreen.relaxation.result import Relaxation
    from uniscreen.training.safety.parents import Symmetry
    from uniscreen.training.safety.subject import Subject

NEAR = 3.0
"""eV/Å: a frame with a larger reference force is not near equilibrium, whatever the potential says."""

RATTLE = 0.02
"""Å, standard deviation of each coordinate: the stiffest bonds (50 eV/Å² for O-H) then pull with 4 eV/Å at most."""

RATTLES = 5

KICK = 0.01
"""Å, far within the tolerance for the symmetry, and enough to leave a saddle point by."""

SETTINGS = RelaxationSettings(fmax=0.01, max_steps=500)


def largest_force(subject: Subject) -> tuple[Measurement]:
    """The largest force on an atom, eV/Å, over rattled copies of the structures near equilibrium."""
    chosen = [one for one in subject.equilibria if one.max_force is None or one.max_force < NEAR]
    if not chosen:
        lowest = min(one.max_force for one in subject.equilibria if one.max_force is not None)
        raise NotRun(f"no structure is near equilibrium: the frames of lowest energy have forces of {lowest:.1f} eV/Å")
    rattled, places = [], []
    for one in chosen:
        for seed in range(RATTLES):
            atoms = one.atoms.copy()
            atoms.rattle(RATTLE, seed=seed)
            rattled.append(atoms)
            places.append(one.place)
    forces = [float(np.linalg.norm(r.forces, axis=1).max()) for r in subject.potential.evaluate(rattled)]
    worst = int(np.argmax(forces)) if np.isfinite(forces).all() else int(np.flatnonzero(~np.isfinite(forces))[0])
    return (Measurement(forces[worst], f"{len(rattled)} structures rattled by {RATTLE} Å; at {places[worst]}"),)


def symmetry_lost(subject: Subject) -> tuple[Measurement]:
    """How many symmetric crystals have fewer operations of symmetry once they are relaxed."""
    crystals = [one for one in subject.equilibria if one.is_parent]
    before = [symmetry(one.atoms) for one in crystals]
    if not crystals:
        raise NotRun("no frame of lowest energy is a symmetric crystal, or one that is displaced by thermal motion")
    kicked = [one.atoms.copy() for one in crystals]
    for atoms in kicked:
        atoms.rattle(KICK, seed=0)
    relaxed = relax(subject.potential, kicked, SETTINGS)
    changes = [_lost(old, end) for old, end in zip(before, relaxed, strict=True)]
    lost = [f"{one.formula}: {what}" for one, what in zip(crystals, changes, strict=True) if what]
    kept = ", ".join(f"{one.formula} {old}" for one, old in zip(crystals, before, strict=True))
    return (Measurement(len(lost), "; ".join(lost) if lost else f"kept after a kick of {KICK} Å: {kept}"),)


def _lost(before: Symmetry | None, relaxation: Relaxation) -> str:
    """What happened to a crystal's symmetry; empty if it was kept, or grew."""
    if relaxation.status != "ok":
        return f"{before}, {relaxation.status}: {relaxation.reason}"
    after = symmetry(relaxation.atoms)
    if before is None or after is None:
        return f"{before} became {after}"
    kept = after.number == before.number or after.operations > before.operations
    return "" if kept else f"{before} became {after}"
