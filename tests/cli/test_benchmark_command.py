"""``uniscreen benchmark``: tables of metrics, and errors in one line."""

import json
import subprocess
import sys

import pytest
from ase.build import bulk
from click.testing import CliRunner

from finetuning_frames import write_labelled
from uniscreen.cli.main import main
from uniscreen.structures.writing import CandidateWriter

HEAVY = ("torch", "numpy", "pandas", "pymatgen", "ase", "chgnet", "plotly", "scipy", "rich")


def discovery(*arguments):
    return CliRunner().invoke(main, ["benchmark", "discovery", *map(str, arguments)])


@pytest.fixture
def salts(tmp_path):
    with CandidateWriter(tmp_path / "salts.csv", ("mine", "hull")) as writer:
        writer.write("NaCl", bulk("NaCl", "rocksalt", a=5.69), {"mine": -2.0, "hull": 0.0})
        writer.write("KCl", bulk("KCl", "rocksalt", a=6.38), {"mine": -2.1, "hull": 0.01})
    return tmp_path / "salts.csv"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from uniscreen.cli.main import main\n"
        "try: main(['benchmark', 'discovery', '--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(m for m in {HEAVY} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert "--truth-e-above-hull" in done.stdout


def test_metrics_are_printed_as_they_are_written(salts, tmp_path):
    out = tmp_path / "out"
    arguments = (
        "--truth-formation-energy",
        "mine",
        "--truth-e-above-hull",
        "hull",
        "--workers",
        "1",
        "--device",
        "cpu",
    )
    result = discovery("--structures", salts, *arguments, "-o", out, "--quiet")
    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text())
    mae = 1000 * metrics["formation_energy"]["MAE_eV_per_atom"]
    assert "MAE, meV/atom" in result.output
    assert f"{mae:.1f}" in result.output
    for name in ("F1", "DAF", "precision", "recall", "accuracy", "TPR", "FPR", "TNR"):
        assert name in result.output
    assert "2 structures, 2 predicted" in result.output
    assert str(out / "predictions.parquet") in result.output.replace("\n", "")


def test_structures_without_truth_are_an_error_before_anything_runs(salts, tmp_path):
    result = discovery("--structures", salts, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "no column of true formation energies" in result.output
    assert "mine, hull" in result.output
    assert not (tmp_path / "out").exists()


SPEC = """
benchmark: trial
datasets: {{salt: {{train: {train}, split: {{by: group}}}}}}
models: {models}
regimes: [zero-shot]
"""


@pytest.fixture(scope="module")
def frames(loaded, tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("frames") / "salt.extxyz", loaded("chgnet-0.3.0"))


def test_a_spec_is_run_and_ranked(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC.format(train=frames, models="{chgnet-0.3.0: }"), encoding="utf-8")
    dry = CliRunner().invoke(main, ["benchmark", "spec.yaml", "--dry-run"])
    assert "salt: chgnet-0.3.0, zero-shot: 1 cells, 0 done" in dry.output
    assert not (tmp_path / "runs").exists()
    run = CliRunner().invoke(main, ["benchmark", "spec.yaml", "--quiet"])
    assert run.exit_code == 0, run.output
    assert "Best energy MAE: " in run.output
    assert "1 of 1 cells are done." in run.output
    for name in ("leaderboard.html", "leaderboard.csv", "results.csv", "results.parquet", "provenance.json"):
        assert (tmp_path / "runs" / "trial" / name).is_file(), name
    assert "1 cells, 1 done" in CliRunner().invoke(main, ["benchmark", "run", "spec.yaml", "--dry-run"]).output


def test_a_benchmark_of_which_nothing_runs_says_why(frames, tmp_path):
    path = tmp_path / "spec.yaml"
    (tmp_path / "mine").mkdir()
    models = f"{{mine: {{model: {tmp_path / 'mine'}}}}}"
    path.write_text(SPEC.format(train=frames, models=models), encoding="utf-8")
    run = CliRunner().invoke(main, ["benchmark", str(path), "--quiet", "-o", str(tmp_path / "out")])
    assert run.exit_code == 1
    assert "holds no model.json" in run.output
    assert "0 of 1 cells are done." in run.output


def test_a_model_that_is_unknown_is_told_before_anything_runs(frames, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(train=frames, models="{chgnet-0.4.0: }"), encoding="utf-8")
    run = CliRunner().invoke(main, ["benchmark", str(path), "--dry-run", "-o", str(tmp_path / "out")])
    assert run.exit_code == 2
    assert "Did you mean" in run.output


def test_a_spec_that_is_not_there_is_named():
    run = CliRunner().invoke(main, ["benchmark", "nowhere.yaml"])
    assert run.exit_code == 2
    assert "nowhere.yaml cannot be opened" in run.output


def test_options_may_come_before_the_spec(frames, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(train=frames, models="{chgnet-0.3.0: }"), encoding="utf-8")
    dry = CliRunner().invoke(main, ["benchmark", "--dry-run", "--out", str(tmp_path / "out"), str(path)])
    assert "1 cells, 0 done" in dry.output
    assert "Commands:" in CliRunner().invoke(main, ["benchmark", "-h"]).output


@pytest.mark.parametrize("sizes", ["\N{SUPERSCRIPT TWO}", "ten"])
def test_a_size_that_is_no_number_is_named(frames, tmp_path, sizes):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(train=frames, models="{chgnet-0.3.0: }"), encoding="utf-8")
    run = CliRunner().invoke(main, ["benchmark", str(path), "--dry-run", "--n-train", sizes])
    assert run.exit_code == 2
    assert f"expected whole numbers from 1 on, or all (given: {sizes})" in run.output


def test_a_folder_that_cannot_be_made_is_one_line(frames, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(train=frames, models="{chgnet-0.3.0: }"), encoding="utf-8")
    run = CliRunner().invoke(main, ["benchmark", str(path), "--quiet", "-o", str(path / "out")])
    assert run.exit_code == 2
    assert run.output.strip() == f"Error: {path / 'out'}: Not a directory."
