"""Substitution: what is made of a seed, what is left out and why."""

import numpy as np
import pytest
from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability
from pymatgen.core import Lattice, Species, Structure

from uniscreen.errors import InputError
from uniscreen.structures.generation.substitution import Substituted, parse_alternatives, substitutions

LICOO2 = Structure.from_spacegroup(
    "R-3m", Lattice.hexagonal(2.816, 14.05), ["Li", "Co", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.26]]
)


def made(seed, alternatives, **options):
    return [result for result in substitutions(seed, alternatives, **options) if isinstance(result, Substituted)]


def test_every_combination_is_made_without_the_seed_itself():
    results = made(LICOO2, {"Li": ("Na", "K"), "Co": ("Fe", "Mn", "Ni")})
    assert [result.label for result in results] == [f"Li-{a}_Co-{b}" for a in ("Na", "K") for b in ("Fe", "Mn", "Ni")]
    assert {result.structure.composition.reduced_formula for result in results} >= {"NaFeO2", "KNiO2"}
    first = results[0]
    assert first.ions == "Na+ Fe3+ O2-"
    assert np.allclose(first.structure.frac_coords, LICOO2.frac_coords)
    assert [site.specie.symbol for site in first.structure] == ["Na"] * 3 + ["Fe"] * 3 + ["O"] * 6


def test_an_element_is_kept_where_it_is_among_its_alternatives():
    results = made(LICOO2, {"Li": ("Li", "Na"), "Co": ("Co",)})
    assert [result.label for result in results] == ["", "Li-Na"]
    assert results[0].structure.volume == pytest.approx(LICOO2.volume)


def test_replacements_are_made_at_once():
    (swapped,) = made(LICOO2, {"Li": ("Co",), "Co": ("Li",)})
    assert [site.specie.symbol for site in swapped.structure][:6] == ["Co"] * 3 + ["Li"] * 3


def test_what_cannot_be_neutral_is_left_out_unless_it_is_allowed():
    assert list(substitutions(LICOO2, {"Li": ("Ca",), "O": ("F",)})) == ["no neutral oxidation states"]
    (result,) = made(LICOO2, {"Li": ("Ca",), "O": ("F",)}, allow_unbalanced=True)
    assert (result.states, result.ions, result.probability) == (None, "", None)


def test_a_seed_without_the_element_makes_nothing():
    assert list(substitutions(LICOO2, {"Na": ("K",)})) == ["an element to replace is missing"]


def test_a_metal_stays_one():
    nial = Structure(Lattice.cubic(2.887), ["Ni", "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (result,) = made(nial, {"Ni": ("Fe",)})
    assert (result.ions, result.probability) == ("", None)


def test_oxygen_that_replaces_another_anion_makes_no_peroxide():
    nacl = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert list(substitutions(nacl, {"Cl": ("O",)})) == ["no neutral oxidation states"]
    assert [result.ions for result in made(nacl, {"Na": ("Mg",), "Cl": ("O",)})] == ["Mg2+ O2-"]


def test_a_peroxide_stays_one():
    places = [[0, 0, 0], [1 / 3, 2 / 3, 0.75], [1 / 3, 2 / 3, 0.15]]
    li2o2 = Structure.from_spacegroup("P6_3/mmc", Lattice.hexagonal(3.14, 7.65), ["Li", "Li", "O"], places)
    assert [result.ions for result in made(li2o2, {"Li": ("Na",)})] == ["Na+ O-"]


def test_the_probability_is_pymatgens():
    (result,) = made(LICOO2, {"Li": ("Na",), "Co": ("Fe",)})
    new = [Species("Na", 1), Species("Fe", 3), Species("O", -2)]
    old = [Species("Li", 1), Species("Co", 3), Species("O", -2)]
    assert result.probability == pytest.approx(SubstitutionProbability().cond_prob_list(new, old))


def test_sodium_is_likelier_than_caesium_in_place_of_lithium():
    sodium, caesium = made(LICOO2, {"Li": ("Na", "Cs")})
    assert sodium.probability > caesium.probability


def test_alternatives_are_read():
    assert parse_alternatives(["Li=Na,K", "Co = Fe , Mn, Fe"], "--replace") == {"Li": ("Na", "K"), "Co": ("Fe", "Mn")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["Li"], "expected a name"),
        (["Li=Na,"], "expected a name"),
        (["=Na"], "expected a name"),
        (["Li=Nx"], "'Nx' is not a chemical element"),
        (["Li=Na", "Li=K"], "gives Li twice"),
    ],
)
def test_what_is_no_alternative_is_an_error(options, message):
    with pytest.raises(InputError, match=message):
        parse_alternatives(options, "--replace")
