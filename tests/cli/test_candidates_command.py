"""``uniscreen candidates``: from the command line to a table that can be screened."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from uniscreen.cli.main import main

DEMO = Path(__file__).parents[2] / "data" / "demo" / "candidates.csv"
HEAVY = ("torch", "numpy", "pandas", "pymatgen", "ase", "chgnet", "plotly", "scipy", "rich")


def candidates(*arguments):
    return CliRunner().invoke(main, ["candidates", *map(str, arguments)])


@pytest.mark.parametrize("name", ["substitute", "prototypes", "deduplicate"])
def test_help_imports_nothing_heavy(name):
    code = (
        "import sys; from uniscreen.cli.main import main\n"
        f"try: main(['candidates', '{name}', '--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(m for m in {HEAVY} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert "--out" in done.stdout


def test_the_demo_substituted(tmp_path):
    out = tmp_path / "new.csv"
    result = candidates("substitute", DEMO, "--replace", "Li=Na,K", "--replace", "Co=Fe,Mn,Ni", "-o", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out)
    layered = table[table["seed"] == "LiCoO2-layered"]
    assert layered["id"].tolist() == [
        f"LiCoO2-layered_Li-{alkali}_Co-{metal}" for alkali in ("Na", "K") for metal in ("Fe", "Mn", "Ni")
    ]
    assert f"{len(table)} candidates in {out}" in result.output
    assert "dropped: an element to replace is missing" in result.output
    assert "4 seeds unreadable" in result.output
    assert "bad-garbage" in result.output


def test_prototypes_deduplicated_against_the_demo(tmp_path):
    out, unique = tmp_path / "new.csv", tmp_path / "unique.csv"
    arguments = ("--prototype", "rocksalt,antifluorite", "--elements", "A=Na,K,Mg", "--elements", "X=Cl,O")
    result = candidates("prototypes", *arguments, "-o", out)
    assert result.exit_code == 0, result.output
    result = candidates("deduplicate", out, "--against", DEMO, "-o", unique)
    assert result.exit_code == 0, result.output
    novelty = pd.read_csv(unique, keep_default_na=False).set_index("id")
    assert novelty["known_as"].to_dict() == {
        "NaCl-rocksalt": "NaCl-rocksalt",
        "KCl-rocksalt": "KCl-rocksalt",
        "MgO-rocksalt": "MgO-rocksalt",
        "Na2O-antifluorite": "Na2O-antifluorite",
        "K2O-antifluorite": "",
    }
    assert "4 of them known, 1 new, against 77 references" in result.output
    assert "4 references left out" in result.output


def test_duplicates_of_the_demo(tmp_path):
    result = candidates("deduplicate", DEMO, "-o", tmp_path / "unique.csv")
    assert "76 of 77 candidates kept" in result.output
    listed = (tmp_path / "unique-duplicates.csv").read_text()
    assert listed == "id,duplicate_of\nSrTiO3-perovskite-2x2x2-rattled,SrTiO3-perovskite\n"


def test_helium_is_no_reason_for_a_warning(tmp_path):
    cell = "2.9 2.9 0 2.9 0 2.9 0 2.9 2.9"
    (tmp_path / "he.extxyz").write_text(f'1\nLattice="{cell}" Properties=species:S:1:pos:R:3\nHe 0 0 0\n')
    command = ["candidates", "deduplicate", "he.extxyz", "-o", "out.csv"]
    done = subprocess.run(
        [sys.executable, "-m", "uniscreen", *command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    printed = (done.stdout + done.stderr).strip()
    assert printed == "1 of 1 candidates kept in out.csv; which they stand for: out-duplicates.csv"


def test_the_list_has_names_and_sites():
    result = candidates("prototypes", "--list")
    assert result.exit_code == 0
    assert "perovskite" in result.output
    assert "A B X3" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("substitute", "nowhere.csv", "--replace", "Li=Na", "-o", "x.csv"), "nowhere.csv does not exist"),
        (("substitute", DEMO, "--replace", "Li", "-o", "x.csv"), "expected a name"),
        (("prototypes", "--prototype", "rocksal", "--elements", "A=Na", "-o", "x.csv"), "Did you mean 'rocksalt'"),
        (("prototypes", "--prototype", "rocksalt", "--elements", "A=Na", "-o", "x.csv"), "no elements for X"),
        (("prototypes", "--elements", "A=Na", "-o", "x.csv"), "Missing option --prototype"),
        (("deduplicate", DEMO, "--ltol", "0", "-o", "x.csv"), "--ltol is 0.0"),
        (("deduplicate", DEMO, "-o", "x.parquet"), "expected a name that ends in .csv or .csv.gz"),
        (("deduplicate", DEMO, "-o", "nowhere/x.csv"), "there is no folder nowhere"),
    ],
    ids=[
        "no-seeds",
        "no-replacement",
        "unknown-prototype",
        "missing-site",
        "no-prototype",
        "tolerance",
        "no-csv",
        "no-folder",
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = candidates(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
