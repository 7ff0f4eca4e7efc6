"""Files of properties: those that ship, and what is refused and how."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import read, write

from uniscreen.benchmarking.physics import read_properties
from uniscreen.errors import InputError

ROOT = Path(__file__).parents[3]
SHIPPED = sorted([*ROOT.glob("benchmarks/properties/*.toml"), *ROOT.glob("data/*/properties.toml")])
MLEARN = ROOT.parent / "shared" / "data" / "mlearn"

SILICON = """
[crystals.si]
prototype = "diamond"
formula = "Si"
a_A = 5.43
"""

SALT = """
[crystals.salt]
prototype = "rocksalt"
formula = "NaCl"
a_A = 5.7
"""


def reading(tmp_path: Path, text: str):
    path = tmp_path / "it.toml"
    path.write_text(text, encoding="utf-8")
    return read_properties(path)


@pytest.mark.parametrize("path", SHIPPED, ids=[f"{path.parent.name}-{path.stem}" for path in SHIPPED])
def test_a_file_that_ships_is_read_and_starts_near_its_own_volume(path):
    properties = read_properties(path)
    assert properties.speed is not None
    assert properties.dynamics is not None
    for crystal in properties.crystals.values():
        assert crystal.equation_of_state is not None
        atoms = crystal.build()
        assert atoms.cell.volume / len(atoms) == pytest.approx(crystal.equation_of_state.volume_A3_per_atom, rel=2e-3)


@pytest.mark.parametrize("path", SHIPPED, ids=[f"{path.parent.name}-{path.stem}" for path in SHIPPED])
def test_the_bulk_modulus_of_a_cubic_crystal_is_that_of_its_elastic_constants(path):
    """B = (C11 + 2 C12) / 3, of sodium chloride by energies and by stresses."""
    crystals = [one for one in read_properties(path).crystals.values() if one.elastic is not None]
    for crystal in crystals:
        constants = crystal.elastic.constants_GPa
        modulus = (constants["c11"] + 2 * constants["c12"]) / 3
        assert crystal.equation_of_state.bulk_modulus_GPa == pytest.approx(modulus, rel=0.015)
    assert crystals


@pytest.mark.skipif(not MLEARN.is_dir(), reason="needs the frames of Zuo et al. in ../shared/data/mlearn")
@pytest.mark.parametrize(("symbol", "name"), [("Si", "silicon"), ("Mo", "molybdenum")], ids=["silicon", "molybdenum"])
def test_the_figures_of_zuos_data_are_those_of_its_frames(symbol, name):
    script = runpy.run_path(str(ROOT / "benchmarks" / "properties" / "from_mlearn.py"))
    frames = [frame for part in ("train", "test") for frame in read(MLEARN / f"{symbol}-{part}.extxyz", ":")]
    (crystal,) = read_properties(ROOT / "benchmarks" / "properties" / f"{name}.toml").crystals.values()
    found = script["elastic_constants"](frames)
    for constant, value in crystal.elastic.constants_GPa.items():
        assert found[constant.upper()] == pytest.approx(value, abs=0.06)
    assert found["bulk modulus"] == pytest.approx(crystal.equation_of_state.bulk_modulus_GPa, abs=0.06)
    rest = script["ground_state"](frames)
    assert rest.cell.volume / len(rest) == pytest.approx(crystal.equation_of_state.volume_A3_per_atom, abs=1e-3)
    slabs = script["surface_energies"](frames)
    for surface in crystal.surfaces:
        (slab,) = [key for key in slabs if key.endswith(f"({'_'.join(map(str, surface.miller))})")]
        assert slabs[slab][0] == pytest.approx(surface.energy_J_per_m2, abs=1e-3)


def test_a_crystal_may_be_a_file_beside_the_properties(tmp_path):
    write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", a=5.7))
    atoms = reading(tmp_path, '[crystals.salt]\nstructure = "salt.cif"\n').crystals["salt"].build()
    assert atoms.get_chemical_formula() == "ClNa"
    assert atoms.cell.volume == pytest.approx(5.7**3 / 4)


def test_caesium_chloride_is_written_as_elsewhere_in_the_project(tmp_path):
    text = '[crystals.it]\nprototype = "caesium-chloride"\nformula = "NaCl"\na_A = 3.5\n'
    assert len(reading(tmp_path, text).crystals["it"].build()) == 2


REFUSED = {
    "no crystal": ("", "crystals: Field required"),
    "not TOML": ("[crystals", "is not TOML"),
    "unknown table": (
        SILICON + "[crystals.si.elasticity]",
        r"crystals.si.elasticity is no key .* Did you mean elastic\?",
    ),
    "unknown key": (SILICON + "[crystals.si.vacancy]\nsupercel = [2, 2, 2]", r"Did you mean supercell\?"),
    "key far off": (SILICON + "colour = 1", "Expected one of prototype, formula, a_A"),
    "unknown prototype": (
        '[crystals.si]\nprototype = "graphite"',
        r"no structure type of that name; known are sc, fcc",
    ),
    "wrong formula": ('[crystals.a]\nprototype = "rocksalt"\nformula = "Si"\na_A = 5', "crystals.a cannot be built"),
    "no lattice constant": ('[crystals.si]\nprototype = "diamond"\nformula = "Si"', "needs prototype, formula and a_A"),
    "two ways": (SILICON + 'structure = "si.cif"', "give either structure = FILE"),
    "no file": ('[crystals.si]\nstructure = "si.cif"', "crystals.si cannot be built: .*si.cif"),
    "c of a cubic crystal": (SILICON + "c_A = 6", "c_A goes with hcp and wurtzite only"),
    "no source": (
        SILICON + "[crystals.si.equation_of_state]\nbulk_modulus_GPa = 90",
        "crystals.si.equation_of_state: reference values need a source",
    ),
    "no such constant": (
        SILICON + "[crystals.si.elastic]\nconstants_GPa = {c17 = 1}\nsource = 'x'",
        "crystals.si.elastic.constants_GPa.c17",
    ),
    "constant by its other name": (
        SILICON + "[crystals.si.elastic]\nconstants_GPa = {c21 = 1}\nsource = 'x'",
        "c21 is c12",
    ),
    "no such point": (
        SILICON + "[crystals.si.phonons]\nsupercell = [2, 2, 2]\nfrequencies_THz = {H = []}",
        "crystals.si.phonons: there is no point H; this lattice has G, K, L, U, W, X",
    ),
    "frequencies that are missing": (
        SILICON + "[crystals.si.phonons]\nsupercell = [2, 2, 2]\nfrequencies_THz = {X = [4, 12, 14]}\nsource = 'x'",
        "X has 3 frequencies, expected 6",
    ),
    "acoustic modes at G": (
        SILICON
        + "[crystals.si.phonons]\nsupercell = [2, 2, 2]\nfrequencies_THz = {G = [0, 0, 0, 1, 1, 1]}\nsource = 'x'",
        "G has 6 frequencies, expected 3",
    ),
    "G of one atom": (
        '[crystals.cu]\nprototype = "fcc"\nformula = "Cu"\na_A = 3.6\n[crystals.cu.phonons]\nsupercell = [2, 2, 2]\n'
        "frequencies_THz = {G = []}",
        "crystals.cu.phonons: at G one atom in the primitive cell has acoustic modes only",
    ),
    "half a formula unit": (
        SALT + "[crystals.salt.vacancy]\nsupercell = [1, 1, 1]",
        "removed are Na, which is no whole number of formula units of ClNa",
    ),
    "an atom that is not there": (
        SILICON + "[crystals.si.vacancy]\nsupercell = [1, 1, 1]\nremoved = [8]",
        "removed are different atoms of the cell, 0 to 7",
    ),
    "a plane twice": (
        SILICON + "[[crystals.si.surfaces]]\nmiller = [2, -2, 0]\nlayers = 3",
        r"no common divisor: give \(1, -1, 0\)",
    ),
    "no plane": (SILICON + "[[crystals.si.surfaces]]\nmiller = [0, 0, 0]\nlayers = 3", "is no plane"),
    "polymorphs of two compositions": (
        SILICON + SALT + "[[polymorphs]]\ncrystals = ['si', 'salt']",
        "of one composition, but these are si Si, salt ClNa",
    ),
    "a polymorph that is not there": (
        SILICON + "[[polymorphs]]\ncrystals = ['si', 'beta-tin']",
        "there is no crystal 'beta-tin'; there are si",
    ),
    "energies that do not fit": (
        SILICON + SALT + "[[polymorphs]]\ncrystals = ['si', 'salt']\nenergies_meV_per_atom = [3.0]\nsource = 'x'",
        "one for each of the crystals, above the first",
    ),
    "speed of nothing": (SILICON + "[speed]\ncrystal = 'salt'\nsupercell = [1, 1, 1]", "there is no crystal 'salt'"),
    "a name that metrics cannot have": ('[crystals."a:b"]\nprototype = "fcc"\nformula = "Cu"\na_A = 3.6', "a:b"),
}


@pytest.mark.parametrize("case", REFUSED, ids=list(REFUSED))
def test_what_is_wrong_is_named(tmp_path, case):
    text, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as refused:
        reading(tmp_path, text)
    assert "it.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"it\.toml cannot be opened"):
        read_properties(tmp_path / "it.toml")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "it.toml").write_text(SILICON, encoding="utf-8-sig")
    assert list(read_properties(tmp_path / "it.toml").crystals) == ["si"]


def test_atoms_in_one_place_have_no_phonons(tmp_path):
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.append("Na")
    atoms.positions[-1] = atoms.positions[0] + 1e-4
    write(tmp_path / "salt.vasp", atoms)
    with pytest.raises(InputError, match=r"it.toml: crystals.salt.phonons: no primitive cell is found"):
        reading(tmp_path, '[crystals.salt]\nstructure = "salt.vasp"\n[crystals.salt.phonons]\nsupercell = [1, 1, 1]')
