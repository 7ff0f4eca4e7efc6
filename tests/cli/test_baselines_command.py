"""``uniscreen baselines``: the list, the hyperparameters, and errors in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from click.testing import CliRunner

from uniscreen.benchmarking.baselines import baselines, find_baseline
from uniscreen.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copper(tmp_path: Path) -> Path:
    frames = []
    for i in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=i)
        atoms.calc = EMT()
        atoms.get_potential_energy()
        atoms.get_stress()
        frames.append(atoms)
    write(tmp_path / "copper.extxyz", frames)
    return tmp_path / "copper.extxyz"


def test_the_list_names_every_kind_with_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "400")
    done = CliRunner().invoke(main, ["baselines", "list"])
    assert done.exit_code == 0
    for baseline in baselines().values():
        (row,) = (line for line in done.output.splitlines() if line.startswith(f"{baseline.name} "))
        expected = f"cannot be had: {baseline.unavailable}" if baseline.unavailable else "can be installed"
        assert expected in row
        assert baseline.package in row


def test_show_prints_the_defaults() -> None:
    done = CliRunner().invoke(main, ["baselines", "show", "mtp"])
    assert done.exit_code == 0
    assert "  level=16\n" in done.output
    assert "Zuo et al." in done.output


def test_errors_are_one_line(copper: Path, tmp_path: Path) -> None:
    train = ["baselines", "train", "mtp", "--train", str(copper), "--out", str(tmp_path / "out")]
    for arguments, said in (
        ([*train, "cutoff"], "Error: 'cutoff' is not KEY=VALUE"),
        ([*train, "cut=5"], "Error: mtp has no hyperparameter 'cut'"),
        (["baselines", "install", "gapp"], "Error: Unknown baseline 'gapp'. Did you mean 'gap'"),
    ):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert said in done.output
        assert done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_remove_takes_the_environment_and_names_who_shared_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = find_baseline("snap").environment.folder
    folder.mkdir(parents=True)
    done = CliRunner().invoke(main, ["baselines", "remove", "snap"])
    assert done.exit_code == 0
    assert done.output == f"removed {folder}\nit was that of qsnap too\n"
    assert not folder.exists()
    done = CliRunner().invoke(main, ["baselines", "remove", "snap"])
    assert done.exit_code == 2
    assert done.output.startswith("Error: There is no environment of snap in ")


def test_a_licence_is_accepted_by_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("uniscreen.potentials.isolated.environments.Environment.ensure", lambda *_: None)
    done = CliRunner().invoke(main, ["baselines", "install", "gap"])
    assert done.exit_code == 2
    assert "uniscreen baselines install gap --accept-licence" in done.output
    done = CliRunner().invoke(main, ["baselines", "install", "gap", "--accept-licence"])
    assert done.exit_code == 0
    assert "academic, non-commercial use only" in done.output
    assert CliRunner().invoke(main, ["baselines", "install", "gap"]).exit_code == 0


def test_a_seed_is_not_negative(copper: Path, tmp_path: Path) -> None:
    arguments = ["baselines", "train", "snap", "--train", str(copper), "--out", str(tmp_path / "out"), "--seed", "-1"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "Invalid value for '--seed'" in done.output
