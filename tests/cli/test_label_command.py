"""``uniscreen label``: what it prints, and the exit code."""

from __future__ import annotations

import pytest
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner

from uniscreen.cli.main import main


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "metals.extxyz"
    write(path, [bulk("Cu"), bulk("Al")])
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["label", *map(str, arguments)])


def test_it_labels_and_says_where(file, tmp_path):
    result = run(file, "--calculator", "emt", "-o", tmp_path / "out.extxyz", "--workers", 2)
    assert result.exit_code == 0, result.output
    assert "2 of 2 structures labelled" in result.output
    assert (tmp_path / "out.extxyz").exists()


def test_a_failure_is_named_and_the_exit_code_says_so(tmp_path):
    path = tmp_path / "mixed.extxyz"
    write(path, [bulk("Cu"), bulk("Si")])
    result = run(path, "--calculator", "emt", "-o", tmp_path / "out.extxyz")
    assert result.exit_code == 1
    assert "1 of 2 structures labelled" in result.output
    assert "mixed-1: NotImplementedError: No EMT-potential for Si" in result.output


def test_wrong_settings_are_one_line(file, tmp_path):
    result = run(file, "-o", tmp_path / "out.extxyz", "--quiet")
    assert result.exit_code == 2
    assert result.output.startswith("Error: settings: no calculator is named, with --calculator NAME")
