"""The contract of a potential as functions that anyone can run on their own.

>>> from uniscreen.potentials.testing import check_potential
>>> for result in check_potential(potential):
...     print(result.name, result.status, result.error, result.tolerance, result.unit, result.detail)
"""

from uniscreen.potentials.testing.contract import check_potential, checks, checks_for, training_checks
from uniscreen.potentials.testing.result import Check, CheckResult, ExpectedFailure
from uniscreen.potentials.testing.structures import contract_structures
from uniscreen.potentials.testing.tolerances import FLOAT32, FLOAT64, Tolerances, precision

__all__ = [
    "FLOAT32",
    "FLOAT64",
    "Check",
    "CheckResult",
    "ExpectedFailure",
    "Tolerances",
    "check_potential",
    "checks",
    "checks_for",
    "contract_structures",
    "precision",
    "training_checks",
]
