"""Screening with the Materials Project at both ends: references for the input's systems, candidates named by id."""

import gzip
import json

import pandas as pd
import pytest
from ase.build import bulk
from ase.io import write
from pymatgen.core import Composition

from materials_project_server import KEY, Fault
from uniscreen import screen
from uniscreen.errors import InputError, MaterialsProjectError, ResumeError
from uniscreen.potentials import find_card
from uniscreen.reports import write_screen_report
from uniscreen.screening import ScreenSettings, run_screen
from uniscreen.screening.materials_project import Fetcher
from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.thermodynamics import Hull, ReferenceSet

QUICK = {"relax": False, "workers": 1}
DFT = "dft_e_above_hull_eV_per_atom"


@pytest.fixture
def folder_of_crystals(tmp_path):
    """Li2O, CoO, NaCl, whose chlorine the local database lacks, and a file that is no crystal."""
    folder = tmp_path / "crystals"
    folder.mkdir()
    write(folder / "CoO.vasp", bulk("CoO", "rocksalt", a=4.24))
    write(folder / "Li2O.vasp", bulk("OLi2", "fluorite", a=4.62))
    write(folder / "NaCl.vasp", bulk("NaCl", "rocksalt", a=5.69))
    (folder / "broken.cif").write_text("data_\n")
    return folder


def table_of_ids(tmp_path, *ids):
    path = tmp_path / "ids.csv"
    path.write_text("material_id,note\n" + "".join(f"{name},n{k}\n" for k, name in enumerate(ids)))
    return path


def test_references_are_fetched_for_the_inputs_systems(materials_project, folder_of_crystals, tmp_path):
    seen = []
    run = run_screen(
        folder_of_crystals,
        ScreenSettings(relax=False),
        out=tmp_path / "out",
        references="mp",
        workers=1,
        on_fetch=lambda *step: seen.append(step),
    )
    rows = run.table.set_index("id")
    assert rows["status"].to_dict() == {
        "CoO": "ok",
        "Li2O": "ok",
        "NaCl": "ok",
        "broken": "invalid_structure",
    }
    assert "missing_terminal:Cl" in rows.loc["NaCl", "flags"]
    assert pd.isna(rows.loc["NaCl", "e_above_hull_eV_per_atom"])
    (asked,) = materials_project.data_requests()
    assert sorted(asked.parameters["chemsys"].split(",")) == sorted(
        ["Co", "Li", "O", "Na", "Cl", "Co-O", "Li-O", "Cl-Na"]
    )
    assert asked.parameters["thermo_types"] == "GGA_GGA+U"
    assert seen == [("chemical systems", 0, 8), ("chemical systems", 8, 8)]
    kept = ReferenceSet.from_file(tmp_path / "out" / "references.json.gz")
    energy = 2 * rows.loc["CoO", "energy_eV_per_atom"]  # CHGNet's energies are corrected ones
    expected = Hull(kept).e_above_hull(Composition("CoO"), energy).e_above_hull
    assert rows.loc["CoO", "e_above_hull_eV_per_atom"] == pytest.approx(expected, abs=1e-9)
    record = json.loads((tmp_path / "out" / "run.json").read_text())["references"]
    assert record["source"] == "Materials Project 2026.04.13 (GGA_GGA+U)"
    assert record["database"].startswith("Materials Project 2026.04.13 (GGA_GGA+U), retrieved 20")


def fetch(candidates, model="chgnet-0.3.0", folder=None):
    fetcher = Fetcher(find_card(model), ReadLimits(), folder)
    return fetcher.inputs(read_candidates(candidates), None)


def test_an_r2scan_model_gets_r2scan_references(materials_project, folder_of_crystals):
    inputs = fetch(folder_of_crystals, model="chgnet-r2scan")
    assert inputs.references.functional == "r2SCAN"
    assert {asked.parameters["thermo_types"].upper() for asked in materials_project.data_requests()} == {"R2SCAN"}


def test_references_kept_for_another_model_are_not_used(materials_project, folder_of_crystals, tmp_path):
    fetch(folder_of_crystals, model="chgnet-r2scan").keep(tmp_path)
    assert (tmp_path / "references.json.gz").exists()
    assert fetch(folder_of_crystals, folder=tmp_path).references.functional == "PBE"


def test_only_a_continued_run_takes_what_was_kept(materials_project, folder_of_crystals, tmp_path):
    fetch(folder_of_crystals).keep(tmp_path)
    materials_project.version = "2026.09.01"
    assert fetch(folder_of_crystals, folder=tmp_path).references.database.version == "2026.04.13"
    assert fetch(folder_of_crystals, folder=None).references.database.version == "2026.09.01"


