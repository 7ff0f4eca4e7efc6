"""The table that is left, and the list of what it stands for."""

import numpy as np
import pandas as pd
from ase.build import bulk
from ase.io import write

from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.structures.deduplication import find_duplicates, write_unique
from uniscreen.structures.writing import CandidateWriter


def table_of(folder, rows):
    """A table of structure files."""
    lines = ["id,structure,poscar_of,score,duplicates"]
    for name, atoms in rows:
        if atoms is not None:
            write(folder / f"{name}.vasp", atoms, format="vasp")
        lines.append(f"{name},{name}.vasp,=x,{len(lines)},old")
    (folder / "in.csv").write_text("\n".join(lines) + "\n")
    return read_candidates(folder / "in.csv")


def test_kept_rows_and_what_they_stand_for(tmp_path):
    nacl, kcl = bulk("NaCl", "rocksalt", a=5.64), bulk("KCl", "rocksalt", a=6.29)
    rows = table_of(
        tmp_path, [("a", nacl), ("b", nacl * (2, 1, 1)), ("lost", None), ("c", kcl), ("d", nacl * (1, 1, 2))]
    )
    (tmp_path / "known").mkdir()
    write(tmp_path / "known" / "mp-1.vasp", kcl * (1, 2, 1), format="vasp")
    found = find_duplicates(rows, against=read_candidates(tmp_path / "known"))
    (tmp_path / "elsewhere").mkdir()
    listed = write_unique(rows, found, tmp_path / "elsewhere" / "out.csv", against=True)
    table = pd.read_csv(tmp_path / "elsewhere" / "out.csv", keep_default_na=False)
    assert table["id"].tolist() == ["a", "lost", "c"]
    assert table["score"].tolist() == [1, 3, 4]
    assert table["poscar_of"].tolist() == ["'=x"] * 3
    assert table["input_duplicates"].tolist() == ["old"] * 3
    assert table["duplicates"].tolist() == ["b;d", "", ""]
    assert table["novelty"].tolist() == ["new", "", "known"]
    assert table["known_as"].tolist() == ["", "", "mp-1"]
    assert [bool(reason) for reason in table["not_compared"]] == [False, True, False]
    assert "lost.vasp" in table["not_compared"][1]
    assert listed.name == "out-duplicates.csv"
    assert listed.read_text() == "id,duplicate_of\nb,a\nd,a\n"
    kept = read_candidates(tmp_path / "elsewhere" / "out.csv")
    assert np.allclose(kept.candidates[0].source.load(ReadLimits()).cell, nacl.cell)


def test_a_table_that_was_deduplicated_twice_keeps_all_its_columns(tmp_path):
    with CandidateWriter(tmp_path / "in.csv", ["duplicates", "input_duplicates"]) as writer:
        writer.write("a", bulk("Cu"), {"duplicates": "second", "input_duplicates": "first"})
    rows = read_candidates(tmp_path / "in.csv")
    write_unique(rows, find_duplicates(rows), tmp_path / "out.csv", against=False)
    table = pd.read_csv(tmp_path / "out.csv")
    assert table.loc[0, ["input_input_duplicates", "input_duplicates"]].tolist() == ["second", "first"]


def test_without_references_nothing_is_said_of_novelty(tmp_path):
    rows = table_of(tmp_path, [("a", bulk("Cu"))])
    write_unique(rows, find_duplicates(rows), tmp_path / "out.csv", against=False)
    assert "novelty" not in pd.read_csv(tmp_path / "out.csv").columns
