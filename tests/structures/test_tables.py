"""Reading candidates from tables: ids, carried columns, line numbers, digests."""

from __future__ import annotations

import gzip
import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.io import write

from uniscreen.errors import InputError, InvalidStructureError
from uniscreen.structures import ReadLimits, csv_table, read_candidates, tables

CIF = """data_NaCl
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 0 0 0
Cl1 0.5 0.5 0.5
"""


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "si.cif", bulk("Si"))
    write(tmp_path / "POSCAR_cu", bulk("Cu"), format="vasp")
    write(tmp_path / "nacl.extxyz", bulk("NaCl", "rocksalt", a=5.6))
    return tmp_path


def table(folder, text, name="candidates.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_csv_keeps_ids_as_text_and_types_the_other_columns(folder, limits):
    path = table(
        folder,
        "id,structure,e_hull,source,n\n001,si.cif,0.1,wbm,3\nNA,POSCAR_cu,,mp,4\n nan ,nacl.extxyz,-2,mp,5\n",
    )
    found = read_candidates(path)
    assert [c.id for c in found] == ["001", "NA", "nan"]
    assert list(found.columns.columns) == ["e_hull", "source", "n"]
    assert found.columns["e_hull"].dtype == float
    assert np.isnan(found.columns["e_hull"][1])
    assert found.columns["n"].tolist() == [3, 4, 5]
    assert found.columns.index.equals(pd.RangeIndex(3))
    assert found.name == "candidates.csv"
    assert [c.source.load(limits).get_chemical_formula() for c in found] == ["Si2", "Cu", "ClNa"]


def test_words_that_pandas_takes_for_missing_are_carried(folder):
    lines = ["id,structure,dopant,note,n,done,,", "a,si.cif,None,,1,True,x,NA", "b,POSCAR_cu,Na,,NA,NA,y,z"]
    columns = read_candidates(table(folder, "\n".join(lines))).columns
    assert columns["dopant"].tolist() == ["None", "Na"]
    assert columns["note"].isna().all()
    assert columns["n"].isna().tolist() == [False, True]  # of numbers and truth values it is a missing one
    assert str(columns["n"].dtype) == "Int64"
    assert columns["done"].isna().tolist() == [False, True]
    assert columns.iloc[:, 4:].to_numpy().tolist() == [["x", "NA"], ["y", "z"]]


@pytest.mark.parametrize(
    ("separator", "name"), [(";", r"semicolons; .*sep=';'"), ("\t", r"tabs; .*sep='\\t'"), ("|", "vertical bars")]
)
@pytest.mark.parametrize(
    "lines",
    [
        ["id,cif,e", f'a,"{CIF}",1.5'],
        ["\ufeff", '"id","structure"', '"a","si.cif"'],
        ["e,material_id,structure", "1.5,a,si.cif"],
    ],
    ids=["inline", "quoted", "id second"],
)
def test_other_separators_are_told(folder, separator, name, lines):
    text = "\n".join(lines).replace(",", separator)
    with pytest.raises(InputError, match=f"is separated by {name}"):
        read_candidates(table(folder, text))


def test_a_first_line_for_excel_is_told(folder):
    with pytest.raises(InputError, match="is separated by semicolons"):
        read_candidates(table(folder, "sep=;\nid;structure\na;si.cif\n"))


def test_other_separators_within_fields_are_no_separators(folder):
    found = read_candidates(table(folder, 'id,structure,"a;id;b",c|d\nx,si.cif,1;2,3|4\n'))
    assert found.columns.to_numpy().tolist() == [["1;2", "3|4"]]


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_line_ends_of_other_systems(folder, limits, end):
    poscar = (folder / "POSCAR_cu").read_text()
    for column, text, formula in (("cif", CIF, "ClNa"), ("poscar", poscar, "Cu")):
        path = table(folder, f'id,{column}\nx,"{text}"\n'.replace("\n", end))
        assert read_candidates(path).candidates[0].source.load(limits).get_chemical_formula() == formula


@pytest.mark.parametrize("text", [CIF, '{""lattice"": {}}'])
def test_the_text_of_a_structure_is_no_path(folder, limits, text):
    (candidate,) = read_candidates(table(folder, f'id,structure\nx,"{text}"\n'))
    with pytest.raises(InvalidStructureError, match="it is the text of a structure; expected a file"):
        candidate.source.load(limits)


@pytest.mark.parametrize("key", ["id", "material_id", "candidate_id"])
def test_id_column_names(folder, key):
    assert read_candidates(table(folder, f"{key},structure\nx,si.cif\n")).candidates[0].id == "x"


def test_a_single_other_column_may_be_empty(folder):
    found = read_candidates(table(folder, "id,structure,x\na,si.cif,\nb,si.cif,2\n"))
    assert found.columns["x"].isna().tolist() == [True, False]


def test_names_of_digits_and_whole_numbers_are_carried_as_they_are_written(folder):
    path = folder / "keys.csv"
    rows = ("a,NaCl.cif,007,9007199254740993,12,1e5,0.5,7", "b,NaCl.cif,,,,2e5,,8", "c,NaCl.cif,12,1,3,,0,9")
    path.write_text("id,structure,batch,key,count,size,share,whole\n" + "\n".join(rows) + "\n")
    columns = read_candidates(path).columns
    written = columns.to_csv(index=False, lineterminator="\n").splitlines()
    assert written == [
        "batch,key,count,size,share,whole",
        "007,9007199254740993,12,100000.0,0.5,7",
        ",,,200000.0,,8",
        "12,1,3,,0.0,9",
    ]
    assert str(columns["count"].dtype) == "Int64"


def test_columns_of_numbers_are_not_read_one_by_one(folder, monkeypatch):
    """A table of 200 descriptors took minutes when each was."""
    names = [f"f{k}" for k in range(50)]
    rows = [",".join([f"c{row},NaCl.cif", *(f"{row + k}" for k in range(49)), "007"]) for row in range(3)]
    (folder / "wide.csv").write_text("\n".join([",".join(["id,structure", *names]), *rows]) + "\n")
    n_read, read_csv = [], pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *args, **options: n_read.append(1) or read_csv(*args, **options))
    columns = read_candidates(folder / "wide.csv").columns
    assert len(n_read) <= 4
    assert columns["f48"].tolist() == [48, 49, 50]
    assert columns["f49"].tolist() == ["007"] * 3


