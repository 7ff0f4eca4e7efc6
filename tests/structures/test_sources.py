"""Reading one structure: round trips through every format, and hostile or damaged files."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from uniscreen.errors import InvalidStructureError, TooLargeError
from uniscreen.structures import ReadLimits
from uniscreen.structures.guard import reading
from uniscreen.structures.sources import ArraySource, FileSource, TextSource

LIMITS = ReadLimits(max_atoms=200, max_bytes=200_000, seconds=10.0)

CELL = """_cell_length_a 4.0(1)
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma {gamma}
"""


def cif(rows, columns=("label", "fract_x", "fract_y", "fract_z"), extra="", gamma=90):
    loop = "\n".join(f"_atom_site_{name}" for name in columns)
    return f"data_x\n{CELL.format(gamma=gamma)}{extra}\nloop_\n{loop}\n" + "\n".join(rows) + "\n"


def load_cif(*args, **kwargs):
    return TextSource(cif(*args, **kwargs), "cif").load(LIMITS)


OCCUPANCY = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
SYMBOL = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")


@st.composite
def crystals(draw):
    n = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cell = np.diag(rng.uniform(3, 12, 3)) + rng.uniform(-1, 1, (3, 3))
    numbers = draw(st.lists(st.sampled_from([1, 3, 8, 26, 27, 92]), min_size=n, max_size=n))
    return Atoms(sorted(numbers), scaled_positions=rng.uniform(0, 1, (n, 3)), cell=cell, pbc=True)


def written(atoms, folder, kind):
    structure = AseAtomsAdaptor.get_structure(atoms)
    if kind == "ase.vasp":
        write(folder / "x.vasp", atoms, format="vasp", direct=False)
    elif kind == "POSCAR":
        Poscar(structure).write_file(folder / "POSCAR", significant_figures=12)
    elif kind == "pymatgen.cif":
        structure.to(filename=str(folder / "x.cif"), fmt="cif", significant_figures=12)
    elif kind == "x.json":
        (folder / kind).write_text(json.dumps(structure.as_dict()))
    elif kind.endswith(".gz"):
        write(folder / kind[:-3], atoms)
        (folder / kind).write_bytes(gzip.compress((folder / kind[:-3]).read_bytes()))
    else:
        write(folder / kind, atoms)
    return {"ase.vasp": "x.vasp", "pymatgen.cif": "x.cif"}.get(kind, kind)


@pytest.mark.parametrize(
    "kind", ["x.cif", "pymatgen.cif", "ase.vasp", "POSCAR", "x.extxyz", "x.xyz.gz", "x.json", "x.cif.gz"]
)
def test_round_trip(kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round")

    @settings(max_examples=12, deadline=None)
    @given(crystals())
    def check(atoms):
        loaded = FileSource(folder, written(atoms, folder, kind)).load(LIMITS)
        assert loaded.pbc.all()
        np.testing.assert_array_equal(loaded.numbers, atoms.numbers)
        # a CIF gives lengths and angles, so its cell may be turned
        np.testing.assert_allclose(loaded.cell.cellpar(), atoms.cell.cellpar(), atol=1e-4)
        delta = loaded.get_scaled_positions() - atoms.get_scaled_positions()
        np.testing.assert_allclose(delta - np.round(delta), 0.0, atol=1e-5)
        np.testing.assert_allclose(loaded.get_all_distances(mic=True), atoms.get_all_distances(mic=True), atol=1e-3)

    check()


@pytest.mark.parametrize(
    ("group", "lattice", "coordinates"),
    [
        ("Fm-3m", Lattice.cubic(5.6), [[0, 0, 0], [0.5, 0.5, 0.5]]),
        ("P6_3mc", Lattice.hexagonal(3.2, 5.2), [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.375]]),
        ("R-3m", Lattice.hexagonal(2.8, 14.2), [[0, 0, 0], [0, 0, 0.24]]),
        ("P2_1/c", Lattice.monoclinic(5, 6, 7, 99), [[0.1, 0.2, 0.3], [0.37, 0.4, 0.71]]),
    ],
)
@pytest.mark.parametrize("digits", [4, 8])
def test_symmetry_is_expanded(tmp_path, group, lattice, coordinates, digits):
    structure = Structure.from_spacegroup(group, lattice, ["Zn", "O"], coordinates)
    structure.to(filename=str(tmp_path / "x.cif"), fmt="cif", symprec=0.01, significant_figures=digits)
    atoms = FileSource(tmp_path, "x.cif").load(LIMITS)
    assert atoms.get_chemical_formula() == AseAtomsAdaptor.get_atoms(structure).get_chemical_formula()
    assert abs(atoms.get_volume() - structure.volume) < 1e-2 * structure.volume
    expected = np.sort(structure.distance_matrix[structure.distance_matrix > 0])
    found = np.sort(atoms.get_all_distances(mic=True)[atoms.get_all_distances() > 0])
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_space_group_symbol_without_operations():
    atoms = load_cif(["Na1 0 0 0", "Cl1 0.5 0.5 0.5"], extra="_symmetry_space_group_name_H-M 'F m -3 m'")
    assert atoms.get_chemical_formula() == "Cl4Na4"
    assert atoms.cell.cellpar()[0] == 4.0


def test_unknown_space_group_is_not_p1():
    with pytest.raises(InvalidStructureError, match="space group 'Q 5 x' is not known"):
        load_cif(["Na1 0 0 0"], extra="_symmetry_space_group_name_H-M 'Q 5 x'")


@pytest.mark.parametrize(
    ("name", "number", "known"),
    [
        ("P b n m", 62, True),  # another setting, of a name that is known
        ("P n m a", 62, True),
        ("P 2_1/n 2_1/m 2_1/a", 62, True),  # the usual setting in full
        ("P 2_1/b 2_1/n 2_1/m", 62, True),  # another one in full, which pymatgen takes for the usual one
        ("gibberish", 62, False),
        ("gibberish", 225, True),  # a group of one setting
        ("C 2/c", 15, True),
    ],
)
def test_a_number_is_not_taken_for_another_setting(name, number, known):
    extra = f"_symmetry_space_group_name_H-M '{name}'\n_symmetry_Int_Tables_number {number}"
    if known:
        assert len(load_cif(["Na1 0 0 0"], extra=extra)) == 4
    else:
        with pytest.raises(InvalidStructureError, match="is not known, and its number has several settings"):
            load_cif(["Na1 0 0 0"], extra=extra)


def test_two_structures_in_one_file_are_no_candidate():
    one = cif(["Na1 0 0 0"])
    with pytest.raises(InvalidStructureError, match=r"holds 2 structures \(data_x, data_y\)"):
        TextSource(one + one.replace("data_x", "data_y"), "cif").load(LIMITS)


@pytest.mark.parametrize("again", ["data_x", "data_X2", "# x"])
def test_atoms_that_are_given_twice_are_no_candidate(again):
    one = cif(["Na1 0 0 0"])
    with pytest.raises(InvalidStructureError, match="holds 2 structures"):
        TextSource(one + one.replace("data_x", again).replace("Na", "K"), "cif").load(LIMITS)


def test_what_looks_like_ascii_is_read_as_it_looks():
    """The parser drops what is not ASCII, such as the minus signs of a PDF file."""
    rows = ["Na1 0 0 0", "Cl1 \N{MINUS SIGN}0.25\N{NO-BREAK SPACE}0\u20030.1"]
    np.testing.assert_allclose(load_cif(rows).positions, [[0, 0, 0], [-1, 0, 0.4]], atol=1e-12)
    group = "_symmetry_space_group_name_H-M 'F m \N{EN DASH}3 m'"
    assert len(load_cif(["Na1 0 0 0"], extra=group)) == 4
    with pytest.raises(InvalidStructureError, match=r"operation 'x,y,z\+\?' of the CIF cannot be read"):
        load_cif(rows, extra="_symmetry_equiv_pos_as_xyz x,y,z+\N{VULGAR FRACTION ONE HALF}")


@pytest.mark.parametrize("word", ["DATA_ LOOP_", "Data_ Loop_"])
def test_the_words_of_a_cif_may_be_capitals(word):
    data, loop = word.split()
    text = cif(["Na1 0 0 0", "Cl1 0.5 0.5 0.5"]).replace("data_", data).replace("loop_", loop)
    assert TextSource(text, "cif").load(LIMITS).get_chemical_formula() == "ClNa"


@pytest.mark.parametrize("row", ["Na1 0 0", "Na1 0 0 0 1"])
def test_a_loop_with_a_value_too_many_or_too_few(row):
    with pytest.raises(InvalidStructureError, match="a loop has a value too many or too few"):
        load_cif(["Cl1 0.5 0.5 0.5", row, "Cl2 0 0 0.5"])


@pytest.mark.parametrize(
    ("formula", "fits"),
    [
        ("Al2 O4 H", False),  # boehmite without its hydrogen
        ("Al2O3", False),
        ("Al O2.01", True),
        ("Al8 O16", True),
        ("Al (O H)2", True),  # no plain formula, as the next ones
        ("?", True),
        ("Al L2", True),
        ("Al X2", True),
        ("", True),
    ],
)
def test_the_atoms_are_those_of_the_formula(formula, fits):
    rows = ["Al1 0 0 0", "O1 0.5 0 0", "O2 0 0.5 0"]
    if fits:
        assert len(load_cif(rows, extra=f"_chemical_formula_sum '{formula}'")) == 3
    else:
        with pytest.raises(InvalidStructureError, match="atoms are AlO2 and its _chemical_formula_sum is 'Al2"):
            load_cif(rows, extra=f"_chemical_formula_sum '{formula}'")


def test_deuterium_is_hydrogen_in_the_formula_too():
    assert len(load_cif(["D1 0 0 0", "H1 0 0 0.5", "O1 0.5 0 0"], extra="_chemical_formula_sum 'D1 H1 O1'")) == 3


def test_symmetry_that_does_not_fit_the_cell():
    with pytest.raises(InvalidStructureError, match="does not fit its cell"):
        load_cif(["Na1 0 0 0"], extra="_symmetry_space_group_name_H-M 'F m -3 m'", gamma=80)


def test_too_many_atoms_after_symmetry():
    rows = [f"Na{k} 0.{k:02d}1 0.213 0.37" for k in range(1, 3)]
    with pytest.raises(TooLargeError, match="holds 384 atoms; at most 200"):
        load_cif(rows, extra="_symmetry_space_group_name_H-M 'F m -3 m'")


def test_coordinates_without_symmetry_are_not_rounded():
    atoms = load_cif(["Na1 0.33331 0 0"])
    assert atoms.positions[0, 0] == pytest.approx(4 * 0.33331, abs=1e-12)


@pytest.mark.parametrize("symbols", [("Na", "Na"), ("Na", "Cl"), ("O", "H")])
@pytest.mark.parametrize("extra", ["", "_symmetry_space_group_name_H-M 'F m -3 m'"])
def test_two_rows_at_one_place_stay_two_atoms(symbols, extra):
    atoms = load_cif([f"{s}{k} 0 0 0" for k, s in enumerate(symbols)], extra=extra)
    assert len(atoms) == (8 if extra else 2)
    assert atoms.get_all_distances(mic=True)[0].tolist().count(0.0) == 2


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (["Fe1 Fe 0 0 0 0.5", "Co1 Co 0 0 0 0.5"], OCCUPANCY, "site 'Fe1' has occupancy 0.5; expected 1"),
        (["Fe1 Fe 0 0 0 0.5(2)"], OCCUPANCY, "occupancy 0.5"),
        (["Fe1 Fe 0 0 0 0"], OCCUPANCY, "occupancy 0;"),
        (["Nb,Zr '0.8Nb + 0.2Zr' 0 0 0 1"], OCCUPANCY, "occupancy 0.8"),
        (["OH1 OH 0 0 0"], SYMBOL, "'Oh' is not a chemical element"),
        (["X1 X 0 0 0"], SYMBOL, "'X' is not a chemical element"),
        (["Qq1 0 0 0"], SYMBOL[:1] + SYMBOL[2:], "'Qq' is not a chemical element"),
        (["CO1 0 0 0"], SYMBOL[:1] + SYMBOL[2:], "may be C or Co"),
        (["Mg/Fe1 0 0 0"], SYMBOL[:1] + SYMBOL[2:], "'Mg/Fe1' names no single element"),
        (["Nb,Zr 0 0 0"], SYMBOL[:1] + SYMBOL[2:], "'Nb,Zr' names no single element"),
        (["T1 0 0 0"], SYMBOL[:1] + SYMBOL[2:], "'T1' names no single element"),
        (["Fe1 Fe ? 0 0"], SYMBOL, r"fractional x of site Fe1 is '\?'"),
        (["Fe1 Fe nan 0 0"], SYMBOL, "not finite"),
    ],
)
def test_cif_sites_that_are_refused(rows, columns, message):
    with pytest.raises(InvalidStructureError, match=message):
        load_cif(rows, columns=columns)


@pytest.mark.parametrize(
    ("row", "columns", "symbol"),
    [
        ("Fe1 Fe3+ 0 0 0", SYMBOL, "Fe"),
        ("D1 D 0 0 0", SYMBOL, "H"),
        ("x1 CU 0 0 0", SYMBOL, "Cu"),
        ("Fe1 Fe 0 0 0 ?", OCCUPANCY, "Fe"),
        ("O2a 0 0 0", SYMBOL[:1] + SYMBOL[2:], "O"),
        ("FeM1 0 0 0", SYMBOL[:1] + SYMBOL[2:], "Fe"),
        ("OA1 0 0 0", SYMBOL[:1] + SYMBOL[2:], "O"),
    ],
)
def test_cif_elements(row, columns, symbol):
    assert load_cif([row], columns=columns).get_chemical_symbols() == [symbol]


@pytest.mark.parametrize("text", ["", "hello world", "data_x\n_cell_length_a 3\n", "\0\1\2" * 99, "data_\nloop_\n"])
def test_garbage_cif(text):
    with pytest.raises(InvalidStructureError, match="cif text: "):
        TextSource(text, "cif").load(LIMITS)


@pytest.mark.parametrize("gamma", [250, 0, -90, 180, "nan", "?"])
def test_cif_with_impossible_angles(gamma):
    with pytest.raises(InvalidStructureError, match=r"no cell has the angles 90, 90,|_cell_angle_gamma is"):
        load_cif(["Na1 0 0 0"], gamma=gamma)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("_cell_length_b 4\n", "", "the CIF lacks _cell_length_b"),
        ("_cell_length_b 4\n", "_cell_length_b -4\n", "a cell length is -4 Å"),
        ("_cell_length_b 4\n", "_cell_length_b 0.01\n", "vector b is 0.01 Å long"),
    ],
)
def test_cif_without_a_possible_cell(old, new, message):
    with pytest.raises(InvalidStructureError, match=message):
        TextSource(cif(["Na1 0 0 0"]).replace(old, new), "cif").load(LIMITS)


def test_magnetic_cif_is_expanded_with_its_own_operations():
    structure = Structure(Lattice.cubic(4), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.add_site_property("magmom", [2.0, -2.0])
    atoms = TextSource(str(CifWriter(structure, write_magmoms=True)), "cif").load(LIMITS)
    np.testing.assert_allclose(atoms.positions, structure.cart_coords, atol=1e-6)


def test_attached_hydrogens_are_reported():
    with pytest.raises(InvalidStructureError, match="attaches hydrogen"):
        load_cif(["O1 0 0 0 2"], columns=("label", "fract_x", "fract_y", "fract_z", "attached_hydrogens"))


def test_blank_lines_and_long_texts_cost_nothing():
    texts = "\n" * 3_000_000 + "_journal\n;\n" + "1 2 3\n" * 300_000 + ";\n"
    text = cif(["Na1 0 0 0"], extra=texts)
    assert len(TextSource(text, "cif").load(ReadLimits(seconds=5.0))) == 1


def test_a_cif_of_a_million_values_is_refused_quickly():
    limits = ReadLimits(max_bytes=1 << 24)
    with pytest.raises(TooLargeError, match="more than 1,000,000 values"):
        TextSource("data_x\nloop_\n_a\n" + "1 " * 1_100_000, "cif").load(limits)


POSCAR = "Cu O\n1.0\n3 0 0\n0 4 0\n0 0 5\nCu O\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


def load_poscar(text):
    return TextSource(text, "poscar").load(LIMITS)


@pytest.mark.parametrize(
    ("old", "new", "a", "last"),
    [
        ("1.0", "2.0", 6, [3, 4, 5]),
        ("1.0", "-480.0", 6, [3, 4, 5]),
        ("1.0", "2 1 1", 6, [3, 2, 2.5]),
        ("1.0\n", "1.0 ! comment\n", 3, [1.5, 2, 2.5]),
        ("Direct", "Cartesian", 3, [0.5, 0.5, 0.5]),
        (
            "1.0\n3 0 0\n0 4 0\n0 0 5\nCu O\n1 1\nDirect",
            "-480\n3 0 0\n0 4 0\n0 0 5\nCu O\n1 1\nC",
            6,
            [1, 1, 1],
        ),
        ("Direct", "Selective dynamics\nDirect", 3, [1.5, 2, 2.5]),
        ("Cu O\n1 1", "Cu_pv/f474 O/79d9\n1 1", 3, [1.5, 2, 2.5]),
        ("Cu O\n1 1", "Cu\nO\n1\n1", 3, [1.5, 2, 2.5]),
        (".5 .5 .5\n", ".5 .5 .5\n\n0 0 0\n0 0 0\n", 3, [1.5, 2, 2.5]),
        ("Cu O\n1 1\nDirect\n0 0 0\n.5 .5 .5", "1 1\nDirect\n0 0 0 Cu\n.5 .5 .5 O", 3, [1.5, 2, 2.5]),
    ],
)
def test_poscar_dialects(old, new, a, last):
    atoms = load_poscar("title\n" + POSCAR.split("\n", 1)[1].replace(old, new))
    assert atoms.get_chemical_symbols() == ["Cu", "O"]
    assert atoms.cell[0, 0] == pytest.approx(a)
    np.testing.assert_allclose(atoms.positions[1], last)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Cu O\n1 1", "2", "names no elements"),
        ("1 1\n", "1 2\n", "ends after line 10; expected the three coordinates of atom 3 of 3"),
        ("1 1\n", "1 0\n", "line 10 is '.5 .5 .5'; expected the end or a blank line after 1 positions"),
        ("1 1\n", "1\n", "expected 2 numbers of atoms"),
        ("1 1\n", "0 0\n", "holds 0 atoms"),
        ("1 1\n", "-5 7\n", "line 7"),
        ("Cu O\n", "Cu Xx\n", "'Xx' is not a chemical element"),
        ("1.0", "0.0", "line 2 is '0.0'; expected a scale factor"),
        ("0 4 0", "0 nan 0", "not finite"),
        ("0 4 0", "6 0 0", "0 Å³ an atom"),
        (".5 .5 .5", ".5 inf .5", "positions are not finite"),
        ("Direct\n", "", "line 8 is '0 0 0'; expected Direct or Cartesian"),
        (POSCAR[5:], "", "ends after line 1"),
    ],
)
def test_poscars_that_are_refused(old, new, message):
    with pytest.raises(InvalidStructureError, match=message):
        load_poscar("title\n" + POSCAR.split("\n", 1)[1].replace(old, new) if old != POSCAR[5:] else "Cu O\n")


def test_poscar_that_declares_a_huge_number_of_atoms_is_refused():
    with pytest.raises(TooLargeError, match=r"holds 1,000,000,000,000 atoms; at most 200 are allowed"):
        load_poscar(POSCAR.replace("1 1\n", "999999999999 1\n"))


EXTXYZ = '2\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3\nNa 0 0 0\nCl 1.5 1.5 1.5\n'


def test_extxyz_with_a_lattice_and_no_pbc_is_periodic():
    assert TextSource(EXTXYZ, "extxyz").load(LIMITS).pbc.all()


def test_extxyz_keeps_moments_and_leaves_results_and_constraints_out(tmp_path):
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms

    atoms = bulk("Fe", cubic=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, magmoms=[2.0, -2.0])
    atoms.set_constraint(FixAtoms([0]))
    write(tmp_path / "x.extxyz", atoms, columns=["symbols", "positions", "magmoms", "move_mask"])
    loaded = FileSource(tmp_path, "x.extxyz").load(LIMITS)
    assert loaded.get_initial_magnetic_moments().tolist() == [2.0, -2.0]
    assert loaded.calc is None
    assert loaded.constraints == []
    assert loaded.info == {}


@pytest.mark.parametrize(
    ("properties", "rows"),
    [
        ("species:S:1:pos:R:3", ["D 0 0 0", "T 1 1 1", " Dy 2 2 2"]),
        ("tag:S:1:pos:R:3:species:S:1", ["D 0 0 0 D", "T 1 1 1\tT", "D 2 2 2 Dy"]),
        ("species:S:1:pos:R:3:tag:S:1", ["D 0 0 0 T", "T 1 1 1 D", "Dy 2 2 2 D"]),
    ],
)
def test_isotopes_of_hydrogen_in_extxyz_are_hydrogen(properties, rows):
    lines = ["3", f'Lattice="3 0 0 0 3 0 0 0 3" Properties={properties}', *rows, ""]
    loaded = TextSource("\n".join(lines), "extxyz").load(LIMITS)
    assert loaded.get_chemical_symbols() == ["H", "H", "Dy"]
    assert loaded.positions[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EXTXYZ * 3, "holds 3 frames; expected one"),
        (EXTXYZ.replace("Properties", 'pbc="T T F" Properties'), "not a periodic crystal"),
        ("1\ncomment\nSi 0 0 0\n", "not a periodic crystal"),
        (EXTXYZ.replace("Na 0 0 0", "Na nan 0 0"), "positions are not finite .* in row 1"),
        (EXTXYZ.replace("Na 0 0 0", "Na 0 0"), "cannot be read"),
        (EXTXYZ.replace("Na", "X"), "atomic number 0"),
        (EXTXYZ.replace("Na", "Qq"), "'Qq' is not a chemical element"),
        (EXTXYZ.replace("pos:R:3", "velo:R:3"), "expected it to hold pos:R:3"),
        (EXTXYZ.replace("3 0 0 0 3", "3 0 0 0"), "Lattice"),
        (EXTXYZ.replace("2\n", "3\n", 1), "declares 3 atoms, but only 2 lines"),
        (EXTXYZ.replace("2\n", "0\n", 1), "holds 0 atoms"),
    ],
)
def test_extxyz_that_is_refused(text, message):
    with pytest.raises(InvalidStructureError, match=message):
        TextSource(text, "extxyz").load(LIMITS)


def test_extxyz_that_declares_a_huge_number_of_atoms():
    with pytest.raises(TooLargeError, match=r"holds 999,999,999,999 atoms"):
        TextSource("999999999999\nx\n", "extxyz").load(LIMITS)


def structure_dict(**changes):
    value = Structure(Lattice.cubic(3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]).as_dict()
    return value | changes


def site(species, **rest):
    return {"species": species, "abc": [0, 0, 0]} | rest


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "holds no pymatgen Structure"),
        ([1, 2], "holds no pymatgen Structure"),
        (structure_dict(sites=[]), "holds 0 atoms"),
        (structure_dict(lattice=None), "not a periodic crystal"),
        (
            structure_dict(lattice={"matrix": np.eye(3).tolist(), "pbc": [True, True, False]}),
            "lattice.pbc is",
        ),
        (structure_dict(lattice={"matrix": [[1, 2], [3, 4]]}), r"shape \(2, 2\); expected \(3, 3\)"),
        (structure_dict(lattice={"matrix": [["a"] * 3] * 3}), "are not numbers"),
        (structure_dict(lattice={"matrix": [[10**400, 0, 0]] * 3}), "are not numbers|not finite"),
        (structure_dict(sites=[site([{"element": "Na", "occu": 0.5}])]), r"\(Na 0.5\); expected one element"),
        (structure_dict(sites=[site([{"element": "Na", "occu": 0.5}] * 2)]), "partially occupied"),
        (structure_dict(sites=[site([{"element": "X", "occu": 1}])]), "'X' is not a chemical element"),
        (structure_dict(sites=[site("Na")]), "site 1 has no list of species"),
        (structure_dict(sites=[{"species": [{"element": "Na", "occu": 1}]}]), "of site 1 "),
        (
            structure_dict(sites=[site([{"element": "Na", "occu": 1}], abc=[0, float("nan"), 0])]),
            "not finite",
        ),
    ],
)
def test_json_that_is_refused(value, message):
    with pytest.raises(InvalidStructureError, match=message):
        TextSource(json.dumps(value), "json").load(LIMITS)


def test_json_imports_nothing_that_it_names(monkeypatch):
    evil = {"@module": "os", "@class": "system", "command": "false"}
    value = structure_dict(sites=[site([{"element": "Na", "occu": 1}], properties={"magmom": evil, "x": evil})])
    atoms = TextSource(json.dumps(value | {"properties": evil}), "json").load(LIMITS)
    assert len(atoms) == 1
    assert not atoms.has("initial_magmoms")


def test_json_count_before_parsing():
    with pytest.raises(TooLargeError, match="holds 201 atoms"):
        TextSource(json.dumps(structure_dict(sites=[1] * 201)), "json").load(LIMITS)


@pytest.mark.parametrize("name", ["x.json", "x.extxyz", "x.cif", "POSCAR", "x.cif.gz"])
def test_a_pickle_under_another_name_is_not_executed(tmp_path, name):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    (tmp_path / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InvalidStructureError):
        FileSource(tmp_path, name).load(LIMITS)
    assert not (tmp_path / "executed").exists()


@pytest.fixture
def inside(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    write(tmp_path / "secret.cif", bulk("Si"))
    write(folder / "si.cif", bulk("Si"))
    (folder / "link.cif").symlink_to("si.cif")
    (folder / "out.cif").symlink_to(tmp_path / "secret.cif")
    (folder / "zero.cif").symlink_to("/dev/zero")
    (folder / "loop.cif").symlink_to("loop.cif")
    (folder / "sub.cif").mkdir()
    (folder / "sub.txt").write_text("x")
    os.mkfifo(folder / "fifo.cif")
    return folder


@pytest.mark.parametrize("path", ["si.cif", "link.cif", "./sub.cif/../si.cif", "{folder}/si.cif"])
def test_paths_inside_the_folder(inside, path):
    assert len(FileSource(inside, path.format(folder=inside)).load(LIMITS)) == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../secret.cif", "leads out of the table's folder"),
        ("{folder}/../secret.cif", "leads out of the table's folder"),
        ("out.cif", "leads out of the table's folder"),
        ("zero.cif", "leads out of the table's folder"),
        ("/dev/zero", "leads out of the table's folder"),
        ("loop.cif", "cannot be followed|no such file"),
        ("sub.cif", "it is a folder; expected a regular file"),
        ("fifo.cif", r"it is a named pipe \(FIFO\)"),
        ("https://example.org/si.cif", "it is a URL"),
        ("no.cif", "there is no such file"),
        ("si.cif/x.cif", "cannot be followed|no such file"),
        ("x" * 5000 + ".cif", "cannot be followed"),
        ("a\0.cif", "NUL"),
        ("sub.txt", r"no known format; expected \.cif, "),
    ],
)
def test_paths_that_are_refused(inside, path, message):
    source = FileSource(inside, path.format(folder=inside))
    with pytest.raises(InvalidStructureError, match=message) as error:
        source.load(LIMITS)
    source.digest(1000)
    assert len(str(error.value)) < 700
    assert type(pickle.loads(pickle.dumps(error.value))) is InvalidStructureError


def test_size_limits(tmp_path):
    (tmp_path / "big.cif").write_bytes(b" " * 200_001)
    with pytest.raises(TooLargeError, match=r"has 200,001 bytes; at most 200,000 are allowed"):
        FileSource(tmp_path, "big.cif").load(LIMITS)
    (tmp_path / "bomb.cif.gz").write_bytes(gzip.compress(b" " * 100_000_000))
    with pytest.raises(TooLargeError, match=r"more than 200,000 bytes after decompression"):
        FileSource(tmp_path, "bomb.cif.gz").load(LIMITS)
    with pytest.raises(TooLargeError, match=r"has 200,001 characters"):
        TextSource("x" * 200_001, "cif").load(LIMITS)
    with pytest.raises(TooLargeError, match="holds 2 atoms; at most 1"):
        TextSource(POSCAR, "poscar").load(ReadLimits(max_atoms=1))


@pytest.mark.parametrize("data", [b"", b"text", gzip.compress(b"x" * 1000)[:-9]], ids=["empty", "not gzip", "torn"])
def test_damaged_gzip(tmp_path, data):
    (tmp_path / "x.cif.gz").write_bytes(data)
    with pytest.raises(InvalidStructureError):
        FileSource(tmp_path, "x.cif.gz").load(LIMITS)


def test_time_limit_and_the_alarm_is_put_back():
    fired = []
    previous = signal.signal(signal.SIGALRM, lambda *_: fired.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 100.0)
        with pytest.raises(InvalidStructureError, match=r"took longer than 0\.02 s"):
            TextSource("data_x\nloop_\n_a\n" + "'a b' " * 400_000, "cif").load(
                ReadLimits(max_bytes=1 << 24, seconds=0.02)
            )
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 90.0 < left < 100.0
        os.kill(os.getpid(), signal.SIGALRM)
        assert fired == [True]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)


def test_no_parser_swallows_the_time_limit():
    started = time.monotonic()

    def stubborn():
        with reading("x", 0.02):
            while time.monotonic() - started < 5.0:
                try:
                    time.sleep(1.0)
                except Exception:
                    continue

    with pytest.raises(InvalidStructureError, match="took longer"):
        stubborn()
    assert time.monotonic() - started < 5.0


def test_other_threads_can_load():
    found = []
    thread = threading.Thread(target=lambda: found.append(TextSource(POSCAR, "poscar").load(LIMITS)))
    thread.start()
    thread.join()
    assert len(found[0]) == 2


def test_nothing_is_printed_warned_or_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_cif(["Na1 0 0 0"])
        load_poscar(POSCAR)
        TextSource(EXTXYZ, "extxyz").load(LIMITS)
        TextSource(json.dumps(structure_dict()), "json").load(LIMITS)
        with pytest.raises(InvalidStructureError):
            TextSource("hello", "cif").load(LIMITS)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "source",
    [
        TextSource(POSCAR, "poscar"),
        ArraySource(np.array([14]), np.zeros((1, 3)), 3.0 * np.eye(3), (True, True, True), np.array([1.0])),
    ],
)
def test_sources_are_picklable(source):
    copy = pickle.loads(pickle.dumps(source))
    assert copy.load(LIMITS) == source.load(LIMITS)
    assert copy.load(LIMITS).get_initial_magnetic_moments().tolist() == (
        source.load(LIMITS).get_initial_magnetic_moments().tolist()
    )
