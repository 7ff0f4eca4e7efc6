"""A run that is killed, crashed or stopped loses nothing and ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DEMO = Path(__file__).parents[2] / "data" / "demo" / "candidates.csv"
CHOSEN = """
    NaCl-rocksalt KCl-rocksalt MgO-rocksalt MgO-CsCl CoO-rocksalt CoO-wurtzite Li-fcc Li-bcc bad-missing-file
    TiO2-rutile Ti-hcp NiAl-B2 NiTi-B2 Al-fcc Ni-fcc bad-isolated-atom GaAs-zincblende GaAs-rocksalt Mg-hcp CaO-rocksalt
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twenty demo candidates, the paths made relative to a folder that holds the demo's structures."""
    folder = tmp_path_factory.mktemp("input")
    rows = pd.read_csv(DEMO).set_index("id").loc[CHOSEN].reset_index()
    (folder / "structures").mkdir()
    for path in rows["structure"]:
        if (DEMO.parent / path).exists():
            (folder / path).write_bytes((DEMO.parent / path).read_bytes())
    rows.to_csv(folder / "twenty.csv", index=False)
    return folder / "twenty.csv"


def command(table, out, *options):
    return [sys.executable, "-m", "uniscreen", "screen", str(table), "--out", str(out), "--quiet", *options]


def run(table, out, *options, environment=None):
    done = subprocess.run(command(table, out, *options), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def undisturbed(table, tmp_path_factory):
    return run(table, tmp_path_factory.mktemp("undisturbed") / "run", "--deterministic")


def lines(out):
    return sum(part.read_bytes().count(b"\n") for part in (out / "records").glob("part-*.jsonl"))


def heed_interrupts():
    """In a job in the background, shells have interrupts ignored, which processes inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_and_wait_for_lines(table, out, n, *options):
    process = subprocess.Popen(command(table, out, *options), stderr=subprocess.DEVNULL, preexec_fn=heed_interrupts)
    deadline = time.monotonic() + 120
    while not out.exists() or lines(out) < n:
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def children(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_killed_and_resumed_in_flight(table, undisturbed, tmp_path):
    out = tmp_path / "run"
    for n in (1, 9, 15):
        process = start_and_wait_for_lines(table, out, n)
        process.kill()
        process.wait()
    before = lines(out)
    run(table, out)
    assert before >= 15
    expected = pd.read_parquet(undisturbed / "results.parquet")
    found = pd.read_parquet(out / "results.parquet")
    assert found["id"].tolist() == expected["id"].tolist()
    assert found["status"].tolist() == expected["status"].tolist()
    np.testing.assert_allclose(found["energy_eV_per_atom"], expected["energy_eV_per_atom"], atol=1e-5)
    assert lines(out) == len(CHOSEN)  # none was evaluated twice


@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_killed_and_resumed_deterministic(table, undisturbed, tmp_path, victim):
    out = tmp_path / "run"
    process = start_and_wait_for_lines(table, out, 1, "--deterministic", "--workers", "1")
    if victim == "parent":
        process.kill()
        process.wait()
        run(table, out, "--deterministic")
    else:
        for child in children(process):
            os.kill(child, signal.SIGKILL)
        assert process.wait(timeout=300) == 0  # a new worker has taken over
    assert (out / "results.csv").read_bytes() == (undisturbed / "results.csv").read_bytes()


FAULT = """
import os, signal, sys
if "uniscreen.screening.worker" in sys.orig_argv:
{body}
"""

POWER_LOSS = """
    calls, sync = [0], os.fsync
    def fsync(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        calls[0] += name.endswith(".jsonl")
        if calls[0] == 2:  # between write and sync: half of the line never reaches the disk
            os.truncate(name, os.path.getsize(name) - 700)
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)
    os.fsync = fsync
"""

FULL_DISK = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
"""

KILLER = """
    from uniscreen.screening.evaluator import CandidateEvaluator
    add = CandidateEvaluator.add
    def deadly(self, index, candidate):
        if candidate.id == "CoO-wurtzite":
            os.kill(os.getpid(), signal.SIGSEGV)
        return add(self, index, candidate)
    CandidateEvaluator.add = deadly
"""


def environment_with(tmp_path, body):
    (tmp_path / "fault").mkdir()
    (tmp_path / "fault" / "sitecustomize.py").write_text(FAULT.format(body=body))
    folders = [str(tmp_path / "fault"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


def test_power_lost_between_write_and_sync(table, undisturbed, tmp_path):
    out = tmp_path / "run"
    broken = environment_with(tmp_path, POWER_LOSS)
    died = subprocess.run(command(table, out, "--deterministic"), env=broken, capture_output=True, timeout=300)
    assert died.returncode == -signal.SIGKILL
    assert not (out / "results.csv").exists()
    run(table, out, "--deterministic")
    assert (out / "results.csv").read_bytes() == (undisturbed / "results.csv").read_bytes()


def test_a_full_disk_ends_the_run_and_is_no_fault_of_a_candidate(table, tmp_path):
    """Neither the record nor what is wrong with it can be written: the worker's log is on the same disk."""
    out = tmp_path / "run"
    full = environment_with(tmp_path, FULL_DISK)
    done = subprocess.run(command(table, out, "--workers", "1"), env=full, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "Records cannot be written" in done.stderr
    assert not list((out / "records").glob("crashes-*"))


@pytest.mark.parametrize("options", [(), ("--deterministic",)])
def test_a_candidate_that_kills_its_worker_is_set_aside(table, undisturbed, tmp_path, options):
    out = run(table, tmp_path / "run", *options, environment=environment_with(tmp_path, KILLER))
    expected = pd.read_parquet(undisturbed / "results.parquet").set_index("id")
    found = pd.read_parquet(out / "results.parquet").set_index("id")
    assert found.loc["CoO-wurtzite", "status"] == "worker_crash"
    assert "died 3 times" in found.loc["CoO-wurtzite", "reason"]
    assert np.isnan(found.loc["CoO-wurtzite", "energy_eV_per_atom"])
    others = [name for name in CHOSEN if name != "CoO-wurtzite"]
    assert found.loc[others, "status"].tolist() == expected.loc[others, "status"].tolist()
    np.testing.assert_allclose(
        found.loc[others, "energy_eV_per_atom"], expected.loc[others, "energy_eV_per_atom"], atol=1e-5
    )


def test_workers_do_not_change_a_deterministic_run(table, undisturbed, tmp_path):
    out = run(table, tmp_path / "run", "--deterministic", "--workers", "1")
    assert (out / "results.csv").read_bytes() == (undisturbed / "results.csv").read_bytes()


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand(table, tmp_path, interrupt):
    out = tmp_path / "run"
    process = start_and_wait_for_lines(table, out, 3)
    workers = children(process)
    process.send_signal(interrupt)
    assert process.wait(timeout=30) == 130
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert 3 <= lines(out) < len(CHOSEN)


def test_a_finished_run_evaluates_nothing_again_and_other_settings_are_refused(table, undisturbed):
    before = sorted(path.name for path in (undisturbed / "records").iterdir())
    content = (undisturbed / "results.csv").read_bytes()
    run(table, undisturbed, "--deterministic")
    assert sorted(path.name for path in (undisturbed / "records").iterdir()) == before
    assert (undisturbed / "results.csv").read_bytes() == content
    other = subprocess.run(command(table, undisturbed, "--fmax", "0.1"), capture_output=True, text=True)
    assert other.returncode == 2
    assert "settings.fmax was 0.05, now 0.1" in other.stderr
    assert "settings.deterministic was true, now false" in other.stderr
