from __future__ import annotations

import math
import warnings
from itertools import permutations

import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry

from uniscreen.errors import InputError
from uniscreen.thermodynamics import elemental_references, formation_energy, mp2020_correction
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


def crowded(formula: str) -> Structure:
    """A crystal of this composition whose atoms are 4 Å from each other, so that none is bonded."""
    species = [symbol for symbol, n in Composition(formula).get_el_amt_dict().items() for _ in range(int(n))]
    side = math.ceil(len(species) ** (1 / 3))
    sites = [(x / side, y / side, z / side) for x in range(side) for y in range(side) for z in range(side)]
    return Structure(Lattice.cubic(4.0 * side), species, sites[: len(species)])


@pytest.mark.parametrize(
    ("formula", "corrected"),
    [
        ("Cs8Pb8I23Br", {"Br": -0.534, "I": 23 * -0.379}),
        ("Ca5P3ClO12", {"oxide": 12 * -0.687, "Cl": -0.614}),
        ("Bi24Cl10O31", {"oxide": 31 * -0.687, "Cl": 10 * -0.614}),
        ("Ba8Ta8N9O15", {"oxide": 15 * -0.687, "N": 9 * -0.361}),
    ],
)
def test_all_anions_of_a_large_formula_are_corrected(formula, corrected):
    """Above 20 atoms pymatgen alone corrects the most electronegative element; the values are those of its table."""
    correction = mp2020_correction(crowded(formula), -100.0)
    expected = {f"MP2020 anion correction ({name})": value for name, value in corrected.items()}
    assert correction.adjustments == pytest.approx(expected)
    assert correction.anions_known


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("formula", ["Cs2PbI5Br", "BaTaO2N", "ErCuSi2", "SbOs", "U2SbI", "Ba3Ta3O7N3", "Ca4PClO12"])
def test_small_formulas_have_the_correction_of_pymatgen(formula):
    structure = crowded(formula)
    entry = ComputedStructureEntry(structure, -20.0, parameters={"run_type": "GGA"})
    expected = MaterialsProject2020Compatibility(check_potcar=False).get_adjustments(entry)
    assert mp2020_correction(structure, -20.0).adjustments == {item.name: item.value for item in expected}


@pytest.mark.parametrize("formula", ["LaSbRh2", "Cs9Pb8I23Br", "ErCuSi2", "Na2O2", "Ca5P3ClO12", "Cl"])
def test_anions_are_unknown_where_no_states_add_up_and_one_could_be_missed(formula):
    assert mp2020_correction(crowded(formula), -20.0).anions_known is (formula not in ("LaSbRh2", "Cs9Pb8I23Br"))


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


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_anion_and_no_guess_agree_on_what_is_not_corrected():
    """The short cut for compositions without any element that MP2020 corrects says what pymatgen says."""
    for formula in ("Fe2VAl", "NiTi", "CaB6", "Ge", "SiC", "PbTe", "MgH2", "V3Si", "CoO", "FeCo", "GaP", "XeF2"):
        entry = ComputedEntry(formula, -1.0, parameters={"run_type": "GGA", "hubbards": _mp_hubbards(formula)})
        expected = bool(MaterialsProject2020Compatibility(check_potcar=False).get_adjustments(entry))
        assert corrected_under_mp2020(Composition(formula)) is expected, formula


def _mp_hubbards(formula: str) -> dict[str, float]:
    return {"CoO": {"Co": 3.32}}.get(formula, {})


def test_a_bond_between_oxygens_makes_another_class():
    """O-O at 1.33 Å is a superoxide, at 1.49 Å a peroxide, apart an oxide: -0.161, -0.465, -0.687 eV per O."""
    for distance, kind, value in ((1.33, "superoxide", -0.161), (1.49, "peroxide", -0.465), (3.0, "oxide", -0.687)):
        sites = [[0, 0, 0], [0.5, 0.5, 0.5 - distance / 16], [0.5, 0.5, 0.5 + distance / 16]]
        correction = mp2020_correction(Structure(Lattice.cubic(8.0), ["Li", "O", "O"], sites), -20.0)
        assert correction.adjustments == pytest.approx({f"MP2020 anion correction ({kind})": 2 * value})


def test_the_order_of_atoms_makes_no_difference():
    """Cu and Si have the same electronegativity, and no oxidation states of ErCuSi2 add up to zero."""
    species, sites = ["Er", "Cu", "Si", "Si"], [[0, 0, 0], [0.5, 0.5, 0.2], [0.5, 0, 0.6], [0, 0.5, 0.6]]
    structures = [
        Structure(Lattice.tetragonal(4.0, 8.0), [species[n] for n in order], [sites[n] for n in order])
        for order in permutations(range(4))
    ]
    found = {tuple(mp2020_correction(structure, -20.0).adjustments.items()) for structure in structures}
    assert found == {(("MP2020 anion correction (Si)", 2 * 0.071),)}


def test_wbm_formation_energies_are_reproduced(shared_records):
    """Corrected formation energies from uncorrected energies, within 1 meV/atom of the published ones.

    The one exception is a silicide of copper, where which of the two is the anion is a tie (docs/thermodynamics.md).
    """
    records = shared_records("wbm/wbm-972.json.gz")
    differing = {}
    for record in records:
        structure = Structure.from_dict(record["structure"])
        corrected = record["energy"] + mp2020_correction(structure, record["energy"]).total
        amounts = structure.composition.get_el_amt_dict()
        found = formation_energy(amounts, corrected, elemental_references("PBE"))
        error = found - record["corrected_formation_energy_per_atom"]
        if abs(error) > 1e-3:
            differing[record["formula"]] = error
    message = f"{len(differing)} of {len(records)} differ: {differing}"
    assert len(differing) <= 0.02 * len(records), message
    assert set(differing) <= {"Tm3(Cu2Si)2"}, message
