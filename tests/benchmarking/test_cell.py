"""What a cell counts as training, and rows of values that are none."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from uniscreen.benchmarking import cell as running
from uniscreen.benchmarking.baselines import Baseline
from uniscreen.benchmarking.cells import Cell
from uniscreen.benchmarking.results import row
from uniscreen.errors import InputError
from uniscreen.potentials.base import SystemResult
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.predictions import Predictions


@pytest.fixture
def snap(tmp_path):
    data = {"train": tmp_path / "train.extxyz", "test": tmp_path / "test.extxyz", "n_train": 10}
    described = {"benchmark": "b", "dataset": "d", "label": "snap", "regime": "dedicated", "n_train": 10, "seed": 0}
    return Cell(**described, data=data, data_sha256={}, baseline="snap")


def test_making_an_environment_is_no_training_time(snap, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(Baseline, "install", lambda _: done.append("install"))
    monkeypatch.setattr(running, "_cpu_seconds", lambda: float(done.append("clock") or len(done)))
    monkeypatch.setattr(running, "drawn", lambda _: ([], []))
    monkeypatch.setattr(running, "train_baseline", lambda *_, **__: done.append("train"))
    assert running._train(snap, tmp_path, {"device": "cpu"}) == 2.0
    assert done == ["install", "clock", "train", "clock"]


def test_a_value_that_is_not_finite_fails_for_a_reason(snap):
    assert row(snap, "force_mae", math.nan, n_test=5)["reason"] == "the value is nan"
    assert row(snap, "force_mae", math.nan, n_test=5, reason="an atom flew away")["reason"] == "an atom flew away"
    assert row(snap, "force_mae", 1.0, n_test=5)["reason"] == ""


def test_a_structure_without_a_finite_energy_has_no_say_in_reference_energies(snap, monkeypatch):
    def labelled(energy):
        return LabelledStructure(Atoms("Cu"), energy, np.zeros((1, 3)), None, None, "")

    def predicted(*energies):
        rest = np.zeros((1, 3)), np.zeros((3, 3)), None
        results = {place: SystemResult(energy, *rest) for place, energy in enumerate(energies)}
        monkeypatch.setattr(running, "predict", lambda *_, **__: Predictions(results, {}))
        return running._shifts(snap, SimpleNamespace(card=SimpleNamespace(name="m")))

    monkeypatch.setattr(running, "drawn", lambda _: ([labelled(2.0), labelled(3.0)], []))
    assert predicted(math.nan, 1.0) == pytest.approx({"Cu": 2.0})
    with pytest.raises(InputError, match="m can evaluate none of the training structures: its energies are not finite"):
        predicted(math.nan, math.inf)


def test_what_a_model_raises_is_the_reason_and_its_traceback_in_the_log(snap, tmp_path, monkeypatch, capsys):
    def refuses(*_, **__):
        raise RuntimeError("no gold here\n  only copper")

    monkeypatch.setattr(running, "run_cell", refuses)
    (tmp_path / "cell.json").write_text(snap.model_dump_json(), encoding="utf-8")
    running.run(tmp_path, trust_model_file=False, device="cpu")
    (one,) = json.loads((tmp_path / snap.rows_name).read_text(encoding="utf-8"))
    assert (one["status"], one["reason"]) == ("failed", "RuntimeError: no gold here only copper")
    assert "in refuses" in capsys.readouterr().err
