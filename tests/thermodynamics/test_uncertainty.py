"""The error that fitted corrections give to a hull distance."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from uniscreen.thermodynamics import CompetingEntry, Hull, ReferenceSet, hull_over_candidates
from uniscreen.thermodynamics.uncertainty import difference_uncertainty

OXIDE, PEROXIDE, COBALT = (
    "MP2020 anion correction (oxide)",
    "MP2020 anion correction (peroxide)",
    "MP2020 GGA/GGA+U mixing correction (Co)",
)
SIGMA = {OXIDE: 0.002, PEROXIDE: 0.0172, COBALT: 0.006}
"""eV per corrected atom: Wang et al., Sci. Rep. 11, 15496 (2021), Table 1, as in pymatgen."""


def entry(formula, energy, **counts):
    """An entry with so many atoms of O or Co corrected under each name."""
    names = {"oxide": OXIDE, "peroxide": PEROXIDE, "Co": COBALT}
    uncertainties = {names[key]: n * SIGMA[names[key]] for key, n in counts.items()}
    return CompetingEntry(formula, Composition(formula).get_el_amt_dict(), energy, uncertainties=uncertainties)


def test_independent_parameters_add_in_quadrature():
    found = difference_uncertainty(entry("CoO", -10.0, oxide=1, Co=1))
    assert found == pytest.approx(math.hypot(0.002, 0.006) / 2)


def test_a_parameter_that_both_hold_cancels():
    """Li2O2 -> Li2O + 1/2 O2: the peroxide's error counts in full, the oxide's with the O that is left in Li2O."""
    peroxide = entry("Li2O2", -20.0, peroxide=2)
    products = [(entry("Li2O", -14.0, oxide=1), 0.75), (entry("O2", -10.0), 0.25)]
    expected = math.hypot(2 * 0.0172 / 4, 0.75 * 0.002 / 3)
    assert difference_uncertainty(peroxide, products) == pytest.approx(expected)
    assert difference_uncertainty(peroxide, [(entry("Li4O4", -40.0, peroxide=4), 1.0)]) == 0.0


def test_oxides_that_decompose_into_oxides_have_none():
    """LiCoO2 -> 1/2 Li2O + 1/2 Co2O3: as many O and Co on both sides, so the corrections drop out of the reaction."""
    mixed = entry("LiCoO2", -22.0, oxide=2, Co=1)
    products = [(entry("Li2O", -14.0, oxide=1), 0.375), (entry("Co2O3", -35.0, oxide=3, Co=2), 0.625)]
    assert difference_uncertainty(mixed, products) == 0.0


def test_unknown_is_not_zero():
    unknown = replace(entry("Li2O", -14.0, oxide=1), uncertainties=None)
    assert difference_uncertainty(unknown) is None
    assert difference_uncertainty(entry("Li2O", -14.0, oxide=1), [(unknown, 1.0)]) is None


def test_among_candidates(entries_file):
    oxide, peroxide = entry("Li2O", -14.3, oxide=1), entry("Li2O2", -19.2, peroxide=2)
    alone, other = hull_over_candidates([oxide, peroxide], ReferenceSet.from_elements("PBE"))
    assert alone.formation_energy_uncertainty == pytest.approx(0.002 / 3)
    assert other.formation_energy_uncertainty == pytest.approx(2 * 0.0172 / 4)
    assert other.e_above_hull_uncertainty == pytest.approx(math.hypot(2 * 0.0172 / 4, 0.75 * 0.002 / 3))


@pytest.mark.parametrize("name", ["y-mn-o-entries"])
def test_published_entries_agree_with_derivatives_of_the_hull(shared_path, name):
    """Every correction moved by a thousandth of its error in all entries at once; pymatgen's hull moves with it."""
    references = ReferenceSet.from_file(shared_path(f"mp/{name}.json.gz"))
    parameters = {parameter for item in references.entries for parameter in item.uncertainties}
    assert len(parameters) >= 3

    def distances(parameter, step):
        moved = [
            PDEntry(Composition(e.amounts), e.energy + step * e.uncertainties.get(parameter, 0.0))
            for e in references.entries
        ]
        diagram = PhaseDiagram(moved)
        return [diagram.get_e_above_hull(e, allow_negative=True) for e in moved]

    step = 1e-3
    moves = [
        [(up - down) / (2 * step) for up, down in zip(distances(p, step), distances(p, -step), strict=True)]
        for p in sorted(parameters)
    ]
    expected = [math.hypot(*per_parameter) for per_parameter in zip(*moves, strict=True)]
    hull = Hull(references)
    found = [hull.place(item).e_above_hull_uncertainty for item in references.entries]
    assert found == pytest.approx(expected, abs=1e-8)
    assert max(found) > 1e-3
