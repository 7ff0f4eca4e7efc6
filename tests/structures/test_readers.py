"""Reading candidates from folders, frames, entries and objects."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from uniscreen.errors import InputError, InvalidStructureError
from uniscreen.structures import candidates_from_structures, read_candidates
from uniscreen.structures.frames import Frame, split_frames


def test_folder(tmp_path, limits):
    write(tmp_path / "b.cif", bulk("Si"))
    write(tmp_path / "a.vasp", bulk("Cu"))
    write(tmp_path / "CONTCAR", bulk("Al"), format="vasp")
    write(tmp_path / "c.json", bulk("Al"), format="extxyz")
    (tmp_path / "d.cif.gz").write_bytes(gzip.compress((tmp_path / "b.cif").read_bytes()))
    (tmp_path / "notes.txt").write_text("not a structure")
    (tmp_path / ".hidden.cif").write_text("not a structure")
    (tmp_path / "sub.cif").mkdir()
    found = read_candidates(tmp_path)
    assert [c.id for c in found] == ["CONTCAR", "a", "b", "c", "d"]
    assert found.columns.shape == (5, 0)
    assert found.name == tmp_path.name
    assert [len(found.candidates[k].source.load(limits)) for k in (0, 1, 2, 4)] == [1, 1, 2, 2]
    with pytest.raises(InvalidStructureError, match=r"c\.json"):
        found.candidates[3].source.load(limits)


def test_files_of_a_folder_that_are_passed_over_are_told(tmp_path, caplog):
    write(tmp_path / "a.cif", bulk("Si"))
    assert len(read_candidates(tmp_path)) == 1
    assert caplog.messages == []
    for name in ("m.mcif", "nacl.poscar.txt", ".hidden"):
        (tmp_path / name).touch()
    assert len(read_candidates(tmp_path)) == 1
    assert "2 of 3 files passed over, whose names are of no structure: m.mcif, nacl.poscar.txt" in caplog.text


def test_folder_keeps_the_suffix_where_two_files_share_an_id(tmp_path):
    for name in ("x.cif", "x.vasp", "y.cif"):
        (tmp_path / name).write_text("")
    assert [c.id for c in read_candidates(tmp_path)] == ["x.cif", "x.vasp", "y"]


def test_folder_without_structures(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"no structure file; expected \.cif, \.vasp, .*POSCAR"):
        read_candidates(tmp_path)


@pytest.mark.parametrize("name", ["a.xlsx", "a.cif", "a"])
def test_unknown_kind(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=r"unknown kind of input; expected a table \(\.csv, \.parquet\)"):
        read_candidates(tmp_path / name)


def test_input_that_is_missing_or_not_a_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_candidates(tmp_path / "no.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="not a regular file"):
        read_candidates(tmp_path / "pipe.csv")
    (tmp_path / "t.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match=r"t\.csv\.gz: it is not a valid gzip file"):
        read_candidates(tmp_path / "t.csv.gz")


@pytest.mark.parametrize("name", ["traj.extxyz", "traj.xyz.gz"])
def test_frames(tmp_path, limits, name):
    frames = [bulk("Si"), bulk("Cu") * (2, 1, 1), bulk("Fe")]
    for k, frame in enumerate(frames):
        frame.info |= {"id": f"00{k}", "energy_model": -1.5 * k, "tag": "a b", "vector": np.arange(3)}
    write(tmp_path / name, frames, format="extxyz")
    found = read_candidates(tmp_path / name)
    assert [c.id for c in found] == ["000", "001", "002"]
    assert found.columns["energy_model"].tolist() == [0.0, -1.5, -3.0]
    assert found.columns["tag"].tolist() == ["a b"] * 3
    assert set(found.columns) == {"energy_model", "tag"}
    for candidate, frame in zip(found, frames, strict=True):
        np.testing.assert_allclose(candidate.source.load(limits).positions, frame.positions, atol=1e-8)


def test_frames_without_an_id_in_each(tmp_path):
    frames = [bulk("Si"), bulk("Cu")]
    frames[0].info["id"] = "only"
    write(tmp_path / "t.extxyz", frames)
    found = read_candidates(tmp_path / "t.extxyz")
    assert [c.id for c in found] == ["t-0", "t-1"]
    assert found.columns["id"][0] == "only"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no candidates"),
        ("1\nLattice\nSi 0 0 0\n5\n", "frame at line 4 declares 5 atoms, but only 0 lines"),
        ("1\nc\nSi 0 0 0\n99999999999\nx\n", "declares 99,999,999,999 atoms"),
        ("abc\n", "line 1 is 'abc'"),
        ("-1\nx\n", "line 1 is '-1'"),
    ],
)
def test_damaged_frames(tmp_path, text, message):
    (tmp_path / "t.extxyz").write_text(text)
    with pytest.raises(InputError, match=message):
        read_candidates(tmp_path / "t.extxyz")


def test_an_id_is_not_taken_out_of_another_text(tmp_path):
    for number, name in enumerate(("A", 'B "2"')):
        quoted = name.replace('"', '\\"')
        write(tmp_path / f"{number}.xyz", bulk("Si"), format="extxyz", comment=f'note="parent id=old" id="{quoted}"')
    text = "".join((tmp_path / f"{number}.xyz").read_text() for number in range(2))
    (tmp_path / "frames.extxyz").write_text(text)
    table = read_candidates(tmp_path / "frames.extxyz")
    assert [candidate.id for candidate in table] == ["A", 'B "2"']
    assert table.columns["note"].tolist() == ["parent id=old"] * 2


def test_frames_are_split_as_they_are_read():
    def lines():
        yield from ("1", "first", "Si 0 0 0", "1", " ", "Si 1 1 1")
        yield from ("", "  ")
        pytest.fail("read on before it had to")

    frames = split_frames(lines())
    assert next(frames) == Frame(1, "first", "1\nfirst\nSi 0 0 0\n")
    assert next(frames) == Frame(4, " ", "1\n \nSi 1 1 1\n")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["2", "c", "Si 0 0 0", "", ""], "line 1 declares 2 atoms, but only 1 lines"),
        (["0"], "line 1 declares 0 atoms, but only 0 lines"),
        (["1", "c", "Si 0 0 0", "", "1", "c", "Si 0 0 0"], "line 4 is ''"),
    ],
    ids=["blank atoms", "no comment", "blank between"],
)
def test_blank_lines_stand_only_behind_the_last_frame(lines, message):
    with pytest.raises(InvalidStructureError, match=message):
        [*split_frames(lines)]


def test_a_frame_with_a_bad_comment_fails_alone(tmp_path, limits):
    write(tmp_path / "t.extxyz", [bulk("Si"), bulk("Cu")])
    text = (tmp_path / "t.extxyz").read_text()
    (tmp_path / "t.extxyz").write_text(text.replace('Lattice="', 'Lattice="1 ', 1))
    bad, good = read_candidates(tmp_path / "t.extxyz")
    assert len(good.source.load(limits)) == 1
    with pytest.raises(InvalidStructureError, match="Lattice"):
        bad.source.load(limits)


NACL = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def entries():
    decorated = NACL.copy()
    decorated.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    decorated.add_site_property("magmom", [0.5] * 8)
    return [
        ComputedStructureEntry(NACL, -27.0, correction=-1.0, entry_id="mp-1").as_dict(),
        {"material_id": "mp-2", "structure": decorated.as_dict(), "e_above_hull": 0.1, "elements": ["Na"]},
        {"structure": NACL.as_dict(), "data": {"material_id": "mp-3"}},
        {**NACL.as_dict(), "candidate_id": " mp-x "},
        {"id": 5, "structure": None},
    ]


@pytest.mark.parametrize("wrap", [lambda found: found, lambda found: {"entries": found}])
@pytest.mark.parametrize("name", ["mp.json", "mp.json.gz"])
def test_entry_ids(tmp_path, name, wrap):
    data = json.dumps(wrap(entries())).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert [c.id for c in read_candidates(tmp_path / name)] == ["mp-1", "mp-2", "mp-3", "mp-x", "5"]


def test_entry_ids_columns_and_structures(tmp_path, limits):
    path = tmp_path / "mp.json"
    path.write_text(json.dumps(entries()))
    found = read_candidates(path)
    assert [c.id for c in found] == ["mp-1", "mp-2", "mp-3", "mp-x", "5"]
    assert found.columns["energy"][0] == -27.0
    assert found.columns["e_above_hull"][1] == 0.1
    assert set(found.columns) == {"energy", "correction", "e_above_hull"}
    for candidate in found.candidates[:4]:
        atoms = candidate.source.load(limits)
        assert atoms.get_chemical_formula() == "Cl4Na4"
        assert atoms.pbc.all()
        np.testing.assert_allclose(atoms.cell.array, NACL.lattice.matrix)
    assert found.candidates[1].source.load(limits).get_initial_magnetic_moments().tolist() == [0.5] * 8
    assert not found.candidates[0].source.load(limits).has("initial_magmoms")
    with pytest.raises(InvalidStructureError, match="holds no pymatgen Structure"):
        found.candidates[4].source.load(limits)


def test_entries_without_any_id(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps([NACL.as_dict(), NACL.as_dict()]))
    found = read_candidates(tmp_path / "list.json")
    assert [c.id for c in found] == ["list-0", "list-1"]
    assert found.columns.shape == (2, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("3", "expected a list"),
        ('{"a": 1}', "expected a list"),
        ("[]", "holds no candidates"),
        ("[{}, 3]", "entry 2 is a int"),
        ('[{"energy": 3}]', "no entry holds a structure"),
        ('[{"id": "a", "structure": {}}, {"id": "a", "structure": {}}]', "'a' in entry 1 and entry 2"),
    ],
)
def test_wrong_entries(tmp_path, text, message):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_candidates(tmp_path / "t.json")


def test_real_entries_of_the_materials_project(real_data, limits):
    path = real_data("mp/li-co-ni-o-entries.json.gz")
    raw = json.loads(gzip.decompress(path.read_bytes()))
    found = read_candidates(path)
    assert len(found) == len(raw) == 775
    assert found.columns["e_above_hull"].tolist() == [entry["e_above_hull"] for entry in raw]
    assert found.columns["is_stable"].dtype == bool
    for candidate, entry in zip(found, raw, strict=True):
        atoms = candidate.source.load(limits)
        symbols = atoms.get_chemical_symbols()
        assert candidate.id == entry["entry_id"]
        assert {s: float(symbols.count(s)) for s in set(symbols)} == entry["composition"]
        xyz = [site["xyz"] for site in entry["structure"]["sites"]]
        np.testing.assert_allclose(atoms.positions, xyz, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "first"), [("mp/y-mn-o-entries.json.gz", "mp-542909"), ("wbm/wbm-972.json.gz", "wbm-3-38149")]
)
def test_other_real_entries(real_data, limits, name, first):
    found = read_candidates(real_data(name))
    assert found.candidates[0].id == first
    for candidate in found:
        assert len(candidate.source.load(limits)) > 0


def test_real_frames(real_data, limits):
    found = read_candidates(real_data("foundation-sample/mpf-alkali-tp.extxyz"), limit=20)
    assert found.columns["internal_id"][0] == "mpf-alkali-TP-000112"
    assert len(found) == 20
    assert all(len(c.source.load(limits)) > 0 for c in found)


def test_structures_in_memory(limits):
    atoms = bulk("Fe", cubic=True)
    atoms.set_initial_magnetic_moments([2.0, -2.0])
    disordered = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    table = candidates_from_structures([atoms, NACL, disordered], ids=["001", "b", "c"])
    expected = atoms.copy()
    atoms.positions += 1.0  # the table has its own copy
    assert [c.id for c in table] == ["001", "b", "c"]
    assert table.columns.shape == (3, 0)
    assert table.candidates[0].source.load(limits) == expected
    loaded = table.candidates[1].source.load(limits)
    np.testing.assert_array_equal(loaded.positions, NACL.cart_coords)
    with pytest.raises(InvalidStructureError, match="partially occupied"):
        table.candidates[2].source.load(limits)
    assert table.sha256 != candidates_from_structures([atoms, NACL, disordered], ids=["001", "b", "c"]).sha256


def test_charged_cells_are_refused(tmp_path, limits):
    """As pymatgen has them; the sum of oxidation states that do not balance is no charge of the cell."""
    charged = Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    decorated = charged.copy()
    charged.set_charge(2)
    decorated.add_oxidation_state_by_element({"Fe": 3, "O": -2})
    assert decorated.charge == 4
    for name, structure in (("a", charged), ("b", decorated)):
        (tmp_path / f"{name}.json").write_text(json.dumps(structure.as_dict()), encoding="utf-8")
    for table in (candidates_from_structures([charged, decorated]), read_candidates(tmp_path)):
        with pytest.raises(InvalidStructureError, match=r"has a charge of \+2, and the models know neutral cells only"):
            table.candidates[0].source.load(limits)
        assert len(table.candidates[1].source.load(limits)) == 8


def test_loading_from_memory_twice_gives_independent_atoms(limits):
    (candidate,) = candidates_from_structures([bulk("Si")])
    candidate.source.load(limits).positions += 1.0
    np.testing.assert_array_equal(candidate.source.load(limits).positions, bulk("Si").positions)


@pytest.mark.parametrize(
    ("structures", "ids", "message"),
    [
        ([], None, "holds no candidates"),
        ([bulk("Si"), bulk("Si")], ["a"], "1 ids for 2 structures"),
        ([bulk("Si"), bulk("Si")], ["a", "a"], "'a' in structure 0 and structure 1"),
        ([bulk("Si"), "Si"], None, "structure 1 is of the type str; expected a list of ASE Atoms or pymatgen"),
        (bulk("Si"), None, "structure 0 is of the type Atom; expected a list"),
    ],
)
def test_wrong_structures_in_memory(structures, ids, message):
    with pytest.raises(InputError, match=message):
        candidates_from_structures(structures, ids)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("Si"), "pbc is"),
        (bulk("Si", cubic=True)[[]], "holds 0 atoms"),
        (Atoms("Si", pbc=True), "no lattice"),
        (Atoms("X", cell=[3, 3, 3], pbc=True), "atomic number 0"),
        (Atoms("Si", positions=[[np.nan, 0, 0]], cell=[3, 3, 3], pbc=True), "positions are not finite"),
        (Atoms("Si", cell=[3, np.inf, 3], pbc=True), "lattice vectors are not finite"),
        (Atoms("Si", cell=[3, 3, 0.01], pbc=True), r"vector c is 0\.01 Å"),
        (Atoms("Si", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True), "0 Å³ an atom"),
    ],
)
def test_impossible_structures_in_memory(limits, atoms, message):
    (candidate,) = candidates_from_structures([atoms])
    with pytest.raises(InvalidStructureError, match=message):
        candidate.source.load(limits)


def test_left_handed_cells_are_fine(limits):
    atoms = Atoms("Si", cell=[[0, 3, 0], [3, 0, 0], [0, 0, 3]], pbc=True)
    (candidate,) = candidates_from_structures([atoms])
    assert candidate.source.load(limits).cell.handedness == -1


def test_importing_the_room_is_light():
    code = (
        "import sys, uniscreen.structures\n"
        "heavy = {'pandas', 'pymatgen', 'ase', 'torch'} & {name.split('.')[0] for name in sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_columns_are_rows_of_the_candidates(tmp_path):
    found = read_candidates(_entries_file(tmp_path), limit=1)
    assert found.columns.index.equals(pd.RangeIndex(1))


def _entries_file(folder):
    path = folder / "t.json"
    path.write_text(json.dumps([entries()[0], entries()[1]]))
    return path
