"""``uniscreen finetune``: from a recipe that ships to a potential, and what is wrong in one line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from finetuning_frames import write_labelled
from uniscreen import load_potential
from uniscreen.cli.main import main

MODEL = "chgnet-0.3.0"


@pytest.fixture(scope="module")
def train(loaded, tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("frames") / "nacl-frames.extxyz", loaded(MODEL), count=6)


def invoke(*arguments):
    return CliRunner().invoke(main, ["finetune", *map(str, arguments)])


def test_a_recipe_that_ships_makes_a_potential(train, tmp_path):
    run = invoke(
        "chgnet-quick",
        "--train",
        train,
        "-o",
        tmp_path / "run",
        "optimiser.epochs=2",
        "checks.md_ps=0.05",
        "--device",
        "cpu",
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    status = {check["name"]: check["status"] for check in summary["checks"]}
    assert status["rotation: forces"] == status["translation: forces"] == "pass"
    failed = any(check["status"] == "fail" and check["required"] for check in summary["checks"])
    assert run.exit_code == (1 if failed else 0), run.output
    assert f"Potential: {tmp_path / 'run'}" in run.output
    assert (tmp_path / "run" / "report.html").is_file()
    assert load_potential(str(tmp_path / "run"), device="cpu").card.tuned_elements == {"Na", "Cl"}
    shift = summary["reference_energy_shifts_eV_per_atom"]["Na"]
    shown = CliRunner().invoke(main, ["models", "show", str(tmp_path / "run")]).output
    assert f"Na {shift:+.3f}" in " ".join(shown.split())


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = invoke("chgnet-quick", "--train", train, "--dry-run", "--device", "cpu")
    assert run.exit_code == 0, run.output
    assert "412431 of 412431 are trained" in run.output
    assert "5 train, 1 validate, 0 test" in run.output
    assert "Time: at most" in run.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chgnet-quik",), "Did you mean chgnet-quick?"),
        (("chgnet-quick", "optimiser.epoch=3"), "Did you mean optimiser.epochs?"),
        (("chgnet-quick", "--train", "nowhere.extxyz"), "data.train is nowhere.extxyz, which does not exist"),
        (("chgnet-quick", "model=nothing"), "Unknown model 'nothing'"),
    ],
    ids=["recipe", "key", "file", "model"],
)
def test_what_is_wrong_is_one_line(arguments, said, tmp_path):
    run = invoke(*arguments, "-o", tmp_path / "run")
    assert run.exit_code == 2
    assert said in run.output
    assert len(run.output.strip().splitlines()) == 1


def test_an_output_that_is_a_file_is_one_line(train, tmp_path):
    out = tmp_path / "taken"
    out.touch()
    run = invoke("chgnet-quick", "--train", train, "-o", out)
    assert run.exit_code == 2
    assert f"Error: {out} is a file; expected a folder" in run.output
    assert run.exception is None or isinstance(run.exception, SystemExit)
