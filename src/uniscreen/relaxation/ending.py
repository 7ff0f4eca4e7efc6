"""What is left of a system when it leaves a batch, or is not let into one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import InvalidStructureError
from uniscreen.relaxation.result import Relaxation, RelaxationSettings, RelaxationStatus
from uniscreen.structures.graph import complete_cell

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

    from uniscreen.potentials.base import Evaluation
    from uniscreen.potentials.cards import ModelCard
    from uniscreen.relaxation.batch import System
    from uniscreen.structures.graph import AtomicGraph


def refusal(card: ModelCard, atoms: Atoms, settings: RelaxationSettings) -> tuple[RelaxationStatus, str] | None:
    """The status and the reason of a structure that cannot be relaxed as the settings say, if it is one."""
    if unknown := card.unsupported_elements(atoms.numbers):
        return "unsupported_element", f"{card.name} was not trained on {', '.join(unknown)}"
    try:
        complete_cell(atoms)
    except InvalidStructureError as error:
        return error.status, str(error)
    if settings.relax_cell and not atoms.cell.any(1).all():
        which = int(np.argmin(atoms.cell.any(1))) + 1
        return "failed", (
            f"lattice vector {which} is zero, so there is no cell to relax: give it one, or relax the atoms alone "
            "(relax_cell=False)"
        )
    return None


def ended_relaxation(
    system: System,
    graph: AtomicGraph,
    i: int,
    status: RelaxationStatus,
    reason: str,
    evaluation: Evaluation | None = None,
) -> Relaxation:
    """The end of system i of the batch, with its numbers where there are any."""
    start, stop = int(graph.ptr[i]), int(graph.ptr[i + 1])
    atoms = moved_atoms(system.atoms, graph.positions[start:stop], graph.cells[i])
    if evaluation is None:
        return Relaxation(system.key, status, reason, atoms, system.n_steps)
    assert evaluation.stress is not None
    max_stress = float(evaluation.stress[i].abs().max())
    energy_std, force_std = evaluation.energy_std, evaluation.force_std
    if evaluation.magnetic_moments is not None:
        atoms.set_initial_magnetic_moments(evaluation.magnetic_moments[start:stop].cpu().numpy())
    return Relaxation(
        system.key,
        status,
        reason,
        atoms,
        system.n_steps,
        initial_energy=system.initial_energy,
        energy=float(evaluation.energy[i]),
        max_force=float(evaluation.forces[start:stop].norm(dim=1).max()),
        max_stress=None if math.isnan(max_stress) else max_stress,
        energy_std=None if energy_std is None else float(energy_std[i]),
        max_force_std=None if force_std is None else float(force_std[start:stop].max()),
    )


def moved_atoms(atoms: Atoms, positions: Tensor, cell: Tensor) -> Atoms:
    """A copy of the atoms at new positions in a new cell, whatever constraints they have: none was heeded.

    Lattice vectors that the atoms do not have stay away.
    """
    moved = atoms.copy()
    moved.set_cell(np.where(atoms.cell.any(1)[:, None], cell.cpu().numpy(), 0.0), apply_constraint=False)
    moved.set_positions(positions.cpu().numpy(), apply_constraint=False)
    return moved
