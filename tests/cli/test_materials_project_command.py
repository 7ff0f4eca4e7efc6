"""``uniscreen references mp`` and ``uniscreen candidates mp``: their files, their errors, and where the key is not."""

import gzip
import json

import pytest
from click.testing import CliRunner

from materials_project_server import KEY, Fault
from uniscreen.cli.main import main
from uniscreen.structures import read_candidates
from uniscreen.thermodynamics import ReferenceSet


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert KEY not in result.output
    return result.output


def error_of(*arguments):
    output = run(*arguments, code=2)
    assert output.count("Error: ") == 1
    return output


@pytest.mark.parametrize("name", ["refs.json.gz", "refs.json"])
def test_references_for_chemical_systems(materials_project, tmp_path, name):
    out = tmp_path / name
    printed = run("references", "mp", "Li-Co-O", "Ni-O", "-o", out)
    assert "9 entries (PBE, corrections: MP2020)" in printed
    assert "Materials Project 2026.04.13 (GGA_GGA+U)" in printed
    assert len(ReferenceSet.from_file(out)) == 9
    assert out.read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")


def test_references_of_another_functional(materials_project, tmp_path):
    run("references", "mp", "Li-O", "-o", tmp_path / "refs.json.gz", "--thermo-type", "R2SCAN")
    assert ReferenceSet.from_file(tmp_path / "refs.json.gz").functional == "r2SCAN"


def test_candidates_with_their_dft_energies(materials_project, tmp_path):
    out = tmp_path / "candidates.csv"
    printed = run("candidates", "mp", "--elements", "O,Li", "--n-atoms", 1, 4, "--e-above-hull", 0, 0.1, "-o", out)
    assert "2 candidates" in printed
    table = read_candidates(out)
    assert [candidate.id for candidate in table] == ["mp-1960", "mp-22526"]
    assert list(table.columns["dft_e_above_hull_eV_per_atom"]) == pytest.approx([0.0, 0.0])


def test_nothing_is_printed_if_asked_for(materials_project, tmp_path):
    assert run("references", "mp", "Li-O", "-o", tmp_path / "refs.json", "--quiet") == ""
    assert run("candidates", "mp", "--chemsys", "Li-O", "-o", tmp_path / "c.csv.gz", "--quiet") == ""


def test_errors_are_one_line_and_leave_no_file(materials_project, tmp_path, monkeypatch):
    out = ("-o", tmp_path / "out.json.gz")
    assert "'LiCoO2' is not a chemical system" in error_of("references", "mp", "LiCoO2", *out)
    assert "He-Xe" in error_of("references", "mp", "He-Xe", *out)
    assert "scale of their own" in error_of("references", "mp", "Li-O", *out, "--thermo-type", "GGA_GGA+U_R2SCAN")
    assert "no known ending" in error_of("references", "mp", "Li-O", "-o", tmp_path / "refs.csv")
    assert "there is no folder" in error_of("references", "mp", "Li-O", "-o", tmp_path / "no" / "refs.json")
    assert "No chemistry" in error_of("candidates", "mp", *out)
    materials_project.faults.append(Fault(401))
    assert "refuses the key" in error_of("references", "mp", "Li-O", *out)
    monkeypatch.setenv("MP_API_KEY", "w" * 32)
    assert "refuses the key" in error_of("candidates", "mp", "--chemsys", "Li-Co-O", *out)
    monkeypatch.delenv("MP_API_KEY")
    monkeypatch.setattr("pymatgen.core.SETTINGS", {})
    assert "There is no key" in error_of("references", "mp", "Li-O", *out)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_the_key_is_in_no_file(materials_project, tmp_path):
    run("references", "mp", "Li-Co-O", "-o", tmp_path / "refs.json.gz")
    run("candidates", "mp", "--chemsys", "Li-O", "-o", tmp_path / "candidates.json")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
        assert KEY.encode() not in content, path
        json.loads(content)


@pytest.mark.parametrize("command", [("references", "mp", "Li-O"), ("candidates", "mp", "--chemsys", "Li-O")])
def test_a_folder_in_place_of_the_file_is_refused_before_anything_is_fetched(materials_project, tmp_path, command):
    (tmp_path / "out.json").mkdir()
    assert "is a folder" in error_of(*command, "-o", tmp_path / "out.json")