def test_what_is_found_out_of_numbers_holds_for_all_rows(folder, monkeypatch):
    monkeypatch.setattr(csv_table, "ROWS_AT_A_TIME", 1)
    rows = ("a,NaCl.cif,007,3,1,,x", "b,NaCl.cif,12,,,,NA", "c,NaCl.cif,1,4,0.5,,y")
    (folder / "t.csv").write_text("id,structure,key,count,size,none,word\n" + "\n".join(rows) + "\n")
    columns = read_candidates(folder / "t.csv").columns
    assert columns["key"].tolist() == ["007", "12", "1"]
    assert {name: str(columns[name].dtype) for name in ("count", "size", "none")} == {
        "count": "Int64",
        "size": "float64",
        "none": "float64",
    }


def test_id_is_preferred_and_the_other_is_carried(folder):
    found = read_candidates(table(folder, "material_id,id,structure\nmp-1,x,si.cif\n"))
    assert found.candidates[0].id == "x"
    assert found.columns["material_id"].tolist() == ["mp-1"]


def test_inline_cif_and_gz(tmp_path, limits):
    path = tmp_path / "t.csv.gz"
    frame = pd.DataFrame({"id": ["a"], "cif": [CIF]})
    path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    atoms = read_candidates(path).candidates[0].source.load(limits)
    assert atoms.get_chemical_formula() == "ClNa"


def test_inline_cif_longer_than_the_csv_modules_limit(tmp_path, limits):
    long_cif = CIF + "# " + "x" * 150_000 + "\n"
    pd.DataFrame({"id": ["a"], "cif": [long_cif]}).to_csv(tmp_path / "t.csv", index=False)
    assert len(read_candidates(tmp_path / "t.csv").candidates[0].source.load(limits)) == 2


