"""A check of the contract, what it measures and what comes out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from uniscreen.potentials.testing.structures import contract_structures
from uniscreen.potentials.testing.tolerances import tolerances_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ase import Atoms

    from uniscreen.potentials.base import Potential, SystemResult

CheckStatus = Literal["passed", "failed", "expected failure"]


class CheckResult(NamedTuple):
    """The outcome of a check: its worst error against the tolerance of that quantity, and where that was.

    ``error`` is infinite where the check could not be carried out; ``detail`` then holds the exception.
    """

    name: str
    status: CheckStatus
    error: float
    tolerance: float
    unit: str
    detail: str


class ExpectedFailure(NamedTuple):
    """A check, by name, that a potential is known to fail, and why. It is a failure if the check passes after all."""

    check: str
    reason: str


class Deviation(NamedTuple):
    """How far one quantity is from what it must be."""

    error: float
    tolerance: float
    unit: str
    where: str

    @property
    def passed(self) -> bool:
        """Whether it is within the tolerance; NaN is not."""
        return self.error <= self.tolerance

    @property
    def badness(self) -> float:
        """The error in units of the tolerance, for finding the worst of many."""
        if math.isnan(self.error):
            return math.inf
        if self.tolerance == 0:
            return math.inf if self.error > 0 else 0.0
        return self.error / self.tolerance


class Subject:
    """The potential under test, the crystals that it is tested on, and the tolerances of its precision."""

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.structures = contract_structures(potential.card.elements)
        self.tolerances = tolerances_of(potential)

    def alone(self, structures: Sequence[Atoms]) -> list[SystemResult]:
        """Evaluate each structure in a batch of its own, so that no check but the one for batches depends on others."""
        return self.potential.evaluate(structures, batch_size=1)

    def energies(self, structures: Sequence[Atoms]) -> np.ndarray:
        """Total energies (eV) of structures, each evaluated alone."""
        return np.array([result.energy for result in self.alone(structures)])

    def compare(self, actual: SystemResult, expected: SystemResult, where: str) -> list[Deviation]:
        """Deviations of one evaluation from another that it must agree with."""
        allowed = self.tolerances
        energy = abs(actual.energy - expected.energy) / len(expected.forces)
        deviations = [
            Deviation(energy, allowed.energy, "eV/atom", f"energy, {where}"),
            Deviation(largest(actual.forces, expected.forces), allowed.forces, "eV/Å", f"forces, {where}"),
            Deviation(largest(actual.stress, expected.stress), allowed.stress, "eV/Å³", f"stress, {where}"),
        ]
        if actual.magnetic_moments is not None and expected.magnetic_moments is not None:
            error = largest(actual.magnetic_moments, expected.magnetic_moments)
            deviations.append(Deviation(error, allowed.magnetic_moments, "μ_B", f"magnetic moments, {where}"))
        return deviations


@dataclass(frozen=True)
class Check:
    """One promise of the contract: a name, and a function that measures how far a potential is from keeping it."""

    name: str
    measure: Callable[[Subject], Iterable[Deviation]]

    @property
    def summary(self) -> str:
        """What is promised, in a sentence."""
        return (self.measure.__doc__ or "").partition("\n")[0]

    def run(self, potential: Potential, expected: ExpectedFailure | None = None) -> CheckResult:
        """Carry the check out; whatever it raises is a failure, not an error."""
        try:
            worst = max(self.measure(Subject(potential)), key=lambda deviation: deviation.badness)
        except Exception as error:  # the boundary between checks: one must not stop the others
            worst = Deviation(math.inf, 0.0, "", f"{type(error).__name__}: {error}")
        status: CheckStatus = "passed" if worst.passed else "failed"
        detail = worst.where
        if expected is not None:
            status = "failed" if worst.passed else "expected failure"
            detail = f"no longer fails; expected: {expected.reason}" if worst.passed else expected.reason
        return CheckResult(self.name, status, float(worst.error), worst.tolerance, worst.unit, detail)


def largest(a: np.ndarray, b: np.ndarray) -> float:
    """The largest component of a difference; NaN if there is one, infinite if the shapes differ."""
    return float(np.abs(a - b).max(initial=0.0)) if a.shape == b.shape else math.inf
