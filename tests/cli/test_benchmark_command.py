"""``uniscreen benchmark discovery``: a table of metrics, and errors in one line."""

import json
import subprocess
import sys

import pytest
from ase.build import bulk
from click.testing import CliRunner

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
