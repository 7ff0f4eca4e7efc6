"""What the README shows is run, and what it lists is what there is."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from uniscreen.cli.main import main
from uniscreen.screening.columns import COLUMN_TYPES, SELF_CONSISTENT_TYPES
from uniscreen.screening.committee_table import COMMITTEE_TYPES, MODEL_TYPES, model_column
from uniscreen.screening.record import STATUSES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data" / "demo", tmp_path / "data" / "demo")
    monkeypatch.chdir(tmp_path)
    example = re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL)[
        0
    ]  # tests/test_api.py makes the other's calls
    names: dict = {}
    exec(example, names)
    assert len(names["best"]) == 3
    assert names["atoms"].get_potential_energy() == pytest.approx(names["evaluation"].energy)
    assert (tmp_path / "candidates-screen" / "results.csv").exists()
    assert set(names["doubtful"]["id"]) < set(names["both"]["id"])


def test_every_column_status_and_option_is_described():
    of_each_model = [model_column(name, "NAME") for name in MODEL_TYPES]
    for name in (*COLUMN_TYPES, *SELF_CONSISTENT_TYPES, *COMMITTEE_TYPES, *of_each_model, *STATUSES):
        assert f"`{name}`" in README, name
    options = re.findall(r"(--[a-z][a-z-]+)", CliRunner().invoke(main, ["screen", "--help"]).output)
    for option in {*options} - {"--help", "--model"}:
        assert f"`{option}" in README or f" {option}`" in README, option


def test_the_two_commands_are_one_line_each():
    for name in ("screen", "test"):
        (command,) = re.findall(rf"<!-- command: {name} -->\n```sh\n(.+?)\n```", README, flags=re.DOTALL)
        assert "\n" not in command
