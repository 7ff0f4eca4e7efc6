"""References evaluated with the model: once, kept, continued, and honest about those that fail."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.io.ase import AseAtomsAdaptor

from uniscreen.errors import InputError, ResumeError
from uniscreen.machine import user_cache
from uniscreen.screening import ScreenSettings, run_screen
from uniscreen.screening.store import RunStore

CRYSTALS = {
    "Na-bcc": bulk("Na", "bcc", a=4.2),
    "Cl-fcc": bulk("Cl", "fcc", a=5.0),
    "NaCl-rocksalt": bulk("NaCl", "rocksalt", a=5.69),
    "NaCl-cscl": bulk("NaCl", "cesiumchloride", a=3.5),
    "K-bcc": bulk("K", "bcc", a=5.3),
    "K-lonely": bulk("K", "bcc", a=30.0),
}
ENERGIES = {"K-lonely": -1.6, "NaCl-rocksalt": -3.0, "NaCl-cscl": -3.0}
"""eV/atom where not -1.5: so the one that cannot be evaluated is on the fixed hull."""

SETTINGS = {"model": "chgnet-0.3.0", "device": "cpu", "max_atoms": 50}


def entry(name):
    """A ComputedStructureEntry with made-up energies; the structures are what matters."""
    structure = AseAtomsAdaptor.get_structure(CRYSTALS[name])
    chlorine = structure.composition["Cl"] if len(structure.composition) > 1 else 0
    named = {"name": "MP2020 anion correction (Cl)", "n_atoms": chlorine, "uncertainty_per_atom": 0.0018}
    return {
        "entry_id": name,
        "composition": structure.composition.get_el_amt_dict(),
        "energy": ENERGIES.get(name, -1.5) * len(structure),
        "correction": -0.614 * chlorine,
        "energy_adjustments": [named] if chlorine else [],
        "parameters": {"run_type": "GGA"},
        "structure": structure.as_dict(),
    }


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    path = tmp_path_factory.mktemp("references") / "entries.json.gz"
    path.write_bytes(gzip.compress(json.dumps([entry(name) for name in CRYSTALS]).encode()))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "uniscreen" / "references"


def screen(names, references, out, **changes):
    seen = []
    run = run_screen(
        [CRYSTALS[name] for name in names],
        ScreenSettings(**(SETTINGS | changes)),
        out=out,
        references=references,
        self_consistent=True,
        workers=1,
        on_progress=seen.append,
    )
    return run, [progress for progress in seen if progress.what == "references"]


@pytest.fixture(scope="module")
def first(references, cache, tmp_path_factory):
    return screen(["NaCl-rocksalt", "NaCl-cscl"], references, tmp_path_factory.mktemp("first") / "run")


def test_the_model_agrees_with_itself(first):
    """A candidate that is one of the references relaxes to the same energy, so it lies on the model's own hull."""
    run, _ = first
    table = run.table.set_index("formula", append=True).reset_index(level="formula")
    np.testing.assert_allclose(run.table["e_above_hull_self_consistent_eV_per_atom"].min(), 0.0, atol=1e-5)
    assert (run.table["e_above_hull_self_consistent_eV_per_atom"] > -1e-5).all()
    assert (table["decomposition_self_consistent"] == "1.000 NaCl").all()
    assert (table["e_above_hull_eV_per_atom"].abs() > 0.1).all()  # the made-up energies are not the model's


def test_only_the_systems_of_the_candidates_are_evaluated(first):
    run, progress = first
    assert len(run.model_references.references) == 4
    assert progress[-1].total == progress[-1].n_done == 4
    assert {e.entry_id for e in run.model_references.references.entries} == {
        "Na-bcc",
        "Cl-fcc",
        "NaCl-rocksalt",
        "NaCl-cscl",
    }