def test_inline_poscar_with_windows_line_ends(tmp_path, limits):
    poscar = "Cu\r\n1.0\r\n3 0 0\r\n0 3 0\r\n0 0 3\r\nCu\r\n1\r\nDirect\r\n0 0 0\r\n"
    path = table(tmp_path, f'id,poscar\r\na,"{poscar}"\r\n')
    assert len(read_candidates(path).candidates[0].source.load(limits)) == 1


def test_parquet_equals_csv(folder):
    frame = pd.DataFrame({"id": [1, 2], "structure": ["si.cif", "POSCAR_cu"], "x": [0.5, None]})
    frame.to_parquet(folder / "t.parquet", index=False)
    frame.set_index("id").to_parquet(folder / "indexed.parquet")
    frame.to_csv(folder / "t.csv", index=False)
    tables = [read_candidates(folder / name) for name in ("t.parquet", "indexed.parquet", "t.csv")]
    for found in tables:
        assert list(found) == list(tables[0])
        assert [c.id for c in found] == ["1", "2"]
        pd.testing.assert_frame_equal(found.columns, tables[2].columns)


@pytest.mark.parametrize("index", ["label", ["id", "label"], ["label", "x"], ["structure", "label"]], ids=str)
def test_an_index_of_parquet_that_has_a_name_is_a_column(folder, index):
    frame = pd.DataFrame({"id": ["a", "b"], "structure": ["si.cif", "POSCAR_cu"], "x": [0.5, 1.5], "label": ["p", "q"]})
    frame.set_index(index).to_parquet(folder / "indexed.parquet")
    found = read_candidates(folder / "indexed.parquet")
    assert [c.id for c in found] == ["a", "b"]
    pd.testing.assert_frame_equal(found.columns[["x", "label"]], frame[["x", "label"]])
    assert len(found.columns.columns) == 2


def test_an_index_of_parquet_without_a_name_is_none(folder):
    frame = pd.DataFrame({"id": ["a", "b"], "structure": ["si.cif", "POSCAR_cu"], "x": [0.5, 1.5]}, index=[7, 5])
    frame.to_parquet(folder / "indexed.parquet")
    assert [*read_candidates(folder / "indexed.parquet").columns] == ["x"]


def test_structures_of_parquet_in_pieces(tmp_path, monkeypatch, limits):
    monkeypatch.setattr(tables, "ROWS_AT_A_TIME", 3)
    cifs = [CIF.replace("length_a 4", f"length_a {4 + k}") for k in range(10)]
    frame = pd.DataFrame({"cif": cifs, "x": range(10)}, index=pd.Index([f"c{k}" for k in range(10)], name="id"))
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=4)
    found = read_candidates(tmp_path / "t.parquet")
    assert [c.id for c in found] == [*frame.index]
    assert [c.source.load(limits).cell[0, 0] for c in found] == [*range(4, 14)]
    assert found.columns["x"].tolist() == [*range(10)]
    assert [*found.columns] == ["x"]


def test_duplicate_ids_name_physical_lines_after_inline_text(tmp_path):
    text = f'id,cif\nx,"{CIF}"\ny,"{CIF}"\n\nx,"{CIF}"\n'
    lines = text.split("\n")
    expected = [k for k, line in enumerate(lines, start=1) if line.startswith("x,")]
    with pytest.raises(InputError, match=rf"'x' in line {expected[0]} and line {expected[1]}\.") as error:
        read_candidates(table(tmp_path, text))
    assert expected == [2, 33]
    assert "candidates.csv" in str(error.value)


def test_ids_are_checked_beyond_the_limit(folder):
    path = table(folder, "id,structure\na,si.cif\nb,si.cif\na,si.cif\n")
    with pytest.raises(InputError, match="line 2 and line 4"):
        read_candidates(path, limit=1)


