"""What is told of labels that are no error by themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from uniscreen.structures.labels import read_labelled
from uniscreen.training.oddities import all_at_rest, free_reference_energies, large_forces, two_sets_of_energies


@pytest.fixture
def compared(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    labels = labelled(potential)
    return labels, potential.evaluate([one.atoms for one in labels])


def higher(labels, places, by):
    """The labels, some of them with so many eV/atom more."""
    return [
        replace(one, energy=one.energy + by * len(one.atoms)) if k in places else one for k, one in enumerate(labels)
    ]


def test_energies_of_two_settings_are_told_with_the_fewer_ones(compared):
    labels, results = compared
    said = two_sets_of_energies(higher(labels, (2, 5, 6, 9), 0.3), results)
    assert "300 meV/atom or more apart" in said
    assert "4 of 12 frames (frame 3, for one) are above the others" in said
    said = two_sets_of_energies(higher(labels, range(8), 0.3), results)
    assert "4 of 12 frames (frame 9, for one) are below the others" in said


def test_energies_of_one_setting_are_no_two_sets(compared):
    labels, results = compared
    assert two_sets_of_energies(labels, results) == ""
    assert two_sets_of_energies(higher(labels, range(12), 5.0), results) == ""  # another reference, for all
    spread = [higher([one], (0,), 0.05 * k)[0] for k, one in enumerate(labels)]
    assert two_sets_of_energies(spread, results) == ""


def test_one_frame_apart_is_no_set(compared):
    labels, results = compared
    assert two_sets_of_energies(higher(labels, (4,), 2.0), results) == ""
    assert two_sets_of_energies(higher(labels[:5], (0, 1), 2.0), results[:5]) == ""


@pytest.mark.parametrize("name", ["Mo-test", "Si-test", "Ni-test"])
def test_published_sets_of_crystals_surfaces_and_melts_are_no_two_sets(loaded, real_data, name):
    labels = read_labelled(real_data(f"mlearn/{name}.extxyz")).structures
    results = loaded("chgnet-0.3.0").evaluate([one.atoms for one in labels])
    assert two_sets_of_energies(labels, results) == ""


def test_relaxed_structures_alone_are_told(compared):
    labels, _ = compared
    still = [replace(one, forces=np.full_like(one.forces, 0.05)) for one in labels]
    assert "No force is above 0.1 eV/Å" in all_at_rest(still)
    assert all_at_rest([*still, labels[0]]) == ""


def test_a_large_force_is_one_by_its_length(compared):
    labels, _ = compared
    forces = labels[3].forces.copy()
    forces[0] = [30.0, 40.0, 1.0]
    odd = [*labels[:3], replace(labels[3], forces=forces)]
    assert large_forces(odd).startswith("Forces above 50 eV/Å in 1 of 4 frames (frame 4, for one)")
    assert large_forces(labels) == ""


def test_reference_energies_that_one_compound_leaves_open_are_told(compared):
    labels, _ = compared
    compound = [replace(one, atoms=Atoms("MgO")) for one in labels]
    assert "fix only sums of the reference energies of O, Mg." in free_reference_energies(compound)
    assert free_reference_energies([*compound, replace(labels[0], atoms=Atoms("Mg4O3"))]) == ""
