"""How much a potential may miss the contract by, in each precision, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from uniscreen.potentials.base import Potential


@dataclass(frozen=True)
class Tolerances:
    """Largest errors and the steps of finite differences.

    ================== ========= ==========================================================================
    field              unit      of what
    ================== ========= ==========================================================================
    energy             eV/atom   two evaluations that must agree
    forces             eV/Å      the same
    stress             eV/Å³     the same, and its asymmetry
    magnetic_moments   μ_B       the same
    force_derivative   eV/Å      forces against finite differences of the energy
    stress_derivative  eV/Å³     stress against finite differences of the energy
    energy_jump        eV        the total energy as a pair of atoms crosses the cutoff
    displacement       Å         step of the finite differences for the forces
    strain                       step of the finite differences for the stress
    crossing           Å         how far from the cutoff a crossing pair is; three times that at the ends
    ================== ========= ==========================================================================
    """

    energy: float
    forces: float
    stress: float
    magnetic_moments: float
    force_derivative: float
    stress_derivative: float
    energy_jump: float
    displacement: float
    strain: float
    crossing: float


FLOAT64 = Tolerances(
    energy=1e-6,
    forces=1e-5,
    stress=1e-6,
    magnetic_moments=1e-5,
    force_derivative=1e-4,
    stress_derivative=1e-4,
    energy_jump=1e-5,
    displacement=1e-4,
    strain=1e-5,
    crossing=2e-4,
)
"""Rounding is far below these; what is left is the third order of the finite differences."""

FLOAT32 = Tolerances(
    energy=1e-5,
    forces=1e-3,
    stress=1e-4,
    magnetic_moments=1e-3,
    force_derivative=1e-2,
    stress_derivative=1e-3,
    energy_jump=2e-4,
    displacement=3e-3,
    strain=1e-3,
    crossing=1e-3,
)
"""An energy of 10 eV/atom is rounded to 1e-6 eV in every term, and a difference of two over a step h has that over h.

So the steps are larger than those of float64, and the third order that a step leaves grows with its square.
"""

CUDA_ROUNDING = 1e-4
"""eV, eV/Å, eV/Å³, μ_B: two evaluations of one graph on a GPU, whose sums by atomic addition have no fixed order."""


def precision(potential: Potential) -> Literal["float32", "float64"]:
    """The precision that a potential computes in: its attribute ``dtype`` where it has one, else its card's."""
    dtype = str(getattr(potential, "dtype", potential.card.dtype)).removeprefix("torch.")
    return "float64" if dtype == "float64" else "float32"


def tolerances_of(potential: Potential) -> Tolerances:
    """The tolerances for the precision that a potential computes in."""
    return FLOAT64 if precision(potential) == "float64" else FLOAT32
