"""Units and signs: right data pass, and each way of being wrong is named with the option that fixes it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from uniscreen.errors import InputError
from uniscreen.structures.labels import labelled_extxyz, read_labelled
from uniscreen.structures.labels.labelled import ASE_CONVENTIONS, LabelConventions
from uniscreen.training.data_checks import _by_deviation, check_conventions, check_data, require_agreement
from uniscreen.training.predictions import predict

KBAR = 1602.1766208
GPA = 160.21766208
ORDER = [1, 2, 0]

SHIPPED = sorted((Path(__file__).parents[2] / "data").glob("*/card.toml"))


def exchanged(stress):
    """As if yz, xz, xy had been written as xy, yz, zx."""
    other = np.diag(np.diag(stress))
    other[1, 2] = other[2, 1] = stress[0, 1]
    other[0, 2] = other[2, 0] = stress[1, 2]
    other[0, 1] = other[1, 0] = stress[0, 2]
    return other


CORRUPTIONS = {
    "kbar of VASP": (
        lambda one: {"stress": -KBAR * one.stress},
        "data.stress_unit=kbar data.stress_sign=compression-positive",
    ),
    "kbar": (lambda one: {"stress": KBAR * one.stress}, "data.stress_unit=kbar"),
    "GPa": (lambda one: {"stress": GPA * one.stress}, "data.stress_unit=GPa"),
    "sign": (lambda one: {"stress": -one.stress}, "data.stress_sign=compression-positive"),
    "order": (lambda one: {"stress": exchanged(one.stress)}, "data.stress_order='xx yy zz xy yz zx'"),
    "per atom": (lambda one: {"energy": one.energy / len(one.atoms)}, "data.energy=per-atom"),
    "gradients": (lambda one: {"forces": -one.forces}, "gradients"),
    "zero forces": (lambda one: {"forces": 0 * one.forces}, "not computed"),
    "virials": (lambda one: {"stress": -one.atoms.get_volume() * one.stress}, "Or they are virials in eV"),
    "zero stress": (lambda one: {"stress": 0 * one.stress}, "not computed"),
    "energies in Hartree": (lambda one: {"energy": one.energy / 27.2114}, "Hartree"),
    "energies in Rydberg": (lambda one: {"energy": one.energy / 13.6057}, "Rydberg"),
    "energies in kJ/mol": (lambda one: {"energy": one.energy * 96.4853}, "kJ/mol"),
    "energies in kcal/mol": (lambda one: {"energy": one.energy * 23.0605}, "kcal/mol"),
    "Hartree": (lambda one: {"forces": one.forces / 51.42}, "another unit"),
}


def disagreements(structures, potential, conventions=ASE_CONVENTIONS):
    findings = check_conventions(structures, predict(potential, structures), conventions)
    return [finding for finding in findings if finding.verdict == "disagrees"]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_is_named_with_its_fix(name, loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    change, fix = CORRUPTIONS[name]
    structures = labelled(potential)
    assert disagreements(structures, potential) == []
    (finding,) = disagreements([replace(one, **change(one)) for one in structures], potential)
    assert fix in finding.fix


@pytest.mark.parametrize("name", ["mlearn/Si-test", "mlearn/Mo-test", "mlearn/Li-test", "finetune/li-mn-o-test"])
def test_real_data_pass_and_their_corruptions_do_not(name, loaded, real_data):
    data = read_labelled(real_data(f"{name}.extxyz"))
    potential = loaded("chgnet-0.3.0")
    structures = data.structures[:: max(1, len(data.structures) // 20)]
    predictions = predict(potential, structures)

    def fixes(changed):
        findings = check_conventions(changed, predictions, data.conventions)
        return [finding.fix for finding in findings if finding.verdict == "disagrees"]

    assert fixes(structures) == []
    energies = [name for name in CORRUPTIONS if name.startswith("energies")]
    for corruption in ("kbar of VASP", "GPa", "sign", "order", "per atom", *energies):
        change, fix = CORRUPTIONS[corruption]
        assert any(fix in found for found in fixes([replace(one, **change(one)) for one in structures])), corruption


@pytest.mark.parametrize("card", SHIPPED, ids=[card.parent.name for card in SHIPPED])
def test_the_shipped_sets_pass_and_their_corruptions_do_not(card, loaded):
    data = read_labelled(card.parent / tomllib.loads(card.read_text(encoding="utf-8"))["file"])
    potential = loaded("chgnet-0.3.0")
    structures = data.structures[::8]
    assert disagreements(structures, potential, data.conventions) == []
    for corruption in ("kbar of VASP", "GPa", "sign", "order", "per atom"):
        change, fix = CORRUPTIONS[corruption]
        found = disagreements([replace(one, **change(one)) for one in structures], potential, data.conventions)
        assert any(fix in finding.fix for finding in found), corruption


def test_the_option_that_is_named_makes_the_file_right(tmp_path, loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    lines = []
    for one in labelled(potential):
        cell = " ".join(map(str, one.atoms.cell.array.ravel()))
        stress = " ".join(map(str, (-KBAR * one.stress).ravel()))
        head = f'Lattice="{cell}" Properties=species:S:1:pos:R:3:forces:R:3 energy={one.energy_per_atom}'
        rows = [
            " ".join([symbol, *map(str, [*position, *force])])
            for symbol, position, force in zip(one.atoms.symbols, one.atoms.positions, one.forces, strict=True)
        ]
        lines += [str(len(rows)), f'{head} stress="{stress}"', *rows]
    path = tmp_path / "wrong.extxyz"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = read_labelled(path)
    fixes = {finding.check: finding.fix for finding in disagreements(data.structures, potential, data.conventions)}
    assert "data.energy=per-atom" in fixes["energy of the structure or of an atom"]
    assert "data.stress_unit=kbar data.stress_sign=compression-positive" in fixes["stress unit and sign"]
    right = LabelConventions(energy="per-atom", stress_unit="kbar", stress_sign="compression-positive")
    data = read_labelled(path, right)
    assert disagreements(data.structures, potential, data.conventions) == []


def test_the_option_that_is_named_mends_virials_of_the_other_sign(tmp_path, loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    frames = []
    for one in labelled(potential):
        frames.append(one.atoms.copy())
        frames[-1].info |= {"REF_energy": one.energy, "REF_virial": one.stress * one.atoms.get_volume()}
        frames[-1].arrays["REF_forces"] = one.forces
    path = tmp_path / "wrong.extxyz"
    write(path, frames)
    data = read_labelled(path)
    (found,) = disagreements(data.structures, potential, data.conventions)
    assert "Set data.stress_sign=tension-positive" in found.fix
    data = read_labelled(path, LabelConventions(stress_sign="tension-positive"))
    assert disagreements(data.structures, potential, data.conventions) == []


def test_a_disagreement_ends_with_what_was_seen_and_what_to_do(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    structures = [replace(one, stress=KBAR * one.stress) for one in labelled(potential)]
    findings = check_conventions(structures, predict(potential, structures), ASE_CONVENTIONS)
    with pytest.raises(InputError, match=r"x: stresses are 1.6e\+03 times the .*Set data.stress_unit=kbar"):
        require_agreement(findings, "x")


@pytest.mark.parametrize("unit", ["eV/A^3", "GPa", "kbar"])
def test_relaxed_structures_are_not_taken_for_another_unit(unit, loaded, labelled):
    """What DFT leaves of forces and stresses there is noise in the potential's, and 10 to 100 times smaller."""
    potential, noise = loaded("chgnet-0.3.0"), np.random.default_rng(0)
    structures = [
        replace(
            one,
            forces=noise.normal(0, 0.01, one.forces.shape),
            stress=(0.5 / KBAR) * (lambda a: a + a.T)(noise.normal(0, 1, (3, 3))),
        )
        for one in labelled(potential)
    ]
    assert disagreements(structures, potential, replace(ASE_CONVENTIONS, stress_unit=unit)) == []


