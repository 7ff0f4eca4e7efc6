"""``uniscreen data``: the tables, JSON, and the exit code of inspect; what select chooses, and never replaces."""

from __future__ import annotations

import json

import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from click.testing import CliRunner

from uniscreen.cli.main import main


@pytest.fixture
def file(tmp_path, loaded, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    potential = loaded("chgnet-0.3.0")
    frames = []
    for k in range(6):
        atoms = bulk("NaCl", "rocksalt", a=5.4 + 0.1 * k, cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.info["group"] = f"run{k // 3}"
        frames.append(atoms)
    for atoms, result in zip(frames, potential.evaluate(frames), strict=True):
        six = result.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, energy=result.energy, forces=result.forces, stress=six)
    path = tmp_path / "x.extxyz"
    write(path, frames)
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["data", "inspect", *map(str, arguments)])


def test_the_tables(file):
    result = run(file)
    assert result.exit_code == 0
    assert "x.extxyz: 6 frames, 6 periodic, 6 with stress" in result.output
    assert "Cl 6, Na 6" in result.output
    for name in ("run0", "run1", "pressure, GPa", "volume, Å³/atom"):
        assert name in result.output
    assert "Duplicates" not in result.output


def test_without_groups_there_is_no_table_of_them(file):
    frames = read(file, ":")
    for atoms in frames:
        del atoms.info["group"]
    write(file, frames)
    output = run(file).output
    assert "6 frames have no group" in output
    assert "data.split.by" in output
    assert "largest\n" not in output
    assert "force, eV/Å" not in output.partition("volume, Å³/atom")[2]


def test_with_a_model(file):
    result = run(file, "--model", "chgnet-0.3.0")
    assert result.exit_code == 0, result.output
    assert "0.0 meV/atom after re-referencing" in result.output
    assert "slope 1.00" in result.output
    assert "disagrees" not in result.output


def test_a_disagreement_is_shown_with_its_fix_and_the_exit_code(file):
    result = run(file, "--model", "chgnet-0.3.0", "--stress-unit", "GPa")
    assert result.exit_code == 1
    assert "stress unit and sign: disagrees" in result.output
    assert "Set data.stress_unit=eV/A^3" in result.output


def test_energies_of_two_settings_and_structures_at_rest_are_told(file):
    frames = read(file, ":")
    for k, atoms in enumerate(frames):
        calculated = atoms.calc.results
        energy, forces = calculated["energy"] + 0.3 * len(atoms) * (k > 2), calculated["forces"] / 1000
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    write(file, frames)
    output = run(file, "--model", "chgnet-0.3.0").output
    assert "No force is above 0.1 eV/Å" in output
    assert "3 of 6 frames (frame 1 (line 1), for one) are below the others" in output


def test_the_order_of_stresses_that_is_named_is_an_option(file):
    frames = read(file, ":")
    for atoms in frames:
        stress = atoms.get_stress()
        atoms.info["REF_stress"] = stress[[0, 1, 2, 5, 3, 4]]
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    write(file, frames)
    order = "xx yy zz xy yz zx"
    result = run(file, "--model", "chgnet-0.3.0")
    assert result.exit_code == 1
    assert f"Set data.stress_order='{order}'" in result.output
    result = run(file, "--model", "chgnet-0.3.0", "--stress-order", order)
    assert result.exit_code == 0
    assert "stress order: agrees" in result.output


def test_json(file):
    result = run(file, "--json", "--model", "chgnet-0.3.0")
    found = json.loads(result.output)
    assert found["frames"] == 6
    assert found["groups"][0]["group"] == "run0"
    assert found["model"]["findings"][0]["verdict"] == "agrees"


def test_a_wrong_file_is_one_line(tmp_path):
    result = run(tmp_path / "none.extxyz")
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1


def test_names_with_brackets_are_shown_as_they_are(file):
    frames = read(file, ":")
    for k, atoms in enumerate(frames):
        atoms.info["group"] = ("md[npt]", "md[/npt]")[k % 2]
    path = file.with_name("[a] b.extxyz")
    write(path, frames)
    result = run(path)
    assert result.exit_code == 0, result.output
    for name in ("[a] b.extxyz: 6 frames", "md[npt]", "md[/npt]"):
        assert name in result.output


def test_labels_without_forces_give_json_without_nan(file):
    frames = read(file, ":")
    for atoms in frames:
        atoms.calc.results["forces"] = 0 * atoms.get_forces()
    write(file, frames)
    result = run(file, "--json", "--model", "chgnet-0.3.0")
    assert "NaN" not in result.output
    assert json.loads(result.output)["model"]["force_slope"] is None
    shown = run(file, "--model", "chgnet-0.3.0")
    assert "slope" not in shown.output
    assert "not computed" in shown.output


def select(*arguments):
    return CliRunner().invoke(main, ["data", "select", *map(str, arguments)])


def test_chosen_structures_are_written_and_what_is_left_out_is_said(file, tmp_path):
    frames = [*read(file, ":"), bulk("Am", "fcc", a=4.9)]
    write(tmp_path / "all.extxyz", frames)
    result = select(tmp_path / "all.extxyz", "-n", 2, "-o", tmp_path / "chosen.extxyz")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"2 of 7 structures chosen: {tmp_path / 'chosen.extxyz'}\n"
    assert "all-6 left out: " in result.stderr
    assert "Am" in result.stderr
    chosen = read(tmp_path / "chosen.extxyz", ":")
    assert {one.info["group"] for one in chosen} <= {"run0", "run1"}
    known = select(file, "-n", 4, "-o", tmp_path / "others.extxyz", "--known", tmp_path / "chosen.extxyz", "--quiet")
    assert known.exit_code == 0, known.output
    assert known.output == ""
    volumes = {round(one.get_volume(), 3) for one in chosen}
    assert volumes.isdisjoint(round(one.get_volume(), 3) for one in read(tmp_path / "others.extxyz", ":"))


@pytest.mark.parametrize("out", ["x.extxyz", "known.extxyz", "chosen.xyz"])
def test_what_there_is_to_choose_from_is_not_replaced(file, tmp_path, out):
    (tmp_path / "known.extxyz").write_bytes(file.read_bytes())
    result = select(file, "-n", 2, "-o", tmp_path / out, "--known", tmp_path / "known.extxyz")
    assert result.exit_code != 0
    assert ("would be replaced" if out != "chosen.xyz" else "ends in .extxyz") in result.stderr
    assert file.read_bytes() == (tmp_path / "known.extxyz").read_bytes()
    assert not (tmp_path / "chosen.xyz").exists()
