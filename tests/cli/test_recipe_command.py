"""``uniscreen recipe``: what ships is listed, shown, copied and checked."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from uniscreen.cli.main import main
from uniscreen.training.recipe_file import read_recipe
from uniscreen.training.shipped import shipped_recipes


def invoke(*arguments):
    return CliRunner().invoke(main, ["recipe", *map(str, arguments)])


def test_every_recipe_is_listed():
    listed = invoke("list").output
    assert shipped_recipes()
    assert all(name in listed for name in shipped_recipes())


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_is_shown_as_it_is_and_resolved(name, tmp_path):
    assert invoke("show", name).output == shipped_recipes()[name].read_text(encoding="utf-8")
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(invoke("show", name, "--resolved").output, encoding="utf-8")
    assert read_recipe(resolved) == read_recipe(shipped_recipes()[name])
    assert yaml.safe_load(resolved.read_text(encoding="utf-8"))["optimiser"]["clip"] == 1.0


def test_a_new_recipe_is_a_copy_with_its_own_data(tmp_path):
    name = next(iter(shipped_recipes()))
    out = tmp_path / "mine.yaml"
    assert invoke("new", name, out, "--train", "mine.extxyz").exit_code == 0
    assert "#" in out.read_text(encoding="utf-8")
    assert str(read_recipe(out).data.train) == "mine.extxyz"
    again = invoke("new", name, out)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_files_that_are_not_there_are_named(tmp_path):
    out = tmp_path / "mine.yaml"
    invoke("new", next(iter(shipped_recipes())), out, "--train", tmp_path / "mine.extxyz")
    found = invoke("validate", out)
    assert found.exit_code == 2
    assert f"data.train is {tmp_path / 'mine.extxyz'}, which does not exist" in found.output
    (tmp_path / "mine.extxyz").touch()
    assert "is a valid recipe" in invoke("validate", out, "replay=null").output


@pytest.mark.parametrize("train", ["runs: a #1/x.extxyz", "it's.xyz", "0123", "null", "*.xyz", "Ω/über.extxyz"])
def test_a_new_recipe_may_name_any_file(tmp_path, train):
    out = tmp_path / "mine.yaml"
    made = invoke("new", next(iter(shipped_recipes())), out, "--train", train)
    assert made.exit_code == 0, made.output
    assert str(read_recipe(out).data.train) == train


@pytest.mark.parametrize("text", ["model: a\n", "model: a\ndata: {train: b.extxyz}\n"], ids=["no data", "in one line"])
def test_a_file_that_cannot_be_put_in_is_an_error(tmp_path, text):
    recipe = tmp_path / "own.yaml"
    recipe.write_text(text, encoding="utf-8")
    made = invoke("new", recipe, tmp_path / "mine.yaml", "--train", "x.extxyz")
    assert made.exit_code == 2
    assert "no line 'train: FILE'" in made.output
    assert not (tmp_path / "mine.yaml").exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    made = invoke("new", next(iter(shipped_recipes())), tmp_path / "nowhere" / "mine.yaml")
    assert made.exit_code == 2
    assert made.output.startswith("Error: ")
    assert made.output.endswith("mine.yaml: No such file or directory.\n")
