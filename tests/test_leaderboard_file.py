"""LEADERBOARD.md is what the command writes from the committed results."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from uniscreen.cli.main import main

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.skipif(not RESULTS.is_dir(), reason="there is no benchmarks/results: no results are committed yet")
def test_it_is_what_the_command_writes(tmp_path):
    files = sorted(map(str, RESULTS.glob("*.csv")))
    result = CliRunner().invoke(main, ["leaderboard", *files, "-o", str(tmp_path / "LEADERBOARD.md")])
    assert result.exit_code == 0, result.output
    written = (tmp_path / "LEADERBOARD.md").read_text(encoding="utf-8")
    committed = (ROOT / "LEADERBOARD.md").read_text(encoding="utf-8")
    assert committed == written, "write it anew: uniscreen leaderboard benchmarks/results/*.csv -o LEADERBOARD.md"
