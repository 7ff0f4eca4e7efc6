"""The symmetry of a CIF: as its operations, its symbols and its number tell, and refused where they do not."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
import spglib
from ase.build import bulk
from ase.cell import Cell
from ase.spacegroup import crystal
from pymatgen.core.operations import SymmOp

from uniscreen.errors import InvalidStructureError
from uniscreen.structures import ReadLimits
from uniscreen.structures.sources import TextSource
from uniscreen.structures.space_groups import (
    operations_of,
    settings,
    settings_of_hall_symbol,
    settings_of_symbol,
)

LIMITS = ReadLimits(max_atoms=400)

# a, c (Å), and the asymmetric unit in hexagonal axes, as published (ICSD, American Mineralogist).
RHOMBOHEDRAL = {
    "corundum": ("R -3 c", 4.7602, 12.9933, {"Al": (0, 0, 0.35216), "O": (0.30624, 0, 0.25)}, 30),
    "calcite": ("R -3 c", 4.9896, 17.061, {"Ca": (0, 0, 0), "C": (0, 0, 0.25), "O": (0.2568, 0, 0.25)}, 30),
    "Bi2Te3": ("R -3 m", 4.3835, 30.487, {"Bi": (0, 0, 0.4), "Te": (0, 0, 0.2097), "Te2": (0, 0, 0)}, 15),
    "LiCoO2": ("R -3 m", 2.8156, 14.0542, {"Li": (0, 0, 0), "Co": (0, 0, 0.5), "O": (0, 0, 0.23968)}, 12),
}
SHORTEST = {"corundum": ("Al", "O", 1.854), "calcite": ("C", "O", 1.281), "Bi2Te3": ("Bi", "Te", 3.06)}
SHORTEST["LiCoO2"] = ("Co", "O", 1.921)
HALL = {"R -3 c": {"H": '-R 3 2"c', "R": "-P 3* 2n"}, "R -3 m": {"H": '-R 3 2"', "R": "-P 3* 2"}}
NUMBER = {"R -3 c": 167, "R -3 m": 166}


def cif(cell, sites, extra):
    names = [f"length_{k}" for k in "abc"] + [f"angle_{k}" for k in ("alpha", "beta", "gamma")]
    lines = [f"_cell_{name} {value:.6f}" for name, value in zip(names, cell, strict=True)]
    columns = ["label", "fract_x", "fract_y", "fract_z"]
    rows = [f"{label} {x:.6f} {y:.6f} {z:.6f}" for label, (x, y, z) in sites.items()]
    return "\n".join(["data_x", *lines, extra, "loop_", *(f"_atom_site_{c}" for c in columns), *rows, ""])


def load(cell, sites, extra):
    return TextSource(cif(cell, sites, extra), "cif").load(LIMITS)


def named(symbol):
    return f'_symmetry_space_group_name_H-M "{symbol}"'


def operations(*texts):
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(f"'{text}'" for text in texts)


def axes(name, kind):
    """The cell parameters and asymmetric unit of a rhombohedral crystal, in hexagonal or rhombohedral axes."""
    _, a, c, sites, _ = RHOMBOHEDRAL[name]
    if kind == "H":
        return (a, a, c, 90, 90, 120), sites
    length = np.sqrt(a**2 / 3 + c**2 / 9)
    angle = np.degrees(2 * np.arcsin(a / (2 * length)))
    # obverse setting: a_h = a - b, b_h = b - c, c_h = a + b + c
    return (*[length] * 3, *[angle] * 3), {k: (x + z, y - x + z, z - y) for k, (x, y, z) in sites.items()}


def shapes(symbol, kind):
    """Ways in which programs write the group of a rhombohedral crystal without its operations."""
    word = {"H": "hexagonal", "R": "rhombohedral"}[kind]
    hall = HALL[symbol][kind]
    quoted = f"'{hall}'"
    return [
        named(symbol),
        named(symbol.replace(" ", "")),
        named(f"{symbol} :{kind}"),
        named(f"{symbol}:{kind.lower()}"),
        named(f"{symbol} {kind}"),
        named(f"{symbol}{kind}".replace(" ", "")),
        named(f"{symbol} {{{word} axes}}"),
        named(f"{symbol} ({word} axes)"),
        f'_space_group_name_H-M_alt "{symbol}:{kind}"\n_space_group_IT_number {NUMBER[symbol]}',
        f"_space_group_IT_number {NUMBER[symbol]}",
        f"_symmetry_Int_Tables_number {NUMBER[symbol]}\n{named('not a symbol')}",
        f"_symmetry_space_group_name_Hall {quoted}",
        f"_space_group_name_Hall {quoted}\n_space_group_name_H-M_alt ?",
        f"_Space_Group.Name_Hall {quoted}",
    ]


@pytest.mark.parametrize("kind", ["H", "R"])
@pytest.mark.parametrize("name", RHOMBOHEDRAL)
def test_rhombohedral_crystals_without_operations(name, kind):
    symbol, a, c, _, n_atoms = RHOMBOHEDRAL[name]
    first, second, shortest = SHORTEST[name]
    for extra in shapes(symbol, kind):
        atoms = load(*axes(name, kind), extra)
        assert len(atoms) == (n_atoms if kind == "H" else n_atoms / 3), extra
        assert atoms.get_volume() / len(atoms) == pytest.approx(np.sqrt(3) / 2 * a**2 * c / n_atoms, rel=1e-5)
        found = spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3)
        assert found == f"{symbol.replace(' ', '')} ({NUMBER[symbol]})", extra
        large = atoms * (2, 2, 2)
        distances = large.get_all_distances(mic=True)[large.symbols == first][:, large.symbols == second]
        assert distances.min() == pytest.approx(shortest, abs=0.01), extra


@pytest.mark.parametrize("form", ["R -3 m :{}", "R-3m{}", "R -3 m {{{} axes}}"])
@pytest.mark.parametrize(("kind", "other"), [("H", "rhombohedral"), ("R", "hexagonal"), ("H", "R"), ("R", "H")])
def test_axes_that_are_not_those_of_the_cell_are_refused(kind, other, form):
    with pytest.raises(InvalidStructureError, match="does not fit its cell"):
        load(*axes("LiCoO2", kind), named(form.format(other)))


SPINEL = {  # MgAl2O4 with u = 0.2624 (origin at -3m), or 0.3874 (origin at -43m)
    "1": {"Mg": (0, 0, 0), "Al": (0.625, 0.625, 0.625), "O": (0.3874, 0.3874, 0.3874)},
    "2": {"Mg": (0.125, 0.125, 0.125), "Al": (0.5, 0.5, 0.5), "O": (0.2624, 0.2624, 0.2624)},
}


@pytest.mark.parametrize("origin", ["1", "2"])
def test_origins(origin):
    letter, hall = {"1": ("S", "F 4d 2 3 -1d"), "2": ("Z", "-F 4vw 2vw 3")}[origin]
    cell = (8.0831, 8.0831, 8.0831, 90, 90, 90)
    for symbol in (f"F d -3 m :{origin}", f"Fd-3m:{origin}", f"F d -3 m {letter}", f"Fd-3m{letter}", f"Fd-3m {origin}"):
        atoms = load(cell, SPINEL[origin], named(symbol))
        assert atoms.get_chemical_formula() == "Al16Mg8O32"
        found = spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3)
        assert found == "Fd-3m (227)"
        distances = atoms.get_all_distances(mic=True)
        assert distances[distances > 0].min() == pytest.approx(1.925, abs=0.01)
    told = f"{named('F d -3 m')}\n_symmetry_space_group_name_Hall '{hall}'\n_symmetry_Int_Tables_number 227"
    np.testing.assert_allclose(load(cell, SPINEL[origin], told).positions, atoms.positions, atol=1e-8)


@pytest.mark.parametrize("extra", [named("F d -3 m"), named("gibberish 227"), "", named("F d d d")])
def test_an_origin_that_is_not_told_is_not_guessed(extra):
    # With the other origin the two carbon atoms a cell of diamond would be four.
    number = "70" if "d d" in extra else "227"
    with pytest.raises(InvalidStructureError, match="has two choices of the origin"):
        load((4, 4, 4, 90, 90, 90), {"C": (0.125, 0.125, 0.125)}, f"{extra}\n_symmetry_Int_Tables_number {number}")


def test_symbols_as_another_table_of_space_groups_has_them():
    """The table is that of pymatgen, from the Computational Crystallography Toolbox."""
    found = {}
    for setting in settings():
        found.setdefault(as_set(*operations_of(setting)), set()).add(setting)
    n_known = 0
    for row in json.loads((files("pymatgen.symmetry") / "symm_ops.json").read_text()):
        listed = [SymmOp.from_xyz_str(text) for text in row["symops"]]
        same = found.get(as_set([op.rotation_matrix for op in listed], [op.translation_vector for op in listed]))
        by_hall, by_symbol = settings_of_hall_symbol(row["hall"]), settings_of_symbol(row["universal_h_m"])
        if same is None:
            assert not by_hall, row["hall"]
            assert not by_symbol, row["universal_h_m"]
        elif row["universal_h_m"] != "C 2 e b":  # it has two double glides, C 2 e e
            assert by_hall & same, row["hall"]
            assert by_symbol & same, row["universal_h_m"]
            n_known += 1
    assert n_known == len(found) - 1 == 526


def as_set(rotations, translations):
    steps = np.rint(24 * np.asarray(translations)).astype(int) % 24
    rows = np.concatenate([np.rint(rotations).astype(int).reshape(-1, 9), steps], axis=1)
    return frozenset(map(tuple, rows.tolist()))


@pytest.mark.parametrize(
    ("symbol", "cell", "hall"),
    [
        ("P 21/n", (5, 6, 7, 90, 99, 90), "-P 2yn"),
        ("P 21/n", (5, 6, 7, 90, 90, 99), "-P 2n"),
        ("P 21/n", (5, 6, 7, 90, 90, 90), "-P 2yn"),
        ("P 2_1/a", (5, 6, 7, 90, 90, 90.2), "-P 2ac"),
        ("B 2/b", (5, 6, 7, 90, 90, 99), "-B 2b"),
        ("B m a b", (5, 6, 7, 90, 90, 90), "-B 2ab 2"),
        ("C m m e", (5, 6, 7, 90, 90, 90), "-C 2a 2"),
        ("P 2_1/b 2_1/n 2_1/m", (5, 6, 7, 90, 90, 90), "-P 2c 2ab"),
    ],
)
def test_axes_are_those_of_the_cell_and_of_the_symbol(symbol, cell, hall):
    site = {"Na": (0.1, 0.23, 0.37)}
    expected = load(cell, site, f"_space_group_name_Hall '{hall}'")
    np.testing.assert_allclose(load(cell, site, named(symbol)).positions, expected.positions)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (named("A e m m"), "'A e m m' has several settings in this cell"),
        (named("A e a a :2"), "'A e a a :2' has several settings in this cell"),
        ("_space_group_name_Hall '-P 2ac 2n (x,y,z+1/4)'", "not known or no names of one setting: -P 2ac 2n"),
        (f"{named('P n m a')}\n_symmetry_Int_Tables_number 225", "no names of one setting: P n m a, 225"),
        (f"{named('P 1')}\n_symmetry_Int_Tables_number 62", "no names of one setting: P 1, 62"),
        (f"{named('P n m a')}\n_space_group_name_Hall '-P 2c 2ab'", "no names of one setting"),
        ("_symmetry_Int_Tables_number 231", "no names of one setting: 231"),
        ("_symmetry_Int_Tables_number one", "no names of one setting: one"),
        ("_space_group_name_Schoenflies D2h^16", "'D2h.16' is not known"),
    ],
)
def test_symmetry_that_leaves_no_setting_or_several(extra, message):
    with pytest.raises(InvalidStructureError, match=message):
        load((4, 4.5, 5, 90, 90, 90), {"Na": (0, 0, 0)}, extra)


@pytest.mark.parametrize(
    "extra", ["", named("P 1"), named("?"), "_symmetry_Int_Tables_number 1", operations("x, y, z")]
)
def test_no_symmetry(extra):
    sites = {"Na": (0.1, 0.2, 0.3)}
    np.testing.assert_allclose(load((4, 4, 4, 90, 90, 90), sites, extra).get_scaled_positions(), [[0.1, 0.2, 0.3]])


def test_all_atoms_with_the_identity_alone_are_all_atoms():
    assert len(load((4, 4, 4, 90, 90, 90), {"Na": (0, 0, 0)}, f"{named('F m -3 m')}\n{operations('x,y,z')}")) == 1


@pytest.mark.parametrize(("one", "two"), [("1/3", "2/3"), ("0.333", "0.667"), (".3333333", "0.66666667")])
def test_operations_as_programs_write_them(one, two):
    texts = ("+x,+y,+z", f"-Y , X-Y, Z+{one}", f"Y-X, -x, {two}+1*z")
    atoms = load((4, 4, 9, 90, 90, 120), {"Se": (0.2, 0, 0)}, operations(*texts))
    expected = crystal("Se", [(0.2, 0, 0)], spacegroup=144, cellpar=(4, 4, 9, 90, 90, 120))
    found = np.sort(atoms.get_all_distances(mic=True).ravel())
    np.testing.assert_allclose(found, np.sort(expected.get_all_distances(mic=True).ravel()), atol=1e-6)


@pytest.mark.parametrize("text", ["x,y", "x,y,z,w", "-x,-y,", "x,y,z+1/0", "x,y,zz", "x,y+,z", "x,y,z+1/2a", "5"])
def test_operations_that_cannot_be_read(text):
    with pytest.raises(InvalidStructureError, match="cannot be read; expected one like"):
        load((4, 4, 4, 90, 90, 90), {"Na": (0, 0, 0)}, operations("x,y,z", text))


def test_operations_that_are_not_given_are_looked_up():
    extra = f"{named('F m -3 m')}\n{operations('?')}"
    atoms = load((5.64, 5.64, 5.64, 90, 90, 90), {"Na": (0, 0, 0), "Cl": (0.5, 0.5, 0.5)}, extra)
    assert atoms.get_chemical_formula() == "Cl4Na4"


@pytest.mark.parametrize(
    "texts",
    [
        ("-x,-y,-z",),  # without the identity
        ("x,y,z", "-x,-y,z+1/4"),  # a misprint of 1/2
        ("x,y,z", "-x,y,-z", "-x,-y,-z"),  # one is missing
        ("x,y,z", "x,y,z+1/4"),  # a centring that is none
        ("x,y,z", "x,y,z+1/2", "-x,-y,-z"),  # the centring of one rotation only
        ("x,y,z", "-x,-y,-z", "-x,-y,-z+1/2"),
    ],
)
def test_operations_that_are_no_group(texts):
    with pytest.raises(InvalidStructureError, match="symmetry operations that the CIF lists are no group"):
        load((4, 5, 6, 90, 90, 90), {"Na": (0.1, 0.2, 0.3)}, operations(*texts))


def test_a_list_without_the_centring_is_refused():
    whole = [f"{sign}x,{sign}y,{sign}z" for sign in ("", "-")]
    with pytest.raises(
        InvalidStructureError, match=r"lists 2 symmetry operations, and .* 'I m m m' has 16 in this cell"
    ):
        load((4, 5, 6, 90, 90, 90), {"Na": (0, 0, 0)}, f"{named('I m m m')}\n{operations(*whole)}")


def test_more_operations_than_any_group_has():
    with pytest.raises(InvalidStructureError, match="lists 501 symmetry operations; expected at most 500"):
        load((4, 5, 6, 90, 90, 90), {"Na": (0, 0, 0)}, operations(*["x,y,z"] * 501))


@pytest.mark.parametrize("setting", range(1, 531, 7))
def test_operations_of_every_kind_of_group_are_a_group(setting):
    rotations, translations = operations_of(setting)
    texts = [
        SymmOp.from_rotation_and_translation(r, t).as_xyz_str() for r, t in zip(rotations, translations, strict=True)
    ]
    metric = np.mean(
        np.swapaxes(rotations, 1, 2) @ np.array([[30, 1, 2], [1, 40, 3], [2, 3, 55.0]]) @ rotations, axis=0
    )
    cell = Cell(np.linalg.cholesky(metric)).cellpar()
    sites = {"Na": (0.1234, 0.2917, 0.3801)}
    hall = settings()[setting].hall_symbol
    quote = '"' if "'" in hall else "'"
    listed, named_only = (
        load(cell, sites, operations(*texts)),
        load(cell, sites, f"_space_group_name_Hall {quote}{hall}{quote}"),
    )
    np.testing.assert_allclose(listed.positions, named_only.positions, atol=1e-6)


MAGNETIC = """loop_
_space_group_symop_magn_operation.xyz
x,y,z,+1
-x,-y,-z,+1
loop_
_space_group_symop_magn_centering.xyz
x,y,z,+1
x+1/2,y+1/2,z,+1
x+1/2,y,z+1/2,-1
x,y+1/2,z+1/2,-1
"""


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), (".xyz", "_xyz"), ("symop_magn_", "symop.magn_"), ("_space_group", "_Space_Group")]
)
def test_magnetic_operations_in_the_spellings_of_their_dictionary(old, new):
    text = (
        MAGNETIC.replace(old, new).replace("centering.", "centering_")
        if "symop." in new
        else MAGNETIC.replace(old, new)
    )
    atoms = load((4.2, 4.2, 4.2, 90, 90, 90), {"Ni": (0, 0, 0), "O": (0.5, 0.5, 0.5)}, text)
    assert atoms.get_chemical_formula() == "Ni4O4"


def test_a_magnetic_group_beside_ordinary_operations_or_alone():
    cell, site, name = (4, 5, 6, 90, 90, 90), {"Ni": (0, 0, 0.1)}, "_space_group_magn.name_OG 'P -1'"
    assert len(load(cell, site, f"{name}\n{operations('x,y,z', '-x,-y,-z')}")) == 2
    with pytest.raises(InvalidStructureError, match="space group 'P -1' is not known"):
        load(cell, site, name)


@pytest.mark.parametrize(
    "extra", ["_cell_modulation_dimension 1", "loop_\n_space_group_symop_ssg_operation_algebraic\nx1,x2,x3,x4"]
)
def test_modulated_structures_are_refused(extra):
    with pytest.raises(InvalidStructureError, match="is a modulated structure"):
        load((4, 5, 6, 90, 90, 90), {"Na": (0, 0, 0)}, extra)


def test_moments_without_a_magnetic_group_leave_the_ordinary_one():
    extra = f"{named('I m -3 m')}\nloop_\n_atom_site_moment_label\n_atom_site_moment_crystalaxis_z\nFe1 2.2\n"
    atoms = load((2.87, 2.87, 2.87, 90, 90, 90), {"Fe1": (0, 0, 0)}, extra)
    assert len(atoms) == len(bulk("Fe", cubic=True))


@pytest.mark.parametrize(
    ("symbol", "cell", "site", "n_atoms"),
    [
        ("P 63/m m c", (3.2, 3.2, 5.2, 90, 90, 120), (0.33, 0.67, 0.25), 2),
        ("P 63/m m c", (12.1, 12.1, 5.2, 90, 90, 120), (0.155, 0.311, 0.25), 6),  # on x, 2x, 1/4
        ("P 63/m m c", (12.1, 12.1, 5.2, 90, 90, 120), (0.155, 0.330, 0.25), 12),
    ],
)
def test_special_positions_with_few_digits(symbol, cell, site, n_atoms):
    assert len(load(cell, {"Mg": site}, named(symbol))) == n_atoms
