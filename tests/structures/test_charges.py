"""Oxidation states against what every textbook says of these compounds."""

import time

import pytest
from pymatgen.core import Composition

from uniscreen.structures.charges import ions, neutral_states, seed_states


@pytest.mark.parametrize(
    ("formula", "states"),
    [
        ("LiCoO2", {"Li": 1, "Co": 3, "O": -2}),
        ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("SrTiO3", {"Sr": 2, "Ti": 4, "O": -2}),
        ("LaCoO3", {"La": 3, "Co": 3, "O": -2}),
        ("FeTiO3", {"Fe": 2, "Ti": 4, "O": -2}),
        ("Co3O4", {"Co": 8 / 3, "O": -2}),
        ("LiMn2O4", {"Li": 1, "Mn": 3.5, "O": -2}),
        ("GaAs", {"Ga": 3, "As": -3}),
    ],
)
def test_states(formula, states):
    assert neutral_states(Composition(formula)) == pytest.approx(states)


@pytest.mark.parametrize("formula", ["NaCl2", "LiTiO3", "MgO2", "CaF"])
def test_nothing_neutral(formula):
    assert neutral_states(Composition(formula)) is None


def test_supercells_have_the_states_of_their_formula():
    assert neutral_states(Composition("Li16Co16O32")) == neutral_states(Composition("LiCoO2"))


def test_a_peroxide_is_one_only_if_it_is_said_to_be_or_a_seed():
    assert neutral_states(Composition("Li2O2")) is None
    assert neutral_states(Composition("Li2O2"), peroxide=True) == {"Li": 1, "O": -1}
    assert seed_states(Composition("Li2O2")) == {"Li": 1, "O": -1}
    assert seed_states(Composition("Li2O")) == {"Li": 1, "O": -2}


def test_metals_have_no_ions():
    assert neutral_states(Composition("Ni3Al")) == {"Ni": 0, "Al": 0}
    assert ions({"Ni": 0.0, "Al": 0.0}) == []


@pytest.mark.parametrize(
    ("formula", "states"),
    [
        ("Li35Fe36P36O144", {"Li": 1, "Fe": 73 / 36, "P": 5, "O": -2}),
        ("Ca5P3ClO12", {"Ca": 2, "P": 5, "Cl": -1, "O": -2}),
        ("Na99Li101Cl200", {"Na": 1, "Li": 1, "Cl": -1}),
    ],
)
def test_large_formulas(formula, states):
    assert neutral_states(Composition(formula)) == pytest.approx(states)


def test_many_states_of_many_atoms_take_no_time():
    start = time.monotonic()
    states = neutral_states(Composition("Mn97Fe101Co103O401"))
    assert time.monotonic() - start < 5
    assert 97 * states["Mn"] + 101 * states["Fe"] + 103 * states["Co"] == pytest.approx(802)


def test_small_formulas_have_the_states_that_pymatgen_guesses():
    cations = ["Mn3", "Fe2Sb", "Bi2Cu", "NaV2", "La"]
    anions = ["O4", "O3F", "S2N", "Te3Cl", "PO4", "Si2I", "H5Sb", "CN2"]
    for formula in (cation + anion for cation in cations for anion in anions):
        composition = Composition(formula)
        guesses = composition.reduced_composition.oxi_state_guesses()
        assert neutral_states(composition) == (dict(guesses[0]) if guesses else None), formula


def test_ions_are_named_cations_first():
    assert ions({"O": -2.0, "Co": 8 / 3, "Li": 1.0}) == ["Co2.67+", "Li+", "O2-"]
