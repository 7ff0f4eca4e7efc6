"""Labelling: right numbers through the pipe, nothing lost, nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

from uniscreen.errors import InputError, ResumeError
from uniscreen.structures.labels import read_labelled
from uniscreen.training.labelling import LabelSettings, read_label_settings, run_labelling

HERE = Path(__file__).parent


def crystals(n=4):
    found = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell.array * (1 + 0.01 * k), scale_atoms=True)
        atoms.rattle(0.1, seed=k)
        atoms.info = {"id": f"cu{k}", "group": f"g{k // 2}"}
        found.append(atoms)
    return found


@pytest.fixture
def copper(tmp_path):
    path = tmp_path / "cu.extxyz"
    write(path, crystals())
    return path


def settings(name="emt", **parameters):
    calculator = name if name == "emt" else f"calculators:{name}"
    return LabelSettings(calculator=calculator, parameters=parameters, environment={"PYTHONPATH": str(HERE)})


def test_a_factory_of_the_working_directory_is_found(copper, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_calculator.py").write_text("from ase.calculators.emt import EMT as Own\n", encoding="utf-8")
    run = run_labelling(copper, LabelSettings(calculator="own_calculator:Own"), tmp_path / "out.extxyz")
    assert [row.status for row in run.rows] == ["ok"] * 4


def test_no_file_of_others_is_replaced(copper, tmp_path):
    before = copper.read_bytes()
    with pytest.raises(InputError, match=r"cu.extxyz is among the structures to label"):
        run_labelling(copper, settings(), copper)
    precious = tmp_path / "precious.extxyz"
    precious.write_text("labels of another code", encoding="utf-8")
    with pytest.raises(InputError, match="is there, and this labelling did not write it"):
        run_labelling(copper, settings(), precious)
    assert copper.read_bytes() == before
    assert precious.read_text(encoding="utf-8") == "labels of another code"


@pytest.mark.parametrize("workers", [1, 3])
def test_labels_are_those_of_the_calculator(copper, tmp_path, workers):
    run = run_labelling(copper, settings(), tmp_path / "out.extxyz", workers=workers)
    assert run.failed == []
    frames = read_labelled(run.out).structures
    assert [one.group for one in frames] == ["g0", "g0", "g1", "g1"]
    for one, atoms in zip(frames, read(copper, ":"), strict=True):
        atoms.calc = EMT()
        assert one.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(one.forces, atoms.get_forces(), atol=1e-8)
        np.testing.assert_allclose(one.stress, atoms.get_stress(voigt=False), atol=1e-12)
        np.testing.assert_allclose(one.atoms.positions, atoms.positions, atol=1e-8)
    written = read(run.out, ":")
    assert [one.info["id"] for one in written] == ["cu0", "cu1", "cu2", "cu3"]
    assert "free_energy" in written[0].calc.results
    provenance = json.loads((run.folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["versions"]["ase"]
    assert provenance["settings_sha256"] == settings().sha256()
    assert provenance["n_ok"] == 4


def test_what_the_calculator_prints_goes_to_its_log(copper, tmp_path):
    run = run_labelling(copper, settings("Noisy"), tmp_path / "out.extxyz")
    assert run.failed == []
    assert (run.folder / "worker-0" / "calculator.log").read_text(encoding="utf-8").count("from below Python") == 4


def test_a_calculator_without_stress_runs_in_a_folder_of_its_own(copper, tmp_path):
    run = run_labelling(copper, settings("WithoutStress"), tmp_path / "out.extxyz")
    assert all(one.stress is None for one in read_labelled(run.out).structures)
    assert (run.folder / "worker-0" / "scratch").exists()


def test_every_failure_is_a_row_with_its_reason(tmp_path):
    frames = [bulk("Cu") * (n, 1, 1) for n in range(1, 6)]
    broken = bulk("Cu")
    broken.positions[0, 0] = np.nan
    path = tmp_path / "cu.extxyz"
    write(path, [*frames, broken])
    run = run_labelling(path, settings("Moody"), tmp_path / "out.extxyz", workers=2)
    table = pd.read_csv(run.folder / "labels.csv", keep_default_na=False)
    assert table["status"].tolist() == ["ok", "failed", "failed", "failed", "ok", "failed"]
    for place, reason in (
        (1, "RuntimeError: SCF did not converge"),
        (2, "worker died 2 times on this structure: the process ended with code 7"),
        (3, "energy that is not finite"),
        (5, "positions are not finite"),
    ):
        assert reason in table["reason"][place]
    assert [len(atoms) for atoms in read(run.out, ":")] == [1, 5]


def test_a_worker_that_dies_once_is_replaced(copper, tmp_path):
    run = run_labelling(copper, settings("DiesOnce", marker=str(tmp_path / "died")), tmp_path / "out.extxyz")
    assert run.failed == []


def test_the_same_call_does_only_what_is_missing(copper, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out.extxyz"
    chosen = settings("Slow", log=str(log))
    first = run_labelling(copper, chosen, out)
    content = out.read_bytes()
    (part,) = first.folder.glob("part-*.jsonl")
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(lines[0] + lines[1] + lines[2][:40])  # torn in the third
    second = run_labelling(copper, chosen, out)
    assert log.read_text(encoding="utf-8").count("x") == 6
    assert [row.id for row in second.rows] == ["cu0", "cu1", "cu2", "cu3"]
    assert out.read_bytes() == content
    run_labelling(copper, chosen, out, restart=True)
    assert log.read_text(encoding="utf-8").count("x") == 10


def test_failures_are_done_again_only_when_asked(tmp_path):
    path = tmp_path / "cu.extxyz"
    write(path, crystals(2))
    chosen = settings("Moody")
    assert len(run_labelling(path, chosen, tmp_path / "out.extxyz").failed) == 2
    assert len(run_labelling(path, chosen, tmp_path / "out.extxyz").rows) == 2
    done = []
    run_labelling(
        path, chosen, tmp_path / "out.extxyz", retry_failed=True, on_progress=lambda row, *_: done.append(row)
    )
    assert [row.id for row in done] == ["cu0", "cu1"]


def test_other_settings_or_structures_are_refused(copper, tmp_path):
    out = tmp_path / "out.extxyz"
    run_labelling(copper, settings(), out)
    with pytest.raises(ResumeError, match=r"settings\.calculator was"):
        run_labelling(copper, settings("Noisy"), out)
    write(copper, crystals(3))
    with pytest.raises(ResumeError, match="n_structures was 4, now 3"):
        run_labelling(copper, settings(), out)


def test_kill_9_loses_nothing_and_leaves_no_worker(copper, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out.extxyz"
    chosen = tmp_path / "slow.yaml"
    chosen.write_text(
        f"calculator: calculators:Slow\nparameters: {{log: {log}, seconds: 0.5}}\n"
        f"environment: {{PYTHONPATH: {HERE}}}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "uniscreen", "label", str(copper), "--settings", str(chosen), "-o", str(out)]
    process = subprocess.Popen([*command, "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part = tmp_path / "out-label" / "part-00000.jsonl"
    deadline = time.monotonic() + 120
    while not (part.exists() and part.read_bytes().count(b"\n") >= 1):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(2.5)  # the worker looks for its parent every second
    recorded = part.read_bytes().count(b"\n")
    done = log.read_text(encoding="utf-8").count("x")
    assert done - recorded <= 1 + 2  # what was under way, and what it began before it looked
    assert subprocess.run(["pgrep", "-f", f"log: {log}"], check=False, stdout=subprocess.DEVNULL).returncode == 1
    run = run_labelling(copper, read_label_settings(chosen), out)
    assert run.failed == []
    assert log.read_text(encoding="utf-8").count("x") == done + 4 - recorded


def is_running(pid):
    """Whether there is such a process, and it is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_the_program_of_a_calculator_ends_with_the_run(copper, tmp_path, stop):
    pid, chosen = tmp_path / "pid", tmp_path / "program.yaml"
    chosen.write_text(
        f"calculator: calculators:RunsAProgram\nparameters: {{pid: {pid}}}\nenvironment: {{PYTHONPATH: {HERE}}}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "uniscreen", "label", str(copper), "--settings", str(chosen)]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path / "out.extxyz"), "--quiet"],
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it in the background
    )
    deadline = time.monotonic() + 120
    while not (pid.exists() and pid.read_text(encoding="utf-8").endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    program = int(pid.read_text(encoding="utf-8"))
    assert is_running(program)
    process.send_signal(stop)
    process.wait()
    deadline = time.monotonic() + 20
    while is_running(program):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_program_of_a_worker_that_died_is_ended(copper, tmp_path):
    pid = tmp_path / "pid"
    run = run_labelling(copper, settings("RunsAProgram", pid=str(pid), dies=True), tmp_path / "out.extxyz")
    assert [row.status for row in run.rows] == ["failed"] * 4
    assert not is_running(int(pid.read_text(encoding="utf-8")))


def test_unusable_settings_say_why(tmp_path, copper):
    path = tmp_path / "x.yaml"
    for content, message in (
        (
            "calculator: emt\nparametres: {}\n",
            "parametres: Extra inputs.*Known keys: calculator, param",
        ),
        ("parameters: {}\n", "no calculator is named, with --calculator NAME"),
        ("[1]\n", "holds list; expected keys"),
        ("a: [\n", "is not YAML"),
        ("calculator: emt\nparameters: {x: .nan}\n", "plain finite values"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_label_settings(path)
    path.write_text("calculator: emt\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"--calculator is gpaw, but .* names emt"):
        read_label_settings(path, "gpaw")
    with pytest.raises(InputError, match="cannot be opened"):
        read_label_settings(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="no calculator is named, with --calculator NAME"):
        read_label_settings(None)
    assert read_label_settings(None, "emt").calculator == "emt"


def test_what_cannot_start_is_an_error_before_anything_runs(copper, tmp_path):
    out = tmp_path / "out.extxyz"
    with pytest.raises(InputError, match=r"'nope' cannot be made by .*--python"):
        run_labelling(copper, LabelSettings(calculator="nope"), out)
    with pytest.raises(InputError, match="cannot be started"):
        run_labelling(copper, settings(), out, python=tmp_path / "python")
    with pytest.raises(InputError, match="expected at least 1"):
        run_labelling(copper, settings(), out, workers=0)
    with pytest.raises(InputError, match=r"ends in \.extxyz"):
        run_labelling(copper, settings(), tmp_path / "out.xyz")
    assert not out.exists()


def test_the_interpreter_may_be_a_path_from_here(copper, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    emt = LabelSettings(calculator="emt", environment=environment)  # a link alone does not find a venv's packages
    run = run_labelling(copper, emt, tmp_path / "out.extxyz", python=Path("bin/python"))
    assert run.failed == []


def test_a_folder_of_the_name_of_the_output_is_an_error_before_anything_runs(copper, tmp_path):
    (tmp_path / "out.extxyz").mkdir()
    with pytest.raises(InputError, match=r"out\.extxyz is a folder"):
        run_labelling(copper, settings(), tmp_path / "out.extxyz")
    assert not (tmp_path / "out-label").exists()


@pytest.mark.slow
def test_gpaw_in_an_interpreter_without_uniscreen(tmp_path):
    """Silicon with GPAW, where there is a Python that has it (``GPAW_PYTHON``, or Debian's)."""
    python = Path(os.environ.get("GPAW_PYTHON", "/usr/bin/python3"))
    if not python.exists() or subprocess.run([python, "-c", "import gpaw"], check=False).returncode:
        pytest.skip(f"{python} has no GPAW")
    atoms = bulk("Si")
    atoms.rattle(0.05, seed=1)
    write(tmp_path / "si.extxyz", atoms)
    chosen = LabelSettings(
        calculator="gpaw", parameters={"mode": {"name": "pw", "ecut": 200}, "xc": "PBE", "kpts": {"size": [2, 2, 2]}}
    )
    run = run_labelling(tmp_path / "si.extxyz", chosen, tmp_path / "out.extxyz", python=python)
    (one,) = read_labelled(run.out).structures
    assert np.abs(one.forces.sum(axis=0)).max() < 0.05
    assert one.energy_per_atom == pytest.approx(-5.1, abs=0.4)
    assert one.stress is not None
