"""``uniscreen leaderboard``: tables in a terminal and in pipes, files, and errors in one line."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

import uniscreen
from benchmark_rows import SOURCE, benchmark_rows, published
from uniscreen.cli.main import main

HEAVY = ("torch", "numpy", "pandas", "pymatgen", "ase", "chgnet", "plotly", "scipy", "rich")


def leaderboard(*arguments, **environment):
    return CliRunner().invoke(main, ["leaderboard", *map(str, arguments)], env={"COLUMNS": None, **environment})


@pytest.fixture
def folder(tmp_path):
    benchmark_rows().to_parquet(tmp_path / "results.parquet")
    return tmp_path


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from uniscreen.cli.main import main\n"
        "try: main(['leaderboard', '--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(m for m in {HEAVY} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert "--metric" in done.stdout


def test_the_best_entries_of_each_dataset_are_printed(folder):
    published().to_csv(folder / "published.csv", index=False)
    result = leaderboard(folder, folder / "published.csv", "--top", 3)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "bench: Mo. 26 entries of 74 cells, 3 of which failed. Tested on 25 structures."
    start = next(number for number, line in enumerate(lines) if line.startswith("bench: Si"))
    best = uniscreen.leaderboard(folder).query("dataset == 'Si' and metric == 'energy_mae'").iloc[0]
    assert lines[start + 2].split()[:5] == [best["model"], "dedicated", "214", "1", f"{best['mean']:.2f}"]
    assert any(line.split()[:4] == ["GAP", "2018", "[1]", "published"] for line in lines[start + 3 : start + 5])
    assert lines[start + 5] == "... and 24 more: --top 27 prints all."
    assert "Failed: mtp dedicated, n_train 10, 3 of 3 cells: BackendError: no convergence" in result.output
    assert lines[-1] == f"[1] {SOURCE}"


def test_it_fits_in_80_columns(folder):
    lines = leaderboard(folder, "--top", 50, COLUMNS="80").output.splitlines()
    assert max(map(len, lines)) <= 80
    for regime, n_entries in (("zero-shot", 2), ("fine-tuned", 8), ("dedicated", 8)):
        rows = [line for line in lines if f"  {regime} " in line]
        assert len(rows) == 2 * n_entries


def test_files_are_written_and_named(folder):
    names = ["board.csv", "board.md", "deeper/board.html"]
    result = leaderboard(folder, *(part for name in names for part in ("-o", folder / name)))
    assert result.exit_code == 0, result.output
    for name in names:
        assert f"  {folder / name}" in result.output
        assert (folder / name).stat().st_size > 1000


def test_metric_and_by(folder):
    result = leaderboard(folder, "--metric", "force_mae", "--by", "n_train", "--by", "regime")
    assert "Force MAE" in result.output
    assert "Energy MAE" not in result.output
    assert "Best" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.csv"], "Error: There is no file absent.csv."),
        (["{folder}", "--metric", "volume"], "Error: The results have no metric volume; they have energy_mae"),
        (["{folder}", "-o", "board.pdf"], "Error: A leaderboard cannot be written to board.pdf"),
        (["{folder}", "-o", "{folder}/taken.csv"], "taken.csv, which is a folder."),
        (["{folder}", "-o", "{folder}/results.parquet/board.csv"], "results.parquet: File exists."),
        (["{folder}", "--by", "seed"], "Invalid value for '--by'"),
        ([], "Missing argument"),
    ],
    ids=["no file", "metric", "format", "a folder", "below a file", "by", "nothing"],
)
def test_errors_are_one_line(folder, arguments, message):
    (folder / "taken.csv").mkdir()
    result = leaderboard(*(argument.format(folder=folder) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
