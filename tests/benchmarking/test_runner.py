"""Benchmarks that run: their numbers against direct evaluation, and what becomes of cells that fail or are stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from finetuning_frames import SHIFTS, write_labelled
from uniscreen.benchmarking.cells import Cell
from uniscreen.benchmarking.physics import measure, read_properties
from uniscreen.benchmarking.result_columns import COLUMNS
from uniscreen.benchmarking.result_rows import read_rows
from uniscreen.benchmarking.runner import _Processes, plan, run_benchmark
from uniscreen.benchmarking.spec import BenchmarkSpec
from uniscreen.errors import InputError, ResumeError
from uniscreen.structures.labels import read_labelled

pytestmark = pytest.mark.slow

MODEL = "chgnet-0.3.0"

CALCULATORS = """
import os, signal, time
from ase.calculators.lj import LennardJones

class Killed(LennardJones):
    def calculate(self, *arguments, **named):
        os.kill(os.getpid(), signal.SIGKILL)

class Slow(LennardJones):
    def calculate(self, *arguments, **named):
        with open(os.environ["STARTED"] + ".part", "w") as file:
            file.write(str(os.getpid()))
        os.replace(file.name, os.environ["STARTED"])
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def files(loaded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    potential = loaded(MODEL)
    train = write_labelled(folder / "train.extxyz", potential, count=15)
    return {"train": train, "test": write_labelled(folder / "test.extxyz", potential, count=5, seed=1)}


PROPERTIES = """
[crystals.rocksalt]
prototype = "rocksalt"
formula = "NaCl"
a_A = 5.69

[crystals.rocksalt.equation_of_state]
volume_A3_per_atom = 22.0
source = "a round number"
"""


@pytest.fixture
def calculators(tmp_path, monkeypatch):
    (tmp_path / "bad_calculators.py").write_text(CALCULATORS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    return tmp_path


def spec(files, **changes):
    usual = {"benchmark": "trial", "datasets": {"salt": files}, "n_train": [10], "seeds": 1}
    return BenchmarkSpec.model_validate(usual | changes)


def value(rows, regime, metric, **where):
    chosen = rows[(rows["regime"] == regime) & (rows["metric"] == metric)]
    for column, wanted in where.items():
        chosen = chosen[chosen[column] == wanted]
    (found,) = chosen["value"]
    return found


def test_a_device_that_is_not_there_is_an_error_before_anything_runs(files, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = BenchmarkSpec.model_validate(
        {"benchmark": "salt", "datasets": {"salt": files}, "models": {MODEL: {"regimes": ["zero-shot"]}}}
    )
    with pytest.raises(InputError, match="torch sees no CUDA device"):
        run_benchmark(spec, tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


def test_every_regime_gives_the_numbers_of_its_potential(files, loaded, tmp_path):
    models = {MODEL: {"recipe": "chgnet-quick", "settings": {"optimiser.steps": 3, "strategy": {"kind": "delta"}}}}
    properties = tmp_path / "salt.toml"
    properties.write_text(PROPERTIES, encoding="utf-8")
    regimes = ["zero-shot", "re-referenced", "fine-tuned"]
    run = run_benchmark(spec({**files, "properties": properties}, models=models, regimes=regimes), tmp_path)
    assert (run.failed, run.total) == (0, 3)
    rows = run.rows
    assert list(rows.columns) == list(COLUMNS)
    of_crystals = rows["metric"].str.contains(":")
    assert set(rows.loc[~of_crystals, "n_test"]) == {5}

    test = read_labelled(files["test"]).structures
    results = loaded(MODEL).evaluate([one.atoms for one in test])
    errors = np.array([(r.energy - one.energy) / len(one.atoms) for r, one in zip(results, test, strict=True)])
    assert value(rows, "zero-shot", "energy_mae") == pytest.approx(1000 * abs(errors).mean(), rel=1e-4)
    assert abs(errors.mean() - -sum(SHIFTS.values()) / 2) < 0.2
    forces = np.concatenate([(r.forces - one.forces).ravel() for r, one in zip(results, test, strict=True)])
    assert value(rows, "zero-shot", "force_mae") == pytest.approx(1000 * abs(forces).mean(), rel=1e-4)
    assert value(rows, "re-referenced", "force_mae") == value(rows, "zero-shot", "force_mae")

    (summary,) = (tmp_path / "cells").glob("*fine-tuned*/model/summary.json")
    stages = json.loads(summary.read_text(encoding="utf-8"))["errors"]["test"]
    for regime, stage in (("re-referenced", "rereferenced"), ("fine-tuned", "trained")):
        assert value(rows, regime, "energy_mae") == pytest.approx(stages[stage]["energy_mae_meV_per_atom"], rel=1e-3)
    assert value(rows, "fine-tuned", "training_time") > 0.5
    assert not (rows["metric"] == "training_time")[rows["regime"] != "fine-tuned"].any()

    assert set(rows.loc[of_crystals, "regime"]) == {"zero-shot", "fine-tuned"}
    (volume,) = [one for one in measure(loaded(MODEL), read_properties(properties)) if one.metric == "volume:rocksalt"]
    assert value(rows, "zero-shot", "volume:rocksalt") == pytest.approx(volume.value, rel=1e-6)
    assert value(rows, "zero-shot", "volume_error:rocksalt") == pytest.approx(100 * abs(volume.value - 22) / 22)

    for name in ("results.parquet", "results.csv"):
        pd.testing.assert_frame_equal(read_rows(tmp_path / name), rows)


def test_cells_that_are_done_are_not_run_again(files, tmp_path):
    first = run_benchmark(spec(files, models={MODEL: {}}, regimes=["zero-shot", "re-referenced"]), tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/rows.json")}
    told = []
    more = spec(files, models={MODEL: {}}, regimes=["zero-shot", "re-referenced"], n_train=[10, 12], benchmark="new")
    assert [done for _, done in plan(more, tmp_path)] == [True, True, False]
    second = run_benchmark(more, tmp_path, on_cell=lambda cell, *_: told.append(cell.n_train))
    assert told == [12]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert set(second.rows["benchmark"]) == {"new"}
    assert len(second.rows) == len(first.rows) + (first.rows["regime"] == "re-referenced").sum()


def test_what_is_trained_is_not_trained_again_where_more_is_measured(files, tmp_path):
    models = {MODEL: {"recipe": "chgnet-quick", "settings": {"optimiser.steps": 3, "strategy": {"kind": "delta"}}}}
    first = run_benchmark(spec(files, models=models, regimes=["fine-tuned"]), tmp_path).rows
    (weights,) = tmp_path.glob("cells/*/model/weights.safetensors")
    stamp = weights.stat().st_mtime_ns
    more = spec({**files, "elsewhere": {"same": files["test"]}}, models=models, regimes=["fine-tuned"])
    assert [done for _, done in plan(more, tmp_path)] == [False]
    second = run_benchmark(more, tmp_path).rows
    assert weights.stat().st_mtime_ns == stamp
    for name in ("force_mae", "training_time"):
        assert value(second, "fine-tuned", name) == value(first, "fine-tuned", name)
    assert value(second, "fine-tuned", "force_mae:same") == value(second, "fine-tuned", "force_mae")


def test_a_cell_that_fails_is_a_row_with_its_reason(files, calculators, tmp_path):
    models = {name: {"model": f"ase:bad_calculators:{name}"} for name in ("Killed", "Nothing")}
    chosen = spec(files, models=models | {MODEL: {}}, regimes=["zero-shot"])
    run = run_benchmark(chosen, tmp_path / "out", trust_model_file=True, workers=1)
    assert (run.failed, run.total) == (2, 3)
    failed = run.rows[run.rows["status"] == "failed"].set_index("model")
    assert list(failed["metric"]) == ["", ""]
    assert failed["value"].isna().all()
    assert "signal 9" in failed.loc["Killed", "reason"]
    assert "Nothing" in failed.loc["Nothing", "reason"]
    told = []
    run_benchmark(chosen, tmp_path / "out", on_cell=lambda cell, *_: told.append(cell.label))
    assert told == []
    again = run_benchmark(chosen, tmp_path / "out", retry_failed=True, on_cell=lambda cell, *_: told.append(cell.label))
    assert sorted(told) == ["Killed", "Nothing"]
    reasons = again.rows[again.rows["status"] == "failed"].set_index("model")["reason"]
    assert "--trust-model-file" in reasons["Killed"]


def test_a_cell_of_which_one_property_failed_is_evaluated_again(files, tmp_path):
    chosen = spec(files, models={MODEL: {}}, regimes=["zero-shot"])
    first = run_benchmark(chosen, tmp_path)
    (path,) = tmp_path.glob("cells/*/rows.json")
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([*rows[:-1], rows[-1] | {"value": None, "status": "failed", "reason": "out of luck"}]))
    assert "out of luck" in set(run_benchmark(chosen, tmp_path).rows["reason"])
    again = run_benchmark(chosen, tmp_path, retry_failed=True)
    assert set(again.rows["status"]) == {"ok"}
    assert len(again.rows) == len(first.rows)


def test_a_cell_that_takes_too_long_is_ended(files, calculators, tmp_path):
    models = {"slow": {"model": "ase:bad_calculators:Slow"}}
    chosen = spec(files, models=models, regimes=["zero-shot"], cell_hours=4 / 3600)
    run = run_benchmark(chosen, tmp_path / "out", trust_model_file=True)
    assert list(run.rows["reason"]) == ["it was not done after 0.00111111 hours (cell_hours)"]


def test_a_script_in_the_working_directory_is_not_taken_for_a_package(files, tmp_path, monkeypatch):
    (tmp_path / "chgnet.py").write_text("raise SystemExit('a script of the user')")
    monkeypatch.chdir(tmp_path)
    assert not run_benchmark(spec(files, models={MODEL: {}}, regimes=["zero-shot"]), tmp_path / "out").failed


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_a_benchmark_that_is_stopped_continues(files, calculators, tmp_path, way):
    """Its end is that of the cells that run, none of which is recorded as failed."""
    text = spec(files, models={"slow": {"model": "ase:bad_calculators:Slow"}, MODEL: {}}, regimes=["zero-shot"])
    (tmp_path / "spec.yaml").write_text(text.as_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "uniscreen", "benchmark", str(tmp_path / "spec.yaml"), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--trust-model-file", "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a job in the background
    )
    until = time.monotonic() + 120
    while not ((calculators / "started").exists() and list(tmp_path.glob("out/cells/*/rows.json"))):
        assert time.monotonic() < until
        time.sleep(0.2)
    with pytest.raises(ResumeError, match="Another process"):
        run_benchmark(text, tmp_path / "out")
    process.send_signal(way)
    _, printed = process.communicate(timeout=60)
    if way == signal.SIGINT:
        assert process.returncode == 130
        assert "Stopped" in printed
    cell = Path(f"/proc/{(calculators / 'started').read_text()}")
    until = time.monotonic() + 20
    while cell.exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    assert [done for _, done in plan(text, tmp_path / "out")] == [False, True]


def test_wrong_input_leaves_nothing(files, tmp_path):
    with pytest.raises(InputError, match="n_train is 100"):
        run_benchmark(spec(files, models={MODEL: {}}, regimes=["re-referenced"], n_train=[100]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_structures_are_compared_by_forces_alone(files, tmp_path):
    elsewhere = {"same": files["test"], "none": files["train"].with_name("argon.extxyz")}
    elsewhere["none"].write_text(
        '1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=0.0\nAr 0 0 0 0 0 0\n'
    )
    chosen = spec({**files, "elsewhere": elsewhere}, models={MODEL: {}}, regimes=["zero-shot"])
    rows = run_benchmark(chosen, tmp_path).rows
    assert value(rows, "zero-shot", "force_mae:same") == value(rows, "zero-shot", "force_mae")
    assert value(rows, "zero-shot", "stress_mae:same") == value(rows, "zero-shot", "stress_mae")
    assert "energy_mae:same" not in set(rows["metric"])
    (missing,) = rows[rows["metric"] == "force_mae:none"].itertuples()
    assert (missing.status, missing.n_test) == ("failed", 0)
    assert "neighbour" in missing.reason


@pytest.fixture(scope="module")
def with_single_atoms(files):
    """The training file, and single atoms that no potential here can evaluate, as many sets have."""
    frames = read(files["train"], ":")
    for symbol in ("Na", "Cl"):
        atom = Atoms(symbol, cell=[15.0] * 3, pbc=True, info={"group": "atoms"})
        atom.calc = SinglePointCalculator(atom, energy=-0.2, forces=[[0.0, 0.0, 0.0]])
        frames.append(atom)
    path = files["train"].with_name("atoms.extxyz")
    write(path, frames)
    return path


def test_structures_that_a_potential_cannot_evaluate_train_nothing_and_fail_nothing(files, with_single_atoms, tmp_path):
    data = {"train": with_single_atoms, "test": files["test"], "elsewhere": {"more": with_single_atoms}}
    models = {MODEL: {"recipe": "chgnet-quick", "settings": {"optimiser.steps": 2}}}
    chosen = spec(data, models=models, regimes=["re-referenced", "fine-tuned"], n_train=["all"])
    run = run_benchmark(chosen, tmp_path)
    assert run.failed == 0, run.rows["reason"].unique()
    assert value(run.rows, "re-referenced", "energy_mae") < 100  # without new references, 2250
    (elsewhere,) = run.rows.query("metric == 'force_mae:more' and regime == 'fine-tuned'").itertuples()
    assert elsewhere.n_test == 15
    assert "2 of 17 test structures were not evaluated" in elsewhere.reason


def test_no_cell_begins_after_a_stop(tmp_path):
    processes = _Processes(["cpu", "-"])
    processes.stop()
    data = {"train": tmp_path / "train.extxyz", "test": tmp_path / "test.extxyz"}
    cell = Cell(benchmark="b", dataset="d", label="l", regime="zero-shot", n_train=0, seed=0, data=data, data_sha256={})
    processes.run(cell, tmp_path / "cell")
    assert [path.name for path in (tmp_path / "cell").iterdir()] == ["cell.json"]