def test_a_second_screen_takes_them_from_the_cache(first, references, cache, tmp_path):
    before = {path: path.read_bytes() for path in cache.rglob("*.jsonl")}
    run, progress = screen(["NaCl-cscl"], references, tmp_path / "run", max_atoms=2)  # --max-atoms is not theirs
    assert [(p.total, p.resumed, p.n_done) for p in progress] == [(4, 4, 4)]
    assert {path: path.read_bytes() for path in cache.rglob("*.jsonl")} == before
    assert run.model_references.key == first[0].model_references.key
    other, progress = screen(["NaCl-cscl"], references, tmp_path / "other", relax=False)
    assert progress[0].resumed == 0
    assert other.model_references.key != run.model_references.key


def test_new_systems_are_added_and_failures_reported(first, references, cache, tmp_path):
    run, progress = screen(["NaCl-cscl", "K-bcc"], references, tmp_path / "run")
    assert [(p.total, p.resumed) for p in progress][-1] == (6, 4)
    assert run.model_references.missing.keys() == {"K-lonely"}
    assert "isolated_atoms" in run.model_references.missing["K-lonely"]
    record = json.loads((tmp_path / "run" / "run.json").read_text())["references"]["self_consistent"]
    assert (record["n_evaluated"], record["n_without_energy"]) == (5, 1)
    assert list(record["without_energy"]) == ["K-lonely"]
    flags = run.table.set_index("formula")["flags"]
    assert "reference_without_energy:K-lonely" in flags["K"]
    assert "reference_without_energy" not in flags["NaCl"]


def test_an_interrupted_evaluation_goes_on(first, references, cache, tmp_path):
    """Half of the records are lost, as if the machine had stopped; only these are made again."""
    key = first[0].model_references.key
    parts = sorted((cache / key / "records").glob("part-*.jsonl"))
    lines = [(part, line) for part in parts for line in part.read_bytes().splitlines(keepends=True)]
    for part in parts:
        part.write_bytes(b"")
    parts[0].write_bytes(b"".join(line for _, line in lines[:2]) + lines[2][1][:40])  # the third is torn
    run, progress = screen(["NaCl-rocksalt"], references, tmp_path / "run")
    assert [(p.total, p.resumed, p.n_done) for p in (progress[0], progress[-1])] == [(4, 2, 2), (4, 2, 4)]
    theirs = {e.entry_id: e.energy for e in first[0].model_references.references.entries}
    ours = {e.entry_id: e.energy for e in run.model_references.references.entries}
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_two_at_once_are_refused(first, references, cache, tmp_path):
    folder = cache / first[0].model_references.key
    manifest = json.loads((folder / "manifest.json").read_text())
    held = RunStore.open(folder, manifest, restart=False)
    try:
        with pytest.raises(ResumeError, match=r"Another process is writing.*references of entries.json.gz"):
            screen(["NaCl-rocksalt"], references, tmp_path / "run")
    finally:
        held.close()


def test_what_cannot_be_evaluated_is_refused_at_once(cache, tmp_path):
    with pytest.raises(InputError, match="needs the structures"):
        screen(["NaCl-rocksalt"], "elements", tmp_path / "run")
    bare = [{key: value for key, value in entry(name).items() if key != "structure"} for name in CRYSTALS]
    Path(tmp_path / "bare.json").write_text(json.dumps(bare))
    with pytest.raises(InputError, match="no entry holds a structure"):
        screen(["NaCl-rocksalt"], tmp_path / "bare.json", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_entry_with_the_structure_of_another_is_not_taken_for_it(cache, tmp_path):
    entries = [entry(name) for name in ("Na-bcc", "Cl-fcc", "NaCl-rocksalt")]
    entries.append(entry("NaCl-cscl") | {"composition": {"Na": 3.0, "Cl": 1.0}})
    (tmp_path / "entries.json").write_text(json.dumps(entries))
    run, _ = screen(["NaCl-rocksalt"], tmp_path / "entries.json", tmp_path / "run")
    assert run.model_references.missing == {"NaCl-cscl": "the entry is Na3Cl, its structure NaCl"}


def test_an_empty_name_of_the_cache_is_none(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert user_cache() == Path.home() / ".cache" / "uniscreen"
