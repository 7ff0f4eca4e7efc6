"""The commands of docs/candidates.md run as they stand there, one after the other."""

import re
import shlex
import shutil
from pathlib import Path

from click.testing import CliRunner

from uniscreen.cli.main import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "candidates.md").read_text(encoding="utf-8")


def test_the_commands_run(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data" / "demo", tmp_path / "data" / "demo")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in re.findall(r"```sh\n(.+?)```", TEXT, flags=re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "uniscreen"
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.glob("*.csv")} == {
        "substituted.csv", "types.csv", "unique.csv", "unique-duplicates.csv"
    }  # fmt: skip
    header = (tmp_path / "unique.csv").read_text().splitlines()[0].split(",")
    for name in (*header, *(tmp_path / "substituted.csv").read_text().splitlines()[0].split(",")):
        assert f"`{name}`" in TEXT, name
