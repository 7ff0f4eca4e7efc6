"""All checks, and running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.errors import InputError
from uniscreen.messages import did_you_mean
from uniscreen.potentials.testing import derivatives, evaluation, refusals, symmetries, training
from uniscreen.potentials.testing.result import Check, CheckResult, ExpectedFailure
from uniscreen.potentials.trainable import TrainablePotential

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uniscreen.potentials.base import Potential


def checks() -> tuple[Check, ...]:
    """What every potential is held to, in the order in which it is checked."""
    return (
        Check("shapes", evaluation.shapes),
        Check("without-stress", evaluation.without_stress),
        Check("inputs-unchanged", evaluation.inputs_unchanged),
        Check("deterministic", evaluation.deterministic),
        Check("batch-equals-single", evaluation.batch_equals_single),
        Check("supercell", symmetries.supercell),
        Check("rotation", symmetries.rotation),
        Check("permutation", symmetries.permutation),
        Check("lattice-translation", symmetries.lattice_translation),
        Check("rigid-translation", symmetries.rigid_translation),
        Check("forces-are-derivatives", derivatives.forces_are_derivatives),
        Check("stress-is-derivative", derivatives.stress_is_derivative),
        Check("smooth-at-cutoff", derivatives.smooth_at_cutoff),
        Check("stress-symmetric", symmetries.stress_symmetric),
        Check("net-force", symmetries.net_force),
        Check("unknown-element", refusals.unknown_element),
        Check("isolated-atoms", refusals.isolated_atoms),
    )


def training_checks() -> tuple[Check, ...]:
    """What a trainable potential is held to besides."""
    return (
        Check("parameter-blocks", training.parameter_blocks),
        Check("reference-energies", training.reference_energies),
        Check("save-and-load", training.save_and_load),
        Check("loss-falls", training.loss_falls),
        Check("frozen-blocks", training.frozen_blocks),
    )


def checks_for(potential: Potential) -> tuple[Check, ...]:
    """The checks that apply to a potential."""
    return checks() + (training_checks() if isinstance(potential, TrainablePotential) else ())


def check_potential(potential: Potential, expected_failures: Iterable[ExpectedFailure] = ()) -> list[CheckResult]:
    """Run the checks that apply to a potential; a check that fails or raises does not stop the others.

    The test crystals hold only elements of the potential's card, and the tolerances are those of its precision.

    Raises:
        InputError: an expected failure of a check that does not exist.
    """
    expected = {failure.check: failure for failure in expected_failures}
    names = [check.name for check in checks_for(potential)]
    for unknown in expected.keys() - set(names):
        hint = did_you_mean(unknown, names)
        raise InputError(f"Unknown check {unknown!r} among the expected failures.{hint} Checks: {', '.join(names)}.")
    return [check.run(potential, expected.get(check.name)) for check in checks_for(potential)]