def test_some_labels_that_were_not_computed_are_told(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    structures = labelled(potential)
    structures[-1] = replace(structures[-1], stress=0 * structures[-1].stress)
    (finding,) = disagreements(structures, potential)
    assert "stresses are exactly zero in 1 of" in finding.seen


@pytest.mark.parametrize(("corruption", "fix"), [("GPa", "data.stress_unit=GPa"), ("gradients", "change their sign")])
def test_one_file_of_several_that_is_wrong_is_named(corruption, fix, tmp_path, loaded, labelled):
    potential, change = loaded("chgnet-0.3.0"), CORRUPTIONS[corruption][0]
    frames = labelled(potential)
    wrong = [replace(one, **change(one)) for one in frames[:3]]
    for name, some in (("a", frames * 2), ("b", wrong)):
        (tmp_path / f"{name}.extxyz").write_bytes(labelled_extxyz(some))
    data = read_labelled(tmp_path)
    findings = check_data(data, predict(potential, data.structures))
    (finding,) = [one for one in findings if one.verdict == "disagrees"]
    assert finding.seen.startswith("b.extxyz: ")
    assert fix in finding.fix
    with pytest.raises(InputError, match=r"data\.check_units=false trains on them as they are"):
        require_agreement(findings, data.name)


@pytest.mark.parametrize("seed", range(4))
def test_as_many_elements_as_structures_tell_nothing(seed):
    """Shifts fit any energies then, and which hypothesis is left nearer to zero is rounding."""
    sizes = {"Li": 2, "Na": 6, "K": 30, "Rb": 50, "Cs": 1, "Mg": 9}
    atoms = [Atoms(f"{symbol}{size}") for symbol, size in sizes.items()]
    n = np.array([*sizes.values()], dtype=float)
    energies = -4.0 * n + np.random.default_rng(seed).normal(0, 1, 6)
    better, seen = _by_deviation(atoms, (energies, energies * n), -3.5 * n)
    assert better is None
    assert "by 0.0 meV/atom" in seen


def test_too_little_to_tell_is_undecided(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    structures = [replace(one, stress=-KBAR * one.stress, energy=1.0) for one in labelled(potential, 2)]
    findings = check_conventions(structures, predict(potential, structures), ASE_CONVENTIONS)
    assert {finding.verdict for finding in findings} == {"undecided"}
    without = [replace(one, stress=None) for one in labelled(potential)]
    checks = [finding.check for finding in check_conventions(without, predict(potential, without), ASE_CONVENTIONS)]
    assert not any("stress" in check for check in checks)
