"""What comes out of a relaxation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.relaxation.optimisers import Optimiser

RelaxationStatus = Literal[
    "ok",
    "not_converged",
    "stopped_early",
    "exploded",
    "isolated_atoms",
    "unsupported_element",
    "invalid_structure",
    "too_large",
    "failed",
]

Watch = Callable[[int, int, float, float], str]
"""Told of a system after each of its steps: its key, the steps, its energy (eV) and the largest force left (eV/Å).

What it returns, if anything, is the reason to stop the system there. A step may be told of twice, and a system that
begins anew begins again at 0 steps.
"""


@dataclass(frozen=True)
class RelaxationSettings:
    """When a relaxation ends.

    ``fmax`` (eV/Å) bounds the force on every atom, in the frame of the crystal and in the undeformed one of ASE's
    FrechetCellFilter, and, as there, every row of the cell's log-strain gradient divided by the number of atoms (eV).
    ``max_steps`` optimiser steps; 0 evaluates only. Without ``relax_cell`` atoms move in the cell as given, and only
    they are judged.
    """

    fmax: float = 0.05
    max_steps: int = 500
    optimiser: Optimiser = "lbfgs"
    relax_cell: bool = True


@dataclass(frozen=True)
class Relaxation:
    """The end of one system's relaxation.

    ``atoms`` is the last structure that was reached; where a guard was broken, the one that broke it. ``energy`` is its
    total energy in eV, ``initial_energy`` that of the structure as it was given, ``max_force`` the largest force on an
    atom in eV/Å, ``max_stress`` the largest absolute component of the stress in eV/Å³; they are None where the status
    is none of ok, not_converged and stopped_early, ``max_stress`` also where the model gives none. Of a committee
    ``energy_std`` is the standard deviation of the members' energies in eV/atom, ``max_force_std`` the largest of the
    forces on an atom in eV/Å. ``reason`` says why it is not ok.
    """

    key: int
    status: RelaxationStatus
    reason: str
    atoms: Atoms
    n_steps: int
    initial_energy: float | None = None
    energy: float | None = None
    max_force: float | None = None
    max_stress: float | None = None
    energy_std: float | None = None
    max_force_std: float | None = None
