"""Prototypes: the types are what they are called, and their members are near known crystals."""

import numpy as np
import pytest
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from uniscreen.errors import InputError
from uniscreen.structures.generation.prototypes import decorations, find_prototype, named_prototypes
from uniscreen.structures.generation.substitution import Substituted

SPACE_GROUPS = {
    "rocksalt": 225, "caesium-chloride": 221, "zincblende": 216, "wurtzite": 186, "nickel-arsenide": 194,
    "fluorite": 225, "antifluorite": 225, "rutile": 136, "anatase": 141, "pyrite": 205, "cadmium-iodide": 164,
    "molybdenite": 194, "cuprite": 224, "corundum": 167, "rhenium-trioxide": 221, "bismuth-triiodide": 148,
    "matlockite": 129, "half-heusler": 216, "heusler": 225, "layered": 166, "chalcopyrite": 122, "perovskite": 221,
    "perovskite-orthorhombic": 62, "antiperovskite": 221, "ilmenite": 148, "calcite": 167, "lithium-niobate": 161,
    "spinel": 227, "ruddlesden-popper": 139, "zircon": 141, "olivine": 62, "garnet": 230, "double-perovskite": 225,
}  # fmt: skip
"""International Tables; any text on structure types."""

ALL = {prototype.name: prototype for prototype in named_prototypes()}


def neighbours(structure, element, radius):
    """The elements within a radius of the first atom of an element."""
    site = next(site for site in structure if site.specie.symbol == element)
    return sorted(neighbour.specie.symbol for neighbour in structure.get_neighbors(site, radius))


@pytest.mark.parametrize("name", list(ALL))
def test_each_has_its_space_group_and_plausible_distances(name):
    prototype = ALL[name]
    assert SpacegroupAnalyzer(prototype.structure, 0.01).get_space_group_number() == SPACE_GROUPS[name]
    distances = prototype.structure.distance_matrix
    assert distances[~np.eye(len(distances), dtype=bool)].min() > 1.2
    assert set(prototype.sites.values()) == set(prototype.structure.composition.get_el_amt_dict())


def test_sites_have_their_coordination():
    assert neighbours(ALL["spinel"].structure, "Mg", 2.1) == ["O"] * 4
    assert neighbours(ALL["spinel"].structure, "Al", 2.1) == ["O"] * 6
    assert neighbours(ALL["garnet"].structure, "Si", 1.8) == ["O"] * 4
    assert neighbours(ALL["garnet"].structure, "Al", 2.0) == ["O"] * 6
    assert neighbours(ALL["garnet"].structure, "Ca", 2.6) == ["O"] * 8
    assert neighbours(ALL["olivine"].structure, "P", 1.6) == ["O"] * 4
    assert neighbours(ALL["antiperovskite"].structure, "O", 2.0) == ["Li"] * 6
    assert neighbours(ALL["double-perovskite"].structure, "Al", 1.9) == ["F"] * 6


@pytest.mark.parametrize(
    ("name", "elements", "formula", "a"),
    [
        ("rocksalt", {"A": "K", "X": "Br"}, "KBr-rocksalt", 6.600),
        ("fluorite", {"A": "Ba", "X": "F"}, "BaF2-fluorite", 6.196),
        ("caesium-chloride", {"A": "Tl", "X": "Br"}, "TlBr-caesium-chloride", 3.986),
        ("perovskite", {"A": "Ba", "B": "Zr", "X": "O"}, "BaZrO3-perovskite", 4.192),
        ("spinel", {"A": "Zn", "B": "Fe", "X": "O"}, "ZnFe2O4-spinel", 8.44),
    ],
)
def test_lattice_constants_are_near_measured_ones(name, elements, formula, a):
    """Measured: Wyckoff, Crystal Structures, 2nd ed. (1963)."""
    prototype = find_prototype(name)
    ((given, crystal),) = decorations(prototype, {site: (element,) for site, element in elements.items()})
    assert isinstance(crystal, Substituted)
    assert prototype.candidate_name(given) == formula
    cubic = SpacegroupAnalyzer(crystal.structure).get_conventional_standard_structure()
    assert cubic.lattice.a == pytest.approx(a, rel=0.03)


def test_every_combination_is_made_or_counted():
    alternatives = {"A": ("Na", "Ca"), "B": ("Ti", "Ca"), "X": ("O",), "Y": ("Cl",)}
    results = {
        ALL["perovskite"].candidate_name(elements): result
        for elements, result in decorations(ALL["perovskite"], alternatives)
    }
    assert results["NaTiO3-perovskite"] == "no neutral oxidation states"
    assert results["CaCaO3-perovskite"] == "one element on two kinds of sites"
    assert results["NaCaO3-perovskite"] == "no neutral oxidation states"
    assert results["CaTiO3-perovskite"].ions == "Ca2+ Ti4+ O2-"


def test_a_type_is_found_by_its_label_in_the_library():
    found = find_prototype("AB3C_cP5_221_a_c_b")
    assert found.sites == {"A": "Ca", "B": "O", "C": "Ti"}
    assert found.formula == "A B3 C"
    assert find_prototype("A2B_oP12_62_2c_c:PbCl2").structure.composition.reduced_formula == "PbCl2"


def test_what_cannot_be_found_is_an_error():
    with pytest.raises(InputError, match="Did you mean 'perovskite'"):
        find_prototype("perovskit")
    with pytest.raises(InputError, match=r"A2B_oP12_62_2c_c:PbCl2"):
        find_prototype("A2B_oP12_62_2c_c")
    with pytest.raises(InputError, match="A B X3: no elements for B, X"):
        list(decorations(ALL["perovskite"], {"A": ("Ca",)}))
