"""``uniscreen validate``: the table, JSON, the exit code, and wrong input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from click.testing import CliRunner

from uniscreen.cli.main import main
from uniscreen.cli.validate import _pretrained
from uniscreen.potentials import find_card
from uniscreen.structures.labels import read_labelled


@pytest.fixture(scope="module")
def file(tmp_path_factory, loaded):
    """Rock salt, at rest and displaced, labelled by CHGNet itself, in two kinds."""
    frames = [bulk("NaCl", "rocksalt", a=5.69) * (1, 1, 2) for _ in range(4)]
    for seed, atoms in enumerate(frames[1:]):
        atoms.rattle(0.05, seed=seed)
    for atoms, result in zip(frames, loaded("chgnet-0.3.0").evaluate(frames), strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=result.energy, forces=result.forces)
    for k, atoms in enumerate(frames):
        atoms.info["kind"] = ("even", "odd")[k % 2]
    path = tmp_path_factory.mktemp("data") / "nacl.extxyz"
    write(path, frames)
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, loaded):
    """What a fine-tuning on rock salt that changed nothing would leave."""
    folder = tmp_path_factory.mktemp("runs") / "nacl"
    potential = loaded("chgnet-0.3.0")
    published = potential.card
    try:
        potential.card = replace(published, tuned_elements=frozenset({"Na", "Cl"}))
        potential.save(folder)
    finally:
        potential.card = published
    trained = {"energy_mae_meV_per_atom": 1.0, "force_mae_meV_per_A": 1.0}
    (folder / "summary.json").write_text(json.dumps({"errors": {"train": {"trained": trained}}}), encoding="utf-8")
    return folder


def run(*arguments, **env):
    return CliRunner().invoke(main, ["validate", *map(str, arguments)], env=env)


def test_a_run_that_is_safe(file, run_folder):
    data = ("--data", file, "--group-key", "kind")
    result = run(run_folder, *data, "--forgetting-sample", file, "--md-ps", 0.1, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["model"] == str(run_folder)
    assert found["n_trained_on"] == 0
    rows = {row["name"]: row for row in found["checks"]}
    assert {row["status"] for row in rows.values()} == {"pass"}
    assert rows["energy error over that in training"]["value"] < 0.1
    assert "against chgnet-0.3.0 on 4 structures of 2 elements" in rows["forgetting: energy"]["detail"]
    n = len(find_card("chgnet-0.3.0").elements)
    assert (
        f"tuned on Na Cl; never saw {n - 2} of its {n} elements" in rows["elements outside the fine-tuning"]["detail"]
    )


@pytest.mark.parametrize("columns", ["80", "180"])
def test_the_table_at_any_width(columns):
    result = run("chgnet-0.3.0", "--md-ps", 0.1, COLUMNS=columns)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) <= int(columns)
    for text in ("check", "value", "limit", "meV/atom", "not run", "0.9 to 1.1"):
        assert text in result.stdout
    assert lines[-1] == "4 pass, 15 not run"


def test_structures_that_it_was_trained_on_are_told(file, run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    summary = json.loads((run_folder / "summary.json").read_text(encoding="utf-8"))
    used = [one.geometry_digest for one in read_labelled(file).structures[:3]]
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary | {"trained_on": used}), encoding="utf-8")
    result = run(tmp_path / "run", "--data", file, "--md-ps", 0.1, "--json")
    assert json.loads(result.stdout)["n_trained_on"] == 3
    assert "3 of 4 structures of" in result.stderr
    assert "among those that run was trained on or chosen by: errors there say nothing of new" in result.stderr


def test_wrong_energies_are_exit_code_one(file, tmp_path, loaded):
    from ase.io import read

    frames = read(file, ":")
    for atoms in frames:
        energy, forces = atoms.get_potential_energy() + 0.005 * len(atoms), np.array(atoms.get_forces())
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    path = tmp_path / "shifted.extxyz"
    write(path, frames)
    options = ("chgnet-0.3.0", "--data", path, "--md-ps", 0.1)
    result = run(*options)
    assert result.exit_code == 0
    assert "(fail)" in result.stdout
    assert "; not counted: energy error, strict" in result.stdout
    result = run(*options, "--strict")
    assert result.exit_code == 1
    assert "(fail)" not in result.stdout
    assert "not counted" not in result.stdout
    assert "docs/validation.md says" in result.stdout
    assert run(*options, "--energy", "per-atom").exit_code == 1


def test_wrong_input_is_exit_code_two(file, tmp_path):
    assert run("chgnet-9").exit_code == 2
    assert "does not exist" in run("chgnet-0.3.0", "--data", tmp_path / "none.extxyz").output
    assert run("chgnet-0.3.0", "--data", tmp_path / "none.extxyz").exit_code == 2
    assert run("chgnet-0.3.0", "--against", "chgnet-9").exit_code == 2
    assert run("chgnet-0.3.0", "--md-ps", -1).exit_code == 2


def test_a_head_is_not_asked_of_another_kind_of_model():
    """As that of a MACE that is compared with CHGNet."""
    with_heads = SimpleNamespace(card=SimpleNamespace(architecture="MACE", head="pbe"))
    assert _pretrained(with_heads, "chgnet-0.3.0", "cpu").card.head == ""
