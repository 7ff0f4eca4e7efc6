"""Tables that are written are read back as they were."""

import csv
import gzip

import numpy as np
import pytest
from ase.build import bulk

from uniscreen.errors import InputError
from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.structures.writing import CandidateWriter


@pytest.mark.parametrize("name", ["new.csv", "new.csv.gz"])
def test_crystals_survive(tmp_path, name):
    atoms = bulk("NaCl", "rocksalt", a=5.64) * (2, 1, 1)
    atoms.rattle(0.1, seed=1)
    with CandidateWriter(tmp_path / name, ["seed"]) as writer:
        writer.write("a", atoms, {"seed": "mp-1"})
        writer.write("b", bulk("Cu"), {})
    table = read_candidates(tmp_path / name)
    assert [candidate.id for candidate in table] == ["a", "b"]
    assert table.columns["seed"].tolist()[0] == "mp-1"
    assert table.columns["seed"].isna().tolist() == [False, True]
    back = table.candidates[0].source.load(ReadLimits())
    order = np.argsort(atoms.get_chemical_symbols(), kind="stable")
    assert back.get_chemical_symbols() == sorted(atoms.get_chemical_symbols())
    assert np.allclose(back.cell, atoms.cell, atol=1e-12)
    assert np.allclose(back.positions, atoms.positions[order], atol=1e-10)


def test_a_folder_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "new.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        CandidateWriter(tmp_path / "new.csv", [])


def test_nothing_is_left_of_a_table_that_failed(tmp_path):
    (tmp_path / "old.csv").write_text("id,poscar\n")
    with pytest.raises(AttributeError), CandidateWriter(tmp_path / "old.csv", []) as writer:
        writer.write("a", "no crystal", {})
    assert (tmp_path / "old.csv").read_text() == "id,poscar\n"
    assert [path.name for path in tmp_path.iterdir()] == ["old.csv"]


def test_no_cell_is_a_formula_for_a_spreadsheet(tmp_path):
    with CandidateWriter(tmp_path / "new.csv.gz", ["=note", "number"]) as writer:
        writer.write("=1+1", None, {"=note": "@x", "number": -1.5})
    with gzip.open(tmp_path / "new.csv.gz", "rt", newline="") as file:
        header, row = csv.reader(file)
    assert header == ["id", "'=note", "number", "poscar"]
    assert row == ["'=1+1", "'@x", "-1.5", ""]


@pytest.mark.parametrize("name", ["new.xlsx", "new.parquet", "nowhere/new.csv"])
def test_where_a_table_cannot_be_written(tmp_path, name):
    with pytest.raises(InputError, match="new"):
        CandidateWriter(tmp_path / name, [])
