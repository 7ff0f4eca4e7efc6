"""The jobs as calls: they write what their commands write, and what one leaves the next takes."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from ase.build import bulk

import uniscreen
from finetuning_frames import write_labelled
from uniscreen.errors import InputError
from uniscreen.screening import ScreenSettings, run_models

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FEW_STEPS = {"optimiser.epochs": 1, "optimiser.learning_rate": 1e-5, "checks.run": False}


@pytest.fixture(scope="module")
def frames(loaded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    potential = loaded("chgnet-0.3.0")
    return {
        "train": write_labelled(folder / "train.extxyz", potential, count=10),
        "test": write_labelled(folder / "test.extxyz", potential, count=3, seed=1),
    }


@pytest.mark.slow
def test_a_fine_tuned_potential_screens(frames, tmp_path, capsys):
    threads = torch.get_num_threads()
    how = {"settings": FEW_STEPS, "device": "cpu", "progress": True}
    summary = uniscreen.finetune("chgnet-quick", tmp_path / "tuned", **frames, **how)
    assert re.search(r"member 0 .* (1/1 .*meV/Å|2/2 all frames)", capsys.readouterr().err)
    assert torch.get_num_threads() == threads
    assert summary["n_test"] == 3
    assert summary["epochs"] == [1]
    assert json.loads((tmp_path / "tuned" / "summary.json").read_text())["errors"] == summary["errors"]
    assert yaml.safe_load((tmp_path / "tuned" / "recipe.yaml").read_text())["optimiser"]["learning_rate"] == 1e-5
    assert (tmp_path / "tuned" / "report.html").is_file()

    atoms = bulk("NaCl", "rocksalt", a=5.6)
    how = {"model": str(tmp_path / "tuned"), "workers": 1}
    table = uniscreen.screen([atoms], out=tmp_path / "screen", **how)
    assert "1/1" not in capsys.readouterr().err
    assert uniscreen.screen([atoms], out=tmp_path / "again", **how, progress=True).equals(table)
    assert re.search("1/1 .* 1 ok", capsys.readouterr().err)
    assert table["status"].tolist() == ["ok"]
    assert (tmp_path / "screen" / "report.html").is_file()


@pytest.mark.slow
def test_a_benchmark_returns_its_leaderboard(frames, tmp_path):
    spec = {
        "benchmark": "salt",
        "datasets": {"salt": {name: str(path) for name, path in frames.items()}},
        "models": {"chgnet-0.3.0": {"recipe": "chgnet-quick", "regimes": ["re-referenced"]}},
        "n_train": [5, 10],
        "seeds": 1,
    }
    (tmp_path / "salt.yaml").write_text(yaml.safe_dump(spec))
    board = uniscreen.benchmark(tmp_path / "salt.yaml", tmp_path / "run", n_train=[10], workers=1, device="cpu")
    written = pd.read_csv(tmp_path / "run" / "leaderboard.csv")
    assert board["metric"].tolist() == written["metric"].tolist()
    assert board["mean"].tolist() == pytest.approx(written["mean"].tolist())
    assert set(board["n_train"]) == {10}
    assert (tmp_path / "run" / "leaderboard.html").is_file()


def test_wrong_settings_are_errors(tmp_path):
    with pytest.raises(InputError, match=r"with optimiser\.step=3: optimiser\.step is no key of a recipe"):
        uniscreen.finetune("chgnet-quick", tmp_path / "out", settings={"optimiser.step": 3})
    with pytest.raises(InputError, match="--workers is 0, expected at least 1"):
        uniscreen.finetune("chgnet-quick", tmp_path / "out", workers=0)
    with pytest.raises(InputError, match="--workers is 0, expected at least 1"):
        uniscreen.benchmark(Path(__file__).parents[1] / "benchmarks" / "nacl.yaml", tmp_path / "out", workers=0)
    with pytest.raises(InputError, match="There is no recipe chgnet-quik"):
        uniscreen.finetune("chgnet-quik", tmp_path / "out")


def test_a_path_is_a_model_and_numbers_may_be_those_of_numpy(loaded, tmp_path):
    loaded("chgnet-0.3.0").save(tmp_path / "saved")
    assert uniscreen.load_potential(tmp_path / "saved", device="cpu").card.name == "saved"
    settings = {"relax": np.False_, "fmax": np.float32(0.25), "max_steps": np.int64(7), "workers": 1}
    table = uniscreen.screen([bulk("Cu")], model=tmp_path / "saved", out=tmp_path / "run", **settings)
    assert table["status"].tolist() == ["ok"]
    written = json.loads((tmp_path / "run" / "manifest.json").read_text())["settings"]
    assert (written["fmax"], written["max_steps"], written["relax"]) == (0.25, 7, False)

    values = {"seed": np.int64(3), "optimiser.learning_rate": np.float64(1e-3), "data.train": tmp_path / "none.extxyz"}
    with pytest.raises(InputError, match=r"none\.extxyz, which does not exist"):
        uniscreen.finetune("chgnet-quick", tmp_path / "tuned", settings=values)
    spec = {
        "benchmark": "salt",
        "datasets": {"salt": {"train": str(tmp_path / "none.extxyz")}},
        "models": {"chgnet-0.3.0": {"regimes": ["zero-shot"]}},
    }
    (tmp_path / "salt.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(InputError, match=r"none\.extxyz does not exist"):
        uniscreen.benchmark(tmp_path / "salt.yaml", tmp_path / "board", seeds=np.int64(1), n_train=np.array([5, 10]))


def test_the_readme_shows_every_call():
    shown = set(re.findall(r"uniscreen\.(\w+)\(", "".join(re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL))))
    assert shown == set(uniscreen.__all__) - {"__version__", "UniscreenError"}


def test_all_that_is_offered_is_listed_and_there():
    assert dir(uniscreen) == sorted(uniscreen.__all__)
    for name in uniscreen.__all__:
        assert getattr(uniscreen, name) is not None
    assert issubclass(InputError, uniscreen.UniscreenError)
    assert (files("uniscreen") / "py.typed").is_file()  # so that type checkers read the annotations


def test_a_screen_takes_the_settings_with_their_defaults():
    offered = {name: one.default for name, one in inspect.signature(uniscreen.screen).parameters.items()}
    settings = {field.name: field.default for field in fields(ScreenSettings)}
    assert {name: offered[name] for name in settings} == settings
    runs = inspect.signature(run_models).parameters.keys() - {"models", "settings", "on_progress", "on_fetch"}
    assert offered.keys() == settings.keys() | runs | {"progress"}
