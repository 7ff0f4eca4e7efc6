from __future__ import annotations

import math
import warnings

import pytest
from pymatgen.core import Composition, Lattice, Structure

from uniscreen.errors import InputError
from uniscreen.thermodynamics import mp2020_correction
from uniscreen.thermodynamics.corrections import corrected_under_mp2020


def rocksalt(cation: str, anion: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_oxide_of_a_metal_with_u_gets_both_corrections():
    correction = mp2020_correction(rocksalt("Fe", "O", 4.3), -50.0)
    assert correction.adjustments == pytest.approx(
        {
            "MP2020 anion correction (oxide)": 4 * -0.687,
            "MP2020 GGA/GGA+U mixing correction (Fe)": 4 * -2.256,
        }
    )
    assert correction.total == pytest.approx(4 * (-0.687 - 2.256))
    assert correction.uncertainty == pytest.approx(math.hypot(4 * 0.002, 4 * 0.0101))


def test_metal_with_u_gets_none_without_oxygen_or_fluorine():
    assert list(mp2020_correction(rocksalt("Fe", "S", 5.0), -50.0).adjustments) == ["MP2020 anion correction (S)"]


def test_peroxide_is_told_by_the_structure():
    bonded = Structure(
        Lattice.cubic(5.0),
        ["Na", "Na", "O", "O"],
        [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.35], [0.5, 0.5, 0.65]],
    )
    assert mp2020_correction(bonded, -20.0).adjustments == pytest.approx(
        {"MP2020 anion correction (peroxide)": 2 * -0.465}
    )


def test_ozonide_is_named_though_its_correction_is_zero():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.64, 0.6], [0.5, 0.36, 0.6]]
    correction = mp2020_correction(Structure(Lattice.cubic(8.0), ["K", "O", "O", "O"], sites), -20.0)
    assert correction.adjustments == {"MP2020 anion correction (ozonide)": 0.0}
    assert (correction.total, correction.uncertainty) == (0.0, 0.0)


def test_intermetallic_is_left_alone():
    correction = mp2020_correction(rocksalt("Ni", "Al", 5.0), -40.0)
    assert (correction.total, correction.adjustments, correction.uncertainty) == (0.0, {}, 0.0)


def test_oxidation_states_of_the_structure_make_no_difference():
    plain = rocksalt("Mg", "O", 4.2)
    decorated = plain.copy()
    decorated.add_oxidation_state_by_element({"Mg": 2, "O": -2})
    assert mp2020_correction(decorated, -50.0) == mp2020_correction(plain, -50.0)
    assert decorated[0].specie.oxi_state == 2


def test_no_warnings_reach_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mp2020_correction(rocksalt("Eu", "Si", 5.5), -30.0)


def test_energy_must_be_finite():
    with pytest.raises(InputError, match="nan eV"):
        mp2020_correction(rocksalt("Mg", "O", 4.2), math.nan)


@pytest.mark.parametrize(
    ("formula", "expected"), [("Li2O", True), ("NiF2", True), ("GaN", True), ("AlNi", False), ("O2", False)]
)
def test_composition_alone_tells_whether_mp2020_corrects(formula, expected):
    assert corrected_under_mp2020(Composition(formula)) is expected


def test_wbm_corrections_are_reproduced(shared_records):
    """Two silicides differ: their Si counts as an anion only without the newer bound on oxidation states."""
    records = shared_records("wbm/wbm-972.json.gz")
    differing = []
    for record in records:
        structure = Structure.from_dict(record["structure"])
        corrected = record["energy"] + mp2020_correction(structure, record["energy"]).total
        if abs(corrected - record["corrected_energy"]) / len(structure) > 1e-3:
            differing.append(record["formula"])
    assert len(differing) <= 0.02 * len(records), differing
    assert all("Si" in formula for formula in differing)
