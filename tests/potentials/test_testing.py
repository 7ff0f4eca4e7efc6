"""The shipped contract: a potential that keeps it passes, and each way of breaking it is caught by the check for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import broken_potentials as toys
import broken_trainables as learners
import numpy as np
import pytest
import torch
from ase.data import chemical_symbols
from ase.neighborlist import neighbor_list

from uniscreen.errors import InputError
from uniscreen.potentials import find_card
from uniscreen.potentials.testing import (
    FLOAT32,
    FLOAT64,
    ExpectedFailure,
    check_potential,
    checks,
    checks_for,
    contract_structures,
    precision,
    training_checks,
)
from uniscreen.potentials.testing.structures import radius

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Potential
    from uniscreen.potentials.testing import Check

MPTRJ = find_card("chgnet-0.3.0").elements

CAUGHT_BY = {
    toys.WithoutTheMomentsOfItsCard: "shapes",
    toys.SinglePrecisionForces: "shapes",
    toys.AlwaysGivesStress: "without-stress",
    toys.MovesTheAtoms: "inputs-unchanged",
    toys.LeavesGradientsOn: "inputs-unchanged",
    toys.Noisy: "deterministic",
    toys.FeelsTheBatch: "batch-equals-single",
    toys.FeelsTheNextSystem: "batch-equals-single",
    toys.NotExtensive: "supercell",
    toys.PrefersAnAxis: "rotation",
    toys.PrefersTheFirstAtom: "permutation",
    toys.SeesHowFarAtomsAreApart: "lattice-translation",
    toys.SeesWhereTheCrystalIs: "rigid-translation",
    toys.ForcesUphill: "forces-are-derivatives",
    toys.StressNotOverVolume: "stress-is-derivative",
    toys.CompressionPositive: "stress-is-derivative",
    toys.CutOffAtOnce: "smooth-at-cutoff",
    toys.TwistedStress: "stress-symmetric",
    toys.Drifting: "net-force",
    toys.TakesAnyElement: "unknown-element",
    toys.DoesNotNameTheElement: "unknown-element",
    toys.ListIndexErrorForUnknownElements: "unknown-element",
    toys.TakesIsolatedAtoms: "isolated-atoms",
    learners.ForgetsAParameter: "parameter-blocks",
    learners.HasAParameterInTwoBlocks: "parameter-blocks",
    learners.TrainsACopy: "parameter-blocks",
    learners.ForgetsAbsentElements: "reference-energies",
    learners.AddsReferencesOncePerCrystal: "reference-energies",
    learners.SavesInHalfPrecision: "save-and-load",
    learners.GoesOnWithItsOldWeights: "loss-falls",
    learners.ForcesWithoutAGradient: "loss-falls",
    learners.CountsItsUse: "frozen-blocks",
    learners.TrainsNothing: "frozen-blocks",
}


def failed(potential: Potential, *expected: ExpectedFailure) -> dict[str, str]:
    """The names of the checks that failed, and their details."""
    return {r.name: r.detail for r in check_potential(potential, expected) if r.status == "failed"}


def check(name: str) -> Check:
    return next(check for check in checks() + training_checks() if check.name == name)


@pytest.mark.parametrize("good", [toys.Good, learners.Learned])
def test_a_good_potential_passes_every_check(good: Callable[[], Potential]) -> None:
    results = check_potential(good())
    assert [result.name for result in results] == [check.name for check in checks_for(good())]
    for result in results:
        assert result.status == "passed", result
        assert result.error <= result.tolerance
        assert result.detail
        assert result.unit


@pytest.mark.parametrize("broken", CAUGHT_BY, ids=lambda broken: broken.__name__)
def test_each_broken_promise_is_caught_by_the_check_for_it(broken: Callable[[], Potential]) -> None:
    assert list(failed(broken())) == [CAUGHT_BY[broken]]


def test_every_check_catches_something_and_says_what_it_promises() -> None:
    every = checks() + training_checks()
    assert set(CAUGHT_BY.values()) == {check.name for check in every}
    assert len({check.name for check in every}) == len(every)
    for check in every:
        assert check.summary.endswith((".", ";", ")", "μ_B"))


def test_a_wrong_frame_is_caught() -> None:
    """A stress with its axes in another order neither turns with the crystal nor is the derivative."""
    assert set(failed(toys.StressInTheWrongFrame())) == {"rotation", "stress-is-derivative"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_chgnet_passes_every_check(dtype: str, loaded: Callable[..., Potential]) -> None:
    potential = loaded("chgnet-0.3.0", dtype)
    assert precision(potential) == dtype
    assert failed(potential) == {}


@pytest.mark.parametrize(
    ("broken", "detail"),
    [
        (toys.WithoutTheMomentsOfItsCard, "magnetic_moments is missing"),
        (toys.SinglePrecisionForces, "forces is torch.float32, expected torch.float64"),
        (toys.MovesTheAtoms, "changed: graph.positions"),
        (toys.LeavesGradientsOn, "changed: graph.cells"),
        (toys.FeelsTheNextSystem, "forces, "),
        (toys.ForcesUphill, "low-symmetry ternary"),
        (toys.TakesAnyElement, "a structure with H does not raise UnsupportedElementError"),
        (toys.DoesNotNameTheElement, "without naming H"),
        (toys.ListIndexErrorForUnknownElements, "raises IndexError instead of UnsupportedElementError"),
        (toys.TakesIsolatedAtoms, "an atom alone in a box does not raise IsolatedAtomsError"),
        (learners.ForgetsAParameter, "mix.bias is in no block"),
        (learners.HasAParameterInTwoBlocks, "mix.weight is in several blocks"),
        (learners.TrainsACopy, "copy is no parameter of the network"),
        (learners.ForgetsAbsentElements, "read back: Cl, Cu"),
        (learners.ForcesWithoutAGradient, "forces cannot be trained on"),
        (learners.CountsItsUse, "embedding: used changed"),
        (learners.TrainsNothing, "embedding: nothing was trained"),
    ],
)
def test_details_say_what_is_wrong(broken: Callable[[], Potential], detail: str) -> None:
    assert detail in check(CAUGHT_BY[broken]).run(broken()).detail


def test_an_error_in_one_check_does_not_stop_the_others() -> None:
    results = {result.name: result for result in check_potential(toys.RaisesForLargeBatches())}
    assert len(results) == len(checks())
    assert results["shapes"].status == "failed"
    assert results["shapes"].error == math.inf
    assert results["shapes"].detail == "ArithmeticError: too many atoms for me"
    assert results["rotation"].status == results["net-force"].status == "passed"


def test_not_a_number_passes_nothing_that_looks_at_numbers() -> None:
    passed = {r.name for r in check_potential(toys.NotANumber()) if r.status == "passed"}
    assert passed == {"inputs-unchanged", "unknown-element", "isolated-atoms"}


def test_no_elements_fail_every_check_rather_than_raise() -> None:
    potential = toys.Good()
    potential.card = toys.replace(toys.CARD, elements=frozenset())
    assert len(failed(potential)) == len(checks())


def test_a_model_of_all_elements_is_noted() -> None:
    potential = toys.Good()
    potential.card = toys.replace(toys.CARD, elements=frozenset(chemical_symbols[1:]))
    result = check("unknown-element").run(potential)
    assert (result.status, result.detail) == ("passed", "the model knows every element")


def test_only_trainable_potentials_are_held_to_training() -> None:
    assert checks_for(toys.Good()) == checks()
    assert checks_for(learners.Learned()) == checks() + training_checks()


def test_checking_leaves_a_trainable_potential_as_it_was() -> None:
    potential = learners.Learned()
    before = {name: value.clone() for name, value in potential.model.state_dict().items()}
    references = potential.reference_energies
    check_potential(potential)
    assert all(torch.equal(value, before[name]) for name, value in potential.model.state_dict().items())
    assert potential.reference_energies == references


def test_an_expected_failure_has_its_reason_and_is_not_a_failure() -> None:
    expected = ExpectedFailure("forces-are-derivatives", "forces are predicted directly")
    results = {result.name: result for result in check_potential(toys.ForcesUphill(), [expected])}
    assert results["forces-are-derivatives"].status == "expected failure"
    assert results["forces-are-derivatives"].detail == "forces are predicted directly"
    assert results["forces-are-derivatives"].error > 0.1
    assert failed(toys.ForcesUphill(), expected) == {}


def test_an_expected_failure_that_passes_is_a_failure() -> None:
    expected = ExpectedFailure("net-force", "never mended")
    assert failed(toys.Good(), expected) == {"net-force": "no longer fails; expected: never mended"}


def test_an_expected_failure_of_no_check_is_refused() -> None:
    with pytest.raises(InputError, match=r"Unknown check 'net_force'.*Did you mean 'net-force'\?.*shapes"):
        check_potential(toys.Good(), [ExpectedFailure("net_force", "")])


def test_precision_is_that_of_the_potential_or_else_of_its_card() -> None:
    potential = toys.Good()
    assert precision(potential) == "float64"
    potential.dtype = torch.float32
    assert precision(potential) == "float32"
    for name in ("energy", "forces", "stress", "force_derivative", "stress_derivative", "energy_jump"):
        assert getattr(FLOAT64, name) < getattr(FLOAT32, name)


ELEMENTS = [MPTRJ, {"H", "Cu"}, {"Si"}, {"Ar"}, {"H"}, {"He", "H"}, {"Og"}, {"Cs", "Pb", "I"}, {"U", "O", "H"}]


@pytest.mark.parametrize("elements", ELEMENTS, ids=lambda elements: "-".join(sorted(elements)[:3]))
def test_structures_hold_known_elements_at_sensible_distances(elements: set[str]) -> None:
    structures = contract_structures(elements)
    sizes = [len(atoms) for atoms in structures.values()]
    assert min(sizes) == 1
    assert 50 <= max(sizes) <= 100
    for name, atoms in structures.items():
        assert set(atoms.symbols) <= set(elements)
        assert atoms.pbc.all()
        i, j, distance = neighbor_list("ijd", atoms, 6.0)
        contact = np.array([radius(a) + radius(b) for a, b in zip(atoms.symbols[i], atoms.symbols[j], strict=True)])
        assert 0.6 < (distance / contact).min() < 1.1, name
    if len(elements) <= 3:
        assert set().union(*(set(atoms.symbols) for atoms in structures.values())) == set(elements)


def test_structures_are_known_compounds_where_there_are() -> None:
    formulas = [atoms.get_chemical_formula() for atoms in contract_structures(MPTRJ).values()]
    assert formulas == ["Cu", "Cl2Na2", "Cu3", "O3SrTi", "Cl32Na32"]


def test_structures_are_the_same_every_time_and_fresh() -> None:
    once, again = contract_structures(MPTRJ), contract_structures(sorted(MPTRJ))
    assert once == again
    once["one-atom cell"].positions += 1.0
    assert again == contract_structures(MPTRJ)


def test_no_elements_give_no_structures() -> None:
    with pytest.raises(InputError, match="No elements"):
        contract_structures(set())