def test_a_continued_run_has_the_same_references(materials_project, folder_of_crystals, tmp_path, monkeypatch):
    """The database moves on, the cache is gone, and there is no network and no key."""
    out = tmp_path / "out"
    first = screen(folder_of_crystals, out=out, references="mp", **QUICK)
    references = (out / "references.json.gz").read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("MP_API_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("MP_API_KEY")
    again = screen(folder_of_crystals, out=out, references="mp", **QUICK)
    pd.testing.assert_frame_equal(first, again)
    assert (out / "references.json.gz").read_bytes() == references


def test_a_run_with_other_references_is_not_continued(materials_project, folder_of_crystals, tmp_path):
    out = tmp_path / "out"
    screen(folder_of_crystals, out=out, limit=2, **QUICK)
    with pytest.raises(ResumeError, match=r"references\.source was \"elem.*Materials Project"):
        screen(folder_of_crystals, out=out, references="mp", limit=2, **QUICK)
    assert not (out / "references.json.gz").exists()


def test_errors_come_before_anything_is_computed(materials_project, folder_of_crystals, tmp_path, monkeypatch):
    out = tmp_path / "out"
    materials_project.faults.append(Fault(401))
    with pytest.raises(MaterialsProjectError, match="refuses the key"):
        screen(folder_of_crystals, out=out, references="mp", **QUICK)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "x.cif").write_text("data_\n")
    with pytest.raises(InputError, match="holds no candidate that chgnet"):
        screen(broken, out=out, references="mp", **QUICK)
    monkeypatch.delenv("MP_API_KEY")
    monkeypatch.setattr("pymatgen.core.SETTINGS", {})
    with pytest.raises(MaterialsProjectError, match="no key"):
        screen(folder_of_crystals, out=out, references="mp", **QUICK)
    assert not out.exists()


def test_candidates_named_by_id(materials_project, tmp_path, monkeypatch):
    table = table_of_ids(tmp_path, "mp-1960", "mp-999999", "mp-22408", "oxide")
    out = tmp_path / "out"
    results = screen(table, out=out, references="mp", **QUICK)
    rows = results.set_index("id")
    assert rows["status"].to_dict() == {
        "mp-1960": "ok",
        "mp-22408": "ok",
        "mp-999999": "invalid_structure",
        "oxide": "invalid_structure",
    }
    assert rows["note"].to_dict() == {"mp-1960": "n0", "mp-999999": "n1", "mp-22408": "n2", "oxide": "n3"}
    assert "'mp-999999': it is unknown to the Materials Project (version 2026.04.13)" in rows.loc["mp-999999", "reason"]
    documents = {doc["formula_pretty"]: doc for doc in materials_project.thermo if doc["thermo_type"] == "GGA_GGA+U"}
    assert rows.loc["mp-1960", DFT] == documents["Li2O"]["energy_above_hull"]
    assert rows.loc["mp-22408", DFT] == documents["CoO"]["energy_above_hull"] > 0.01
    assert rows.loc["mp-22408", "formula"] == "CoO"
    assert pd.isna(rows.loc["mp-999999", DFT])
    record = json.loads((out / "run.json").read_text())["input"]
    assert record["name"] == "ids.csv"
    assert record["database"].startswith("Materials Project 2026.04.13")
    monkeypatch.delenv("MP_API_KEY")  # what was fetched is kept with the run
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    pd.testing.assert_frame_equal(screen(table, out=out, references="mp", **QUICK), results)


def test_only_unknown_ids_are_an_error(materials_project, tmp_path):
    with pytest.raises(MaterialsProjectError, match=r"knows none of the 2 ids in ids.csv, e.g. 'mp-999998'"):
        screen(table_of_ids(tmp_path, "mp-999998", "mp-999999"), out=tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


def test_the_key_is_in_no_output(materials_project, tmp_path, capfd):
    out = tmp_path / "out"
    run = run_screen(
        table_of_ids(tmp_path, "mp-1960", "mp-99999"), ScreenSettings(relax=False), out=out, references="mp", workers=1
    )
    write_screen_report(run.folder, run.competition.references)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"report.html", "run.json", "manifest.json", "references.json.gz", "structures.json.gz"} <= {
        path.name for path in files
    }
    for path in files:
        raw = path.read_bytes()
        assert KEY.encode() not in (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw), path
    assert KEY not in "".join(capfd.readouterr())