def test_limit_keeps_the_first(folder):
    path = table(folder, "id,structure,n\na,si.cif,1\nb,si.cif,2\nc,si.cif,3\n")
    found = read_candidates(path, limit=2)
    assert [c.id for c in found] == ["a", "b"]
    assert found.columns["n"].tolist() == [1, 2]
    assert found.sha256 == read_candidates(path).sha256
    with pytest.raises(InputError, match="limit is 0"):
        read_candidates(path, limit=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id,structure\n", "holds no candidates"),
        ("name,structure\na,b.cif\n", "no id column.*Its columns: name, structure"),
        ("id,path\na,b.cif\n", "has 0 structure columns.*Its columns: id, path"),
        ("id,structure,cif\na,b.cif,x\n", r"has 2 structure columns \(structure, cif\)"),
        ("id,structure\na,b.cif\n,c.cif\n  ,d.cif\n", "no id in line 3, line 4"),
        ("id,structure\na,b.cif,extra\n", "line 2 has 3 fields; the header has 2"),
        ("id,structure,x,x\na,b.cif,1,2\n", "two columns are called 'x'"),
        ('id,structure\na,"b.cif\n', "line 2 is not CSV"),
    ],
)
def test_wrong_tables_say_what_is_wrong(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_candidates(table(tmp_path, text))
    assert "candidates.csv" in str(error.value)


def test_wrong_parquet(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 garbage")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_candidates(tmp_path / "t.parquet")
    pd.DataFrame({"id": ["a", None, "a"], "cif": [CIF] * 3}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="no id in row 2"):
        read_candidates(tmp_path / "t.parquet")
    pd.DataFrame({"id": ["a"], "structure": [{"sites": 1}]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="row 1 has a dict"):
        read_candidates(tmp_path / "t.parquet")


def test_not_utf8(tmp_path):
    (tmp_path / "t.csv").write_bytes("id,structure\né,a.cif\n".encode("utf-16"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_candidates(tmp_path / "t.csv")


def test_bad_structures_do_not_stop_the_table(folder, limits):
    path = table(folder, "id,structure\ngood,si.cif\nempty,\nmissing,no.cif\n")
    good, empty, missing = read_candidates(path)
    assert len(good.source.load(limits)) == 2
    with pytest.raises(InvalidStructureError, match="no path is given"):
        empty.source.load(limits)
    with pytest.raises(InvalidStructureError, match="there is no such file"):
        missing.source.load(limits)


def test_digest_follows_the_content_of_the_named_files(folder):
    path = table(folder, "id,structure\na,si.cif\nb,no.cif\nc,/dev/zero\n")
    before = read_candidates(path).sha256
    assert before == read_candidates(path).sha256
    write(folder / "si.cif", bulk("Ge"))
    changed = read_candidates(path).sha256
    write(folder / "no.cif", bulk("Ge"))
    assert len({before, changed, read_candidates(path).sha256}) == 3


def test_candidates_are_picklable(folder, tmp_path):
    found = read_candidates(table(folder, "id,structure\na,si.cif\n"))
    (copy,) = pickle.loads(pickle.dumps(found.candidates))
    assert copy == found.candidates[0]
    assert copy.source.load(ReadLimits()) == found.candidates[0].source.load(ReadLimits())


def test_relative_paths_hold_after_a_change_of_folder(folder, monkeypatch, limits):
    table(folder, "id,structure\na,si.cif\n")
    monkeypatch.chdir(folder)
    found = read_candidates("candidates.csv")  # a str, as from the command line
    monkeypatch.chdir("/")
    assert len(found.candidates[0].source.load(limits)) == 2


@pytest.mark.parametrize(
    ("header", "row", "candidate"),
    [("id", "mp-149", "mp-149"), ("material_id", "mvc-12", "mvc-12"), ("id,material_id", "mine,mp-ft", "mine")],
    ids=["id", "material_id", "both"],
)
def test_ids_of_the_materials_project_stand_for_structures(tmp_path, header, row, candidate):
    path = tmp_path / "ids.csv"
    other = ",".join("other" for _ in row.split(","))
    path.write_text(f"{header},note\n{row},1\n{other},2\n")
    table = read_candidates(path)
    assert [given.id for given in table] == [candidate, "other"]
    assert [given.source.material_id for given in table] == [row.split(",")[-1], "other"]
    assert list(table.columns["note"]) == [1, 2]
    with pytest.raises(InvalidStructureError, match="has not been fetched"):
        table.candidates[0].source.load(ReadLimits())


def test_other_ids_do_not(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("id\nmp149\nicsd-1\n")
    with pytest.raises(InputError, match=r"has 0 structure columns.*or none and ids of the Materials Project"):
        read_candidates(path)


def test_ids_of_the_materials_project_in_parquet(tmp_path):
    pd.DataFrame({"material_id": ["mp-149", "mp-13"], "gap": [0.6, 0.0]}).to_parquet(tmp_path / "ids.parquet")
    table = read_candidates(tmp_path / "ids.parquet")
    assert [given.source.material_id for given in table] == ["mp-149", "mp-13"]
    assert list(table.columns.columns) == ["gap"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, "bulk", None], ["1", "bulk", None]),
        ([True, 2, None], ["True", "2", None]),
        ([10**25, 1, None], [f"1{'0' * 25}", "1", None]),
        (["\ud800", 1, None], ["?", "1", None]),
    ],
    ids=["number-and-text", "truth-and-number", "large", "no-unicode"],
)
def test_values_of_several_kinds_are_carried_as_text_that_parquet_takes(tmp_path, values, expected):
    entries = [{"id": f"c{k}", "structure": {}, "tag": value} for k, value in enumerate(values)]
    (tmp_path / "in.json").write_text(json.dumps(entries))
    columns = read_candidates(tmp_path / "in.json").columns
    columns.to_parquet(tmp_path / "out.parquet")
    back = pd.read_parquet(tmp_path / "out.parquet")["tag"]
    assert [None if pd.isna(value) else value for value in back] == expected


def test_text_that_is_no_unicode_is_carried_as_far_as_it_is(tmp_path):
    """json.dumps of a file name that is no UTF-8 gives such text."""
    odd = {"note": "\ud800x", "no\udc80te": 1}
    entries = [{"id": "a", "structure": {}} | odd, {"id": "b", "structure": {}, "note": "y"}]
    (tmp_path / "in.json").write_text(json.dumps(entries))
    columns = read_candidates(tmp_path / "in.json").columns
    assert columns["note"].tolist() == ["?x", "y"]
    assert [*columns] == ["note", "no?te"]


@pytest.mark.parametrize("character", ["\n", "\t", "\x00", "\udcff"], ids=["line", "tab", "nul", "byte"])
def test_an_id_that_is_no_line_of_text_is_refused(tmp_path, character):
    entries = [{"id": "a", "structure": {}}, {"id": f"b{character}c", "structure": {}}]
    (tmp_path / "in.json").write_text(json.dumps(entries))
    with pytest.raises(InputError, match="another character that is no text in the id of entry 2"):
        read_candidates(tmp_path / "in.json")


def test_a_file_name_that_is_no_text_is_refused(tmp_path):
    write(tmp_path / "si.cif", bulk("Si"))
    (tmp_path / "si.cif").rename(tmp_path / os.fsdecode(b"s\xff.cif"))
    with pytest.raises(InputError, match=r"no text in the id of file s.\.cif"):
        read_candidates(tmp_path)


@pytest.mark.parametrize("name", ["1 2", 'a"b', "T", "[1,2]", "{x}", "k=v", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_ids_of_frames_are_read_back_as_ase_writes_them(tmp_path, name):
    frames = [bulk("Si"), bulk("Cu")]
    frames[0].info, frames[1].info = {"id": name, "n": 1}, {"id": "other", "n": 2}
    write(tmp_path / "in.extxyz", frames)
    found = read_candidates(tmp_path / "in.extxyz")
    assert [candidate.id for candidate in found] == [name, "other"]
    assert list(found.columns) == ["n"]
