"""The parts that the checks are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from uniscreen.errors import InputError
from uniscreen.potentials import find_card, load_potential
from uniscreen.potentials.base import SystemResult
from uniscreen.potentials.testing.symmetries import TURN
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.safety import MeanErrors, read_training_errors
from uniscreen.training.safety.dynamics import Trajectory, run_nve, time_step
from uniscreen.training.safety.forgetting import forgetting
from uniscreen.training.safety.holes import rises_down_to
from uniscreen.training.safety.invariance import rotation, translation
from uniscreen.training.safety.parents import parent_of, symmetry
from uniscreen.training.safety.result import AtMost, Below, Between
from uniscreen.training.safety.sample import crystals_of
from uniscreen.training.safety.subject import Subject

FRACTIONS = np.array([1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6])


@pytest.mark.parametrize(
    ("energies", "expected"),
    [
        pytest.param([3, 2, 1, 0, 1, 2, 3], 0.6, id="one minimum"),
        pytest.param([3, 2, 1, 0, 1, 2, 1.5], 0.7, id="a fall at the end"),
        pytest.param([3, 2, 1, 0, 1, 0.99, 3], 0.6, id="a ripple"),
        pytest.param([3, 2, 1, 0, 1, 0.5, 3], 0.8, id="a dent"),
        pytest.param([3, 2, 1, 0, -1, -2, -3], 0.8, id="a minimum beyond where one may be"),
        pytest.param([3, 2, 1, 0, 9, 1, -5], 0.6, id="a hole behind a barrier"),
        pytest.param([3, 2, 1, 0, np.nan, 1, 2], 0.9, id="not a number"),
    ],
)
def test_the_first_fall_of_a_scan(energies, expected):
    assert rises_down_to(FRACTIONS, np.array(energies, float), 0.8, 0.05, 5.0) == expected


def test_limits():
    assert Below(10).holds(9.9)
    assert not Below(10).holds(10)
    assert AtMost(10).holds(10)
    assert Between(0.9, 1.1).holds(0.9)
    assert not Between(0.9, 1.1).holds(1.11)
    assert not any(limit.holds(float("nan")) for limit in (Below(1), AtMost(1), Between(0, 1)))
    assert [str(limit) for limit in (Below(10), AtMost(0.26), Between(0.9, 1.1))] == ["< 10", "<= 0.26", "0.9 to 1.1"]


def test_the_parent_of_displaced_atoms_is_the_ideal_crystal():
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=0)
    assert symmetry(atoms).number == 1
    parent = parent_of(atoms)
    assert len(parent) == 8
    assert str(symmetry(parent, 1e-5)) == "Fd-3m (227)"
    assert parent.cell.lengths() == pytest.approx([5.43] * 3, abs=0.01)


def test_a_symmetric_crystal_is_its_own_parent_however_near_to_a_more_symmetric_one():
    atoms = bulk("Si", "diamond", a=5.43, cubic=True)
    atoms.set_cell(atoms.cell.array * [1, 1, 1.01], scale_atoms=True)
    assert symmetry(parent_of(atoms), 1e-3).number == 141  # I4_1/amd


@pytest.mark.parametrize(
    "crystal", [bulk("Si", cubic=True), bulk("NaCl", "rocksalt", a=5.69, cubic=True)], ids=["Si", "NaCl"]
)
def test_a_hot_frame_has_no_parent_by_accident(crystal):
    """Of eight atoms that far from their sites some two nearly mirror each other in half of the frames."""

    def operations(displaced: float) -> list[int]:
        frames = [crystal.copy() for _ in range(10)]
        for seed, frame in enumerate(frames):
            frame.rattle(displaced, seed=seed)
        return [symmetry(parent).operations for frame in frames if (parent := parent_of(frame)) is not None]

    assert operations(0.1) == []
    assert operations(0.03).count(48) >= 9


def test_atoms_far_apart_are_not_the_equilibrium(loaded):
    """A scan of a dimer, as sets for potentials from nothing have, ends at rest and far above every crystal."""
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.01, seed=0)
    apart = Atoms("Si2", [[0, 0, 0], [5.5, 0, 0]], cell=[15, 15, 15], pbc=True)
    frames = [
        LabelledStructure(crystal, -43.0, np.full((8, 3), 0.2), None, None, "frame 1"),
        LabelledStructure(apart, -2.0, np.zeros((2, 3)), None, None, "frame 2"),
        LabelledStructure(crystal, -42.9, np.full((8, 3), 0.01), None, None, "frame 3"),
    ]
    results = [SystemResult(one.energy, one.forces, np.zeros((3, 3)), None) for one in frames]
    (found,) = Subject(loaded("chgnet-0.3.0"), frames, None, None, None, 1.0, results).equilibria
    assert found.place == "the symmetric parent of frame 3"


def test_a_liquid_and_a_molecule_have_no_parent():
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 1, 1)
    atoms.rattle(0.5, seed=0)
    assert parent_of(atoms) is None
    assert parent_of(molecule("H2O")) is None


def test_the_time_step_is_that_of_the_lightest_atom():
    assert time_step(molecule("H2O")) == 0.5
    assert time_step(bulk("Li")) == 2.0


@pytest.mark.parametrize(("on_sites", "begun"), [(True, 600), (False, 300)], ids=["on sites", "displaced"])
def test_dynamics_begin_at_300_k_or_come_there_from_sites(on_sites, begun):
    """Half of what atoms on their sites are given becomes potential energy: equipartition in a harmonic crystal."""
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True) * (3, 3, 3)
    run = run_nve(load_potential("ase:ase.calculators.emt:EMT", trust_model_file=True), crystal, 0.4, on_sites=on_sites)
    assert run.temperatures[0] == pytest.approx(begun, rel=0.15)
    assert run.times == pytest.approx(np.arange(21) * 0.02)
    assert np.mean(run.temperatures[10:]) == pytest.approx(begun / 2, rel=0.15)


def test_the_drift_is_the_slope_in_mev_per_atom_and_ps():
    run = Trajectory()
    run.times, run.energies = [0.0, 0.5, 1.0, 1.5], [-3.0, -2.999, -3.001, -3.0]
    # the energies are 0, 1, -1 and 0 meV about their mean, and the squares of the times about theirs sum up to 1.25
    slope = (0.25 * -1 - 0.25 * 1) / 1.25
    left = np.array([0, 1, -1, 0]) - slope * np.array([-0.75, -0.25, 0.25, 0.75])
    assert run.drift() == pytest.approx((slope, np.sqrt(np.mean(left**2))))


def test_the_built_in_sample_covers_a_model_and_is_the_same_each_time():
    elements = find_card("chgnet-0.3.0").elements
    crystals = crystals_of(elements)
    assert len(crystals) > 150
    covered = {symbol for atoms in crystals for symbol in atoms.symbols}
    assert elements - covered == {"Bi", "He", "Np", "Pa", "Pm", "Pu", "Sm"}
    again = crystals_of(elements)
    assert all((a.positions == b.positions).all() for a, b in zip(crystals, again, strict=True))
    assert {symbol for atoms in crystals_of({"Na", "Cl", "Cu"}) for symbol in atoms.symbols} == {"Na", "Cl", "Cu"}


def test_the_built_in_sample_is_near_equilibrium(loaded):
    crystals = crystals_of(loaded("chgnet-0.3.0").card.elements)
    results = loaded("chgnet-0.3.0").evaluate(crystals)
    forces = np.array([np.linalg.norm(result.forces, axis=1).max() for result in results])
    assert forces.max() < 20
    assert np.median(forces) < 1
    assert np.quantile(forces, 0.9) > 1  # and not at rest


def test_the_errors_in_training_are_read_from_the_folder_of_a_run(tmp_path):
    assert read_training_errors(tmp_path) is None
    trained = {"energy_mae_meV_per_atom": 1.5, "force_mae_meV_per_A": 30, "force_slope": 0.98}
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps({"errors": {"train": {"trained": trained}}}), encoding="utf-8")
    assert read_training_errors(tmp_path) == MeanErrors(1.5, 30.0)
    summary.write_text(json.dumps({"errors": {}}), encoding="utf-8")
    with pytest.raises(InputError, match=r"summary.json holds no training errors .*KeyError: 'train'"):
        read_training_errors(tmp_path)


def test_changes_by_a_turn_are_per_atom_and_of_forces_that_turn_with_it(labelled, loaded):
    """Of 4 and 8 atoms, whose energies change by 2 and 1 meV/atom and one force component by 3 meV/Å."""
    data = labelled(loaded("chgnet-0.3.0"), 2)
    wrong = np.zeros((8, 3))
    wrong[5, 1] = 0.003

    def evaluate(structures):
        turned = structures[0] is not data[0].atoms
        for one, energy in zip(data, (0.002, 0.001), strict=True):
            n = len(one.atoms)
            forces = one.forces @ TURN.T + wrong[:n] if turned else one.forces
            yield SystemResult(-3.0 * n + n * energy * turned, forces, np.zeros((3, 3)), None)

    subject = Subject(SimpleNamespace(evaluate=evaluate), data, None, None, None, 1.0, [None, None])
    energy, force = rotation(subject)
    assert energy.value == pytest.approx(2.0)
    assert force.value == pytest.approx(3.0)


def test_forgetting_is_per_atom_once_a_shift_of_the_elements_is_taken_off():
    """Energies that moved by 10 and 0 meV/atom are 5 off the shift between, whatever the number of atoms."""
    structures = [bulk("Na"), bulk("Na") * (2, 2, 1)]
    labels = [LabelledStructure(one, 0.0, np.zeros((len(one), 3)), None, None, "") for one in structures]

    def potential(energies, force):
        results = [
            SystemResult(energy, np.full((len(one), 3), force), np.zeros((3, 3)), None)
            for one, energy in zip(structures, energies, strict=True)
        ]
        card = SimpleNamespace(name="m", tuned_elements=frozenset({"Na"}))
        return SimpleNamespace(card=card, graph=lambda _: None, evaluate=lambda _: results)

    tuned, base = potential((-0.99, -4.0), 0.02), potential((-1.0, -4.0), 0.05)
    energy, force = forgetting(Subject(tuned, labels, None, base, labels, 1.0))
    assert energy.value == pytest.approx(5.0)
    assert force.value == pytest.approx(30.0)


@pytest.mark.parametrize("measure", [rotation, translation])
def test_a_structure_without_a_finite_energy_is_not_passed_over(loaded, labelled, measure):
    potential = loaded("chgnet-0.3.0")
    data = labelled(potential, 3)
    atoms = data[1].atoms.copy()
    atoms.positions[1] = atoms.positions[0]
    data[1] = replace(data[1], atoms=atoms)
    for found in measure(Subject(potential, data, None, None, None, 1.0)):
        assert np.isnan(found.value)
