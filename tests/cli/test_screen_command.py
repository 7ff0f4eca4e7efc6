"""The command line: help at once, errors in one line, results where they are said to be."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console

from uniscreen.cli.main import main
from uniscreen.cli.screen import _first_rows

DEMO = Path(__file__).parents[2] / "data" / "demo" / "candidates.csv"

HEAVY = ("torch", "numpy", "pandas", "pymatgen", "ase", "chgnet", "plotly", "scipy", "rich")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from uniscreen.cli.main import main\n"
        "try: main(['screen', '--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(m for m in {HEAVY} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert "--references" in done.stdout


def error_of(*arguments):
    result = CliRunner().invoke(main, ["screen", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.output


def test_errors_are_one_line_and_say_what_to_do(tmp_path):
    out = ("--out", tmp_path / "out")
    assert "nowhere.csv" in error_of("nowhere.csv", *out)
    assert "Did you mean 'chgnet-0.3.0'" in error_of(DEMO, "--model", "chgnet-0.3", *out)
    assert "--workers is 0" in error_of(DEMO, "--workers", 0, *out)
    assert "--fmax is -1.0" in error_of(DEMO, "--fmax", -1, *out)
    assert "--max-steps is 0" in error_of(DEMO, "--max-steps", 0, *out)
    assert "--prescreen needs --keep-below" in error_of(DEMO, "--prescreen", *out)
    assert "r2SCAN" in error_of(DEMO, "--model", "chgnet-r2scan", *out)
    assert not (tmp_path / "out").exists()


def test_references_of_another_functional_are_refused_before_anything_runs(tmp_path):
    entry = '{"composition": {"Na": 1}, "energy": -1.3, "parameters": {"run_type": "R2SCAN"}, "entry_id": "x"}'
    (tmp_path / "refs.json").write_text(f"[{entry}]")
    message = error_of(DEMO, "--references", tmp_path / "refs.json", "--out", tmp_path / "out")
    assert "r2SCAN" in message
    assert "PBE" in message
    assert not (tmp_path / "out").exists()


OXIDE = {"name": "MP2020 anion correction (oxide)", "adj_per_atom": -0.687, "n_atoms": 1, "uncertainty_per_atom": 0.002}


@pytest.mark.parametrize(
    ("model", "run_type", "adjustments", "theirs", "ours"),
    [
        ("chgnet-r2scan", "GGA", [OXIDE], "PBE (corrections: MP2020)", "r2SCAN energies (corrections: none)"),
        ("chgnet-0.3.0", "R2SCAN", [], "r2SCAN (corrections: none)", "PBE energies (corrections: MP2020)"),
        ("chgnet-0.3.0", "GGA", [], "PBE (corrections: none)", "PBE energies (corrections: MP2020)"),
    ],
    ids=["functional of the model", "functional of the references", "raw references"],
)
def test_a_hull_that_does_not_match_the_model_is_refused(tmp_path, model, run_type, adjustments, theirs, ours):
    correction = sum(item["adj_per_atom"] * item["n_atoms"] for item in adjustments)
    oxide = {"composition": {"Mg": 1, "O": 1}, "energy": -11.9, "entry_id": "MgO", "parameters": {"run_type": run_type}}
    oxide |= {"correction": correction, "energy_adjustments": adjustments}
    magnesium = {"composition": {"Mg": 1}, "energy": -1.6, "entry_id": "Mg", "parameters": {"run_type": run_type}}
    (tmp_path / "refs.json").write_text(json.dumps([magnesium, oxide]))
    message = error_of(DEMO, "--model", model, "--references", tmp_path / "refs.json", "--out", tmp_path / "out")
    assert model in message
    assert "refs.json" in message
    assert theirs in message
    assert ours in message
    assert not (tmp_path / "out").exists()


def test_self_consistent_needs_references_with_structures(tmp_path):
    message = error_of(DEMO, "--self-consistent", "--out", tmp_path / "out")
    assert "--references FILE" in message
    assert "--references mp" in message
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def screened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screened")
    command = [sys.executable, "-m", "uniscreen", "screen", str(DEMO), "--limit", "6", "--top", "3", "--no-relax"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300), folder


def test_summary_and_files(screened):
    done, folder = screened
    assert done.returncode == 0, done.stderr
    out = folder / "candidates-screen"
    assert {"results.csv", "results.parquet", "relaxed.extxyz", "report.html", "run.json"} <= {
        p.name for p in out.iterdir()
    }
    assert str(out.relative_to(folder) / "report.html") in done.stdout
    table = pd.read_parquet(out / "results.parquet")
    assert len(table) == 6
    assert (table.loc[table["status"] == "ok", "n_steps"] == 0).all()
    for name in table["id"].head(3):
        assert name in done.stdout
    assert table["id"].iloc[3] not in done.stdout


def test_nothing_but_the_results_is_written(screened):
    _, folder = screened
    assert [path.name for path in folder.iterdir()] == ["candidates-screen"]


def test_a_script_in_the_working_directory_is_not_taken_for_a_package(tmp_path):
    (tmp_path / "chgnet.py").write_text("raise SystemExit('a script of the user')")
    command = [sys.executable, "-P", "-m", "uniscreen", "screen", str(DEMO), "--limit", "2", "--no-relax"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_reasons_are_printed_where_nothing_is_ranked(tmp_path):
    (tmp_path / "wrong.csv").write_text("id,structure\nnowhere,nowhere.cif\n")
    command = [sys.executable, "-m", "uniscreen", "screen", "wrong.csv", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "invalid_structure, such as nowhere: structure file 'nowhere.cif': there is no such file." in done.stdout


def test_a_long_id_leaves_the_numbers_whole():
    name = "Li2MnO3_mp-18988_conventional_standard_" * 4
    row = {"rank": 1, "id": name, "formula": "Li2MnO3", "flags": "large_volume_change;space_group_changed"}
    numbers = {"e_above_hull_eV_per_atom": -1.2345, "formation_energy_eV_per_atom": -2.109, "volume_change_percent": 23}
    console = Console(width=80)
    with console.capture() as printed:
        console.print(_first_rows(pd.DataFrame([row | numbers]), committee=False))
    first, *more = printed.get().splitlines()[2:]
    assert {"Li2MnO3", "-1234", "-2.109", "+23.0"} <= set(first.split())
    assert "".join(line[6:30].split()[0] for line in (first, *more)) == name


def test_a_committee_prints_means_and_says_which_model_is_at_work(tmp_path):
    models = ["--model", "chgnet-0.3.0", "--model", "chgnet-0.2.0"]
    command = [sys.executable, "-m", "uniscreen", "screen", str(DEMO), "--limit", "6", "--top", "2", "--no-relax"]
    done = subprocess.run([*command, *models], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "candidates-screen"
    best = pd.read_parquet(out / "results.parquet").iloc[0]
    assert "Mean distance of 2 models to the hull" in done.stdout
    mean, deviation = (1000 * best[f"e_above_hull_{what}_eV_per_atom"] for what in ("mean", "std"))
    (line,) = [line for line in done.stdout.splitlines() if best["id"] in line]
    assert f"{mean:.0f} ±{deviation:>3.0f}" in line
    assert f"{2 * best['stable_share']:.0f} of 2" in line
    assert "12/12" in done.stderr
    assert "chgnet-0.2.0 (2 of 2)" in done.stderr
    assert "Where the models disagree most" in (out / "report.html").read_text(encoding="utf-8")
    assert "models" in {path.name for path in out.iterdir()}


def test_a_committee_of_two_functionals_is_refused_in_one_line(tmp_path):
    message = error_of(DEMO, "--model", "chgnet-0.3.0", "--model", "chgnet-r2scan", "--out", tmp_path / "out")
    assert "chgnet-0.3.0 gives PBE energies and chgnet-r2scan r2SCAN ones" in message
    assert not (tmp_path / "out").exists()
