"""Screening with several models: each as it would be alone, resumed, refused, joined."""

import json
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

import uniscreen
from uniscreen.errors import InputError, ReferenceMismatchError, ResumeError
from uniscreen.screening import run_models

DEMO = Path(__file__).parents[2] / "data" / "demo" / "candidates.csv"
SHARED = Path(__file__).parents[2].parent / "shared"
CHOSEN = "NaCl-rocksalt NaCl-CsCl MgO-rocksalt CoO-rocksalt Li-bcc bad-missing-file Mg-hcp".split()  # noqa: SIM905
LEAD, OTHER = "chgnet-0.3.0", "chgnet-0.2.0"
UNRELAXED = {"relax": False, "deterministic": True, "workers": 1}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A few demo candidates, the structures beside their table."""
    folder = tmp_path_factory.mktemp("input")
    rows = pd.read_csv(DEMO).set_index("id").loc[CHOSEN].reset_index()
    (folder / "structures").mkdir()
    for path in rows["structure"]:
        if (DEMO.parent / path).exists():
            (folder / path).write_bytes((DEMO.parent / path).read_bytes())
    rows.to_csv(folder / "few.csv", index=False)
    return folder / "few.csv"


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    """An undisturbed run of two models, and what was told of its progress."""
    told = []
    out = tmp_path_factory.mktemp("committee") / "run"
    done = run_models(table, [LEAD, OTHER], out=out, on_progress=told.append, **UNRELAXED)
    return done, told


def test_each_model_is_as_it_would_be_alone(run, table, tmp_path):
    joined = run[0].table.set_index("id")
    for model in (LEAD, OTHER):
        alone = uniscreen.screen(table, model=model, out=tmp_path / model, **UNRELAXED)
        inside = run[0].folder / "models" / model
        assert (inside / "results.csv").read_bytes() == (tmp_path / model / "results.csv").read_bytes()
        assert (inside / "relaxed.extxyz").read_bytes() == (tmp_path / model / "relaxed.extxyz").read_bytes()
        assert (inside / "manifest.json").read_bytes() == (tmp_path / model / "manifest.json").read_bytes()
        alone = alone.set_index("id").loc[joined.index]
        for name in ("status", "e_above_hull_eV_per_atom", "formation_energy_eV_per_atom"):
            pd.testing.assert_series_equal(joined[f"{name}:{model}"], alone[name], check_names=False)


def test_the_first_model_leads(run):
    from ase.io import read

    joined = run[0].table
    assert set(joined["model"]) == {LEAD}
    lead = pd.read_parquet(run[0].folder / "models" / LEAD / "results.parquet").set_index("id")
    plain = [name for name in lead.columns if name not in {"rank", "flags"}]
    pd.testing.assert_frame_equal(joined.set_index("id")[plain], lead.loc[joined["id"], plain])
    frames = read(run[0].folder / "relaxed.extxyz", ":")
    assert [frame.info["id"] for frame in frames] == joined.loc[joined["status"] == "ok", "id"].tolist()


def test_files_and_the_record_of_all_models(run):
    folder = run[0].folder
    files = {"results.csv", "results.parquet", "relaxed.extxyz", "run.json", "manifest.json", "records", "models"}
    assert {path.name for path in folder.iterdir()} == files
    record = json.loads((folder / "run.json").read_text())
    assert record["model"]["name"] == LEAD
    assert list(record["models"]) == [LEAD, OTHER]
    assert [card["sha256"][:8] for card in record["models"].values()] == ["d14ab7c0", "ef624f78"]
    assert record["settings"]["model"] == [LEAD, OTHER]
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "results.parquet"), run[0].table)


def test_progress_counts_all_models_and_names_the_one_at_work(run):
    _, told = run
    assert {progress.total for progress in told} == {2 * len(CHOSEN)}
    assert told[-1].n_done == 2 * len(CHOSEN)
    assert told[-1].done == {"ok": 2 * (len(CHOSEN) - 1), "invalid_structure": 2}
    counts = [progress.n_done for progress in told]
    assert counts == sorted(counts)
    names = list(dict.fromkeys(progress.model for progress in told))
    assert names == [f"{LEAD} (1 of 2)", f"{OTHER} (2 of 2)"]


def command(table, out, *options):
    models = ("--model", LEAD, "--model", OTHER)
    base = [sys.executable, "-m", "uniscreen", "screen", str(table), "--out", str(out), "--quiet", "--workers", "1"]
    return [*base, "--no-relax", "--deterministic", *models, *options]


def lines(folder):
    return sum(part.read_bytes().count(b"\n") for part in (folder / "records").glob("part-*.jsonl"))


def test_killed_in_the_second_model_and_resumed_to_the_same_bytes(run, table, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(command(table, out), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "models" / OTHER / "records").is_dir():
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lines(out / "models" / LEAD) == 1  # its only unit of work
    assert lines(out / "models" / OTHER) == 0
    assert not (out / "results.csv").exists()
    subprocess.run(command(table, out), check=True, capture_output=True, timeout=300)
    assert lines(out / "models" / LEAD) == 1  # not done again
    assert (out / "results.csv").read_bytes() == (run[0].folder / "results.csv").read_bytes()
    assert (out / "relaxed.extxyz").read_bytes() == (run[0].folder / "relaxed.extxyz").read_bytes()


def test_another_set_of_models_is_refused_unless_restarted(run, table, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run[0].folder, out)
    for models in ([LEAD], [OTHER, LEAD]):
        with pytest.raises(ResumeError, match=r"settings\.model was"):
            run_models(table, models, out=out, **UNRELAXED)
    (out / "models" / OTHER / "mine.txt").write_text("not ours to remove")
    alone = run_models(table, [LEAD], out=out, restart=True, **UNRELAXED)
    assert "n_models" not in alone.table
    assert sorted(path.relative_to(out / "models").as_posix() for path in (out / "models").rglob("*")) == [
        OTHER,
        f"{OTHER}/mine.txt",
    ]
    assert lines(out) == 1


def test_a_member_at_work_elsewhere_is_not_removed(run, table, tmp_path):
    import fcntl

    out = tmp_path / "run"
    shutil.copytree(run[0].folder, out)
    with (out / "models" / OTHER / "records" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(ResumeError, match=f"Another process is writing to .*{OTHER}"):
            run_models(table, [LEAD], out=out, restart=True, **UNRELAXED)
    assert (out / "models" / OTHER / "results.csv").exists()


def test_models_that_cannot_be_averaged_are_refused_before_anything_runs(table, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ReferenceMismatchError, match=rf"{LEAD} gives PBE energies and chgnet-r2scan r2SCAN ones"):
        run_models(table, [LEAD, "chgnet-r2scan"], out=out)
    with pytest.raises(InputError, match=rf"2 models are called {LEAD}, and columns go by that name"):
        run_models(table, ["chgnet", LEAD], out=out)
    with pytest.raises(InputError, match="--head PBE names an output of one model"):
        run_models(table, [LEAD, OTHER], out=out, head="PBE")
    with pytest.raises(InputError, match="No model is named"):
        run_models(table, [], out=out)
    entry = '{"composition": {"Na": 1}, "energy": -1.3, "parameters": {"run_type": "R2SCAN"}, "entry_id": "x"}'
    (tmp_path / "refs.json").write_text(f"[{entry}]")
    with pytest.raises(ReferenceMismatchError, match=LEAD):
        run_models(table, [LEAD, OTHER], out=out, references=tmp_path / "refs.json")
    assert not out.exists()


@pytest.mark.skipif(find_spec("matgl") is not None, reason="matgl is installed")
def test_a_later_model_that_cannot_be_loaded_stops_the_first_from_running(table, tmp_path):
    with pytest.raises(InputError, match=r"m3gnet-mp-2021\.2\.8"):  # its package or its weights are missing
        run_models(table, [LEAD, "m3gnet-mp-2021.2.8"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(find_spec("matgl") is None, reason="matgl is not installed")
@pytest.mark.skipif(not (SHARED / "weights" / "m3gnet-mp-2021.2.8").is_dir(), reason="the weights are not there")
def test_raw_and_corrected_models_meet_at_the_corrected_formation_energy(table, tmp_path):
    """CHGNet's energies carry the corrections, M3GNet's get them: only then are the two of an oxide near each other."""
    m3gnet = "m3gnet-mp-2021.2.8"
    joined = run_models(table, [LEAD, m3gnet], out=tmp_path / "run", **UNRELAXED).table.set_index("id")
    own = pd.read_parquet(tmp_path / "run" / "models" / m3gnet / "results.parquet").set_index("id")
    # MP2020 (Wang et al. 2021): -0.687 eV per O, -1.638 per Co in an oxide, -0.614 per Cl; half of the atoms each.
    correction = own["correction_eV_per_atom"]
    assert correction["MgO-rocksalt"] == pytest.approx(-0.687 / 2, abs=1e-6)
    assert correction["CoO-rocksalt"] == pytest.approx((-0.687 - 1.638) / 2, abs=1e-6)
    assert correction["NaCl-rocksalt"] == pytest.approx(-0.614 / 2, abs=1e-6)
    assert correction["Li-bcc"] == correction["Mg-hcp"] == 0
    for name in ("NaCl-rocksalt", "NaCl-CsCl", "MgO-rocksalt", "CoO-rocksalt", "Li-bcc", "Mg-hcp"):
        assert joined.loc[name, "formation_energy_std_eV_per_atom"] < 0.08, name
    raw = own["formation_energy_eV_per_atom"] - correction
    apart = (raw - joined[f"formation_energy_eV_per_atom:{LEAD}"]).abs()
    assert apart[["MgO-rocksalt", "CoO-rocksalt", "NaCl-rocksalt"]].min() > 0.25
