"""Every check passes for a sound potential and fails for the one that has its fault."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from pair_potentials import (
    Broken,
    ForgotNickel,
    KnowsWhereItIs,
    Morse,
    NotANumber,
    NotTuned,
    PrefersAnAxis,
    ReferencesMoved,
    Rough,
    Shifted,
    Soft,
    Twisting,
    Uphill,
    WithAHole,
    WithAWideHole,
)

from uniscreen.relaxation.inflight import relax
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.safety import MeanErrors, accuracy, is_safe, run_checks
from uniscreen.training.safety.checklist import PROBES
from uniscreen.training.safety.subject import Subject

MD_PS = 0.2


def label(structures, potential):
    """Every structure is of another kind than the one before."""
    results = potential.evaluate(structures)
    return [
        LabelledStructure(atoms, result.energy, result.forces, result.stress, ("even", "odd")[k % 2], f"frame {k}")
        for k, (atoms, result) in enumerate(zip(structures, results, strict=True), start=1)
    ]


def rattled(structure, n):
    copies = [structure.copy() for _ in range(n)]
    for seed, atoms in enumerate(copies):
        atoms.rattle(0.08, seed=seed)
    return copies


@pytest.fixture(scope="module")
def data():
    """Copper at rest and displaced."""
    rest = relax(Morse(), [bulk("Cu", "fcc", a=3.6, cubic=True)])[0].atoms
    return label([rest, *rattled(rest * (2, 1, 1), 5)], Morse())


@pytest.fixture(scope="module")
def sample():
    """Crystals of all three elements."""
    alloys = [bulk("Cu", "fcc", a=3.6, cubic=True) for _ in range(6)]
    for k, atoms in enumerate(alloys):
        atoms.symbols[: k % 3 + 1] = ("Ni", "Al")[k % 2]
    return label([one for atoms in alloys for one in rattled(atoms, 2)], Morse())


@pytest.fixture
def check(data, sample):
    """Run the list, and return its rows by name."""

    def run(potential, structures=data, **given):
        given = {"training_errors": MeanErrors(1.0, 10.0), "pretrained": NotTuned(), "sample": sample} | given
        return {row.name: row for row in run_checks(potential, structures, md_ps=MD_PS, **given)}

    return run


@pytest.fixture
def accuracy_of(data):
    """The rows of the list that are about errors, by name."""

    def run(potential, training_errors):
        subject = Subject(potential, data, training_errors, None, None, MD_PS)
        probes = [probe for probe in PROBES if probe.measure in (accuracy.over_training, accuracy.errors)]
        return {row.name: row for probe in probes for row in probe.run(subject)}

    return run


def failed(rows):
    return {name for name, row in rows.items() if row.status == "fail"}


def test_a_sound_potential_passes_everything_and_the_list_is_plain_values(check):
    rows = check(Morse())
    assert {name: row.status for name, row in rows.items()} == dict.fromkeys(rows, "pass")
    assert rows["force slope"].value == pytest.approx(1)
    assert rows["symmetry lost in relaxing"].detail.endswith("Cu Fm-3m (225)")
    assert rows["elements outside the fine-tuning"].detail.endswith("never saw 2 of its 3 elements")
    first = json.dumps([row.as_dict() for row in rows.values()])
    assert first == json.dumps([row.as_dict() for row in check(Morse()).values()])
    assert list(json.loads(first)[0]) == ["name", "value", "unit", "limit", "status", "detail", "required"]


@pytest.mark.parametrize(
    ("fault", "rows"),
    [
        (Soft, {"force slope"}),
        (WithAHole, {"energy rises in approach to"}),
        (WithAWideHole, {"energy rises in compression to"}),
        (PrefersAnAxis, {"rotation: energy", "rotation: forces", "symmetry lost in relaxing"}),
        (KnowsWhereItIs, {"translation: energy"}),
        (Twisting, {"NVE drift", "rotation: forces"}),
        (Uphill, {"NVE drift", "symmetry lost in relaxing", "force slope"}),
        (Rough, {"largest force near equilibrium", "symmetry lost in relaxing"}),
        (ForgotNickel, {"forgetting: energy", "forgetting: forces"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_fault_fails_its_checks(check, fault, rows):
    found = check(fault())
    assert rows <= failed(found)
    assert is_safe(list(found.values())) == (fault is ForgotNickel)  # it is as good as before for its own system
    assert not is_safe(list(found.values()), strict=True)


def test_a_fault_fails_no_check_that_it_has_nothing_to_do_with(check):
    assert failed(check(ForgotNickel())) == {"forgetting: energy", "forgetting: forces"}
    assert failed(check(Twisting())) <= {"NVE drift", "rotation: forces", "symmetry lost in relaxing"}


def test_a_few_structures_of_another_kind_are_not_lost_in_the_mean(data):
    def worst(structures):
        (probe,) = (probe for probe in PROBES if probe.measure is accuracy.worst_group)
        return probe.run(Subject(Morse(), structures, None, None, None, MD_PS))[0]

    shifted = [replace(one, energy=one.energy + 0.03 * len(one.atoms), group="surface") for one in data[:2]]
    row = worst([*data[2:] * 5, *shifted])
    assert (row.status, row.value) == ("fail", pytest.approx(30))
    assert row.detail == "surface: 2 structures, -30.0 meV/atom on average; of 3 groups"
    for too_few in (data[::2], [replace(one, group=f"{k}") for k, one in enumerate(data)]):
        assert worst([*too_few, replace(data[0], group=None)]).status == "not run"


@pytest.mark.parametrize(("shift", "safe"), [(0.0005, True), (0.005, True), (0.02, False)])
def test_the_strict_limit_fails_only_where_it_is_asked_for(accuracy_of, shift, safe):
    by_name = accuracy_of(Shifted(shift), MeanErrors(1000 * shift, 10.0))
    rows = list(by_name.values())
    assert by_name["energy error"].value == pytest.approx(1000 * shift)
    assert "; 0.0 with the elements" in by_name["energy error"].detail
    assert is_safe(rows) is safe
    assert is_safe(rows, strict=True) is (shift < 0.001)


def test_errors_are_held_to_twice_those_in_training(accuracy_of):
    def row(errors):
        return accuracy_of(Shifted(0.005), errors)["energy error over that in training"]

    assert row(MeanErrors(2.6, 10.0)).status == "pass"
    assert row(MeanErrors(2.4, 10.0)).status == "fail"
    assert row(MeanErrors(2.4, 10.0)).value == pytest.approx(5 / 2.4)
    assert (row(MeanErrors(0.0, 10.0)).value, row(MeanErrors(0.0, 10.0)).status) == (None, "fail")


def test_new_reference_energies_are_not_taken_for_forgetting(check):
    rows = check(ReferencesMoved())
    assert rows["forgetting: energy"].value == pytest.approx(0, abs=1e-6)
    assert "errors 0.0 before, " in rows["forgetting: energy"].detail
    energies = {"energy error", "energy error, strict", "energy error, worst group"}
    assert failed(rows) == {*energies, "energy error over that in training"}


def test_what_either_of_the_two_cannot_evaluate_is_left_out_of_the_sample(check, data, sample):
    gold = replace(data[0], atoms=bulk("Au", "fcc", a=4.1, cubic=True))
    alone = replace(data[0], atoms=bulk("Cu", "fcc", a=20.0))
    n = len(sample)
    assert f" on {n} structures " in check(Morse(), sample=[*sample, gold, alone])["forgetting: forces"].detail
    assert check(Morse(), sample=[gold])["forgetting: forces"].status == "not run"


def test_data_with_another_element_than_the_fine_tunings_fail(check, data):
    nickel = data[0].atoms.copy()
    nickel.symbols[:] = "Ni"
    row = check(Morse(), [*data, *label([nickel], Morse())])["elements outside the fine-tuning"]
    assert (row.value, row.status) == (1, "fail")
    assert row.detail.startswith("the data hold Ni; tuned on Cu;")


def test_what_is_missing_is_said_in_every_row_that_is_not_run(check):
    rows = check(NotTuned(), [], training_errors=None, pretrained=None)
    run = {name for name, row in rows.items() if row.status != "not run"}
    assert run == {"rotation: energy", "rotation: forces", "translation: energy", "translation: forces"}
    assert rows["force slope"].detail == "needs labelled structures: --data FILE"
    assert rows["forgetting: forces"].detail.endswith("--against BASE")
    assert "finetune" in rows["force error over that in training"].detail
    assert rows["elements outside the fine-tuning"].detail.startswith("morse-base was not fine-tuned")


def test_without_data_the_dimers_are_those_of_the_fine_tuning(check):
    row = check(WithAHole(), [])["energy rises in approach to"]
    assert row.status == "fail"
    assert "1 of 1 pair: Cu-Cu below 0.66" in row.detail


def test_a_potential_that_raises_fails_and_never_ends_the_list(check):
    rows = check(Broken())
    assert len(rows) == len(check(Morse()))
    assert {row.status for row in rows.values()} == {"fail", "pass"}
    assert rows["NVE drift"].detail == "RuntimeError: out of order"


def test_what_is_not_a_number_fails(check):
    rows = check(NotANumber())
    # The sample and the data hold the elements that they hold, whatever the potential gives.
    assert set(rows) - failed(rows) == {"elements outside the fine-tuning"}
    json.dumps([row.as_dict() for row in rows.values()], allow_nan=False)


def test_frames_far_from_equilibrium_are_not_probed_for_forces(check, data):
    hot = data[0].atoms * (2, 2, 2)
    hot.rattle(0.4, seed=0)
    row = check(Morse(), label([hot], Morse()))["largest force near equilibrium"]
    assert row.status == "not run"
    assert "no structure is near equilibrium" in row.detail


def test_structures_that_cannot_be_evaluated_are_counted(check, data):
    gold = replace(data[0], atoms=bulk("Au", "fcc", a=4.1, cubic=True))
    assert "; 1 of 7 structures cannot be evaluated" in check(Morse(), [*data, gold])["energy error"].detail
    assert check(Morse(), [gold])["force error"].status == "not run"


def test_the_slope_of_vanishing_forces_is_not_taken(check, data):
    still = replace(data[0], forces=np.zeros_like(data[0].forces))
    assert check(Morse(), [still])["force slope"].status == "not run"
