"""Dedicated models in their own environments: trained for real, and published potentials read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from uniscreen.benchmarking.baselines import find_baseline, train_baseline
from uniscreen.errors import InputError
from uniscreen.potentials import licences, load_potential
from uniscreen.potentials.isolated.mtp_files import mtp_model
from uniscreen.potentials.saved import DESCRIPTION
from uniscreen.potentials.testing import check_potential
from uniscreen.structures.labels import LabelledStructure, read_labelled

SHARED = Path(__file__).parents[4] / "shared"
NETWORK = {"max_steps": 10}
CHEAP = {
    "gap": {"cutoff": 4.0, "n_max": 4, "l_max": 4, "n_sparse": 100},
    "mtp": {"cutoff": 4.0, "level": 8, "max_iterations": 30},
    "snap": {"cutoff": 4.0},
    "qsnap": {"cutoff": 4.0, "twojmax": 4},
    "ace": {"max_steps": 10, "cutoff": 4.0, "l_max": 2},
    "hdnnp": NETWORK | {"cutoff": 4.0, "angular_cutoff": 3.0},
    "deepmd": NETWORK | {"cutoff": 4.0, "neighbours_margin": 4.0},
    "schnet": NETWORK | {"cutoff": 4.0},
    "dimenet": NETWORK | {"cutoff": 4.0},
    "nequip": NETWORK | {"cutoff": 4.0},
    "mace": NETWORK | {"cutoff": 4.0, "n_channels": 8},
}
IN_CI = ("gap", "mtp", "snap", "qsnap")
"""The others bring torch or TensorFlow, more than 1 GB each."""


@pytest.fixture(scope="module")
def alloys() -> list[LabelledStructure]:
    """Copper, gold and their alloys, strained and rattled, labelled by ASE's effective medium theory."""
    found = []
    for i, symbols in enumerate(["Cu4", "Au4", "Cu3Au", "CuAu3", "Cu2Au2"] * 4):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.03 * (i % 7) + 0.12 * symbols.count("Au"))
        atoms.symbols = symbols
        atoms.rattle(0.06, seed=i)
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
        atoms.calc = None
        found.append(LabelledStructure(atoms, energy, forces, stress, None, f"frame {i}"))
    return found


@pytest.mark.isolated
@pytest.mark.parametrize("name", list(CHEAP))
def test_a_trained_model_is_a_potential(
    name: str, alloys: list[LabelledStructure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the contract; those that need no epochs are much closer to the labels than the reference energies."""
    if name not in IN_CI and "UNISCREEN_ALL_BASELINES" not in os.environ:
        pytest.skip("set UNISCREEN_ALL_BASELINES to make the environments that hold torch or TensorFlow")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    licences.accept(find_baseline(name))
    out = tmp_path / name
    train_baseline(name, alloys, out, validation=alloys[:5], hyperparameters=CHEAP[name], seconds=600)
    record = json.loads((out / DESCRIPTION).read_bytes())["training"]
    assert record["packages"][find_baseline(name).package]
    assert record["hyperparameters"] == find_baseline(name).resolved(CHEAP[name])
    potential = load_potential(str(out))
    assert potential.card.elements == {"Cu", "Au"}
    if name in IN_CI:
        results = potential.evaluate([one.atoms for one in alloys])
        for label in ("forces", "stress"):
            true = np.concatenate([getattr(one, label) for one in alloys])
            errors = np.concatenate([getattr(result, label) for result in results]) - true
            assert np.abs(errors).mean() < 0.3 * np.abs(true).mean(), label
    assert [result.name for result in check_potential(potential) if result.status != "passed"] == []


@pytest.mark.isolated
@pytest.mark.parametrize("name", [name for name in CHEAP if name not in (*IN_CI, "ace")])
def test_the_seed_decides_the_weights_of_a_network(
    name: str, alloys: list[LabelledStructure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that are drawn; some are the same for every seed, since they are constants."""
    if "UNISCREEN_ALL_BASELINES" not in os.environ:
        pytest.skip("set UNISCREEN_ALL_BASELINES to make the environments that hold torch")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    licences.accept(find_baseline(name))
    drawn = []
    for seed, folder in ((0, "0"), (1, "1"), (0, "again")):
        untrained = CHEAP[name] | {"max_steps": 1, "learning_rate": 0.0}
        out = tmp_path / folder
        train_baseline(name, alloys[:3], out, validation=alloys[:3], hyperparameters=untrained, seed=seed, seconds=600)
        with np.load(out / "weights.npz") as weights:
            drawn.append({key: weights[key] for key in weights.files if key.endswith("weight")})
    first, other, again = drawn
    for key, values in first.items():
        np.testing.assert_array_equal(values, again[key])
        assert values.size <= 1 or not np.array_equal(values, other[key]), key


@pytest.mark.isolated
def test_gap_fit_finds_every_label(
    alloys: list[LabelledStructure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is silent about those that it does not understand; its log counts those that it does."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    licences.accept(find_baseline("gap"))
    structures = alloys[:4]
    train_baseline("gap", structures, tmp_path / "gap", hyperparameters=CHEAP["gap"], seconds=600)
    log = (tmp_path / "gap" / "training.log").read_text(encoding="utf-8")
    n_atoms = sum(len(one.atoms) for one in structures)
    for name, found in (("energies", 4), ("forces", 3 * n_atoms), ("virials", 6 * 4)):
        assert re.search(rf"Number of target {name} .* found: {found}\n", log), name


@pytest.mark.isolated
def test_snap_knows_every_cell(alloys: list[LabelledStructure], tmp_path: Path) -> None:
    """LAMMPS wants a right-handed triangular cell that is periodic everywhere; what it is given need not be one."""
    train_baseline("snap", alloys, tmp_path / "snap", hyperparameters={"cutoff": 4.0}, seconds=600)
    potential = load_potential(str(tmp_path / "snap"))
    right = alloys[0].atoms.copy()
    left = right.copy()
    left.set_cell(right.cell[[1, 0, 2]])
    skewed = right.copy()
    skewed.set_cell(np.array([[1, 0, 0], [3, 1, 0], [-2, 0, 1]]) @ right.cell.array)
    slab, molecule = right.copy(), right.copy()
    slab.center(vacuum=12.0, axis=2)
    molecule.center(vacuum=12.0)
    thick, isolated = slab.copy(), molecule.copy()
    slab.pbc, molecule.pbc = (True, True, False), False
    molecule.cell = np.zeros((3, 3))
    found = potential.evaluate([right, left, skewed, slab, thick, molecule, isolated])
    for i, j in ((0, 1), (0, 2), (3, 4), (5, 6)):
        assert found[i].energy == pytest.approx(found[j].energy, abs=1e-10)
        np.testing.assert_allclose(found[i].forces, found[j].forces, atol=1e-10)
    np.testing.assert_allclose(found[0].stress, found[1].stress, atol=1e-12)
    np.testing.assert_allclose(found[0].stress, found[2].stress, atol=1e-12)


@pytest.mark.isolated
@pytest.mark.parametrize(("element", "energy", "forces"), [("Si", 2.3, 56), ("Mo", 2.9, 90)])
def test_published_potentials_have_their_published_errors(element: str, energy: float, forces: float) -> None:
    """Zuo et al. 2020 on their own test sets: mean absolute errors in meV/atom and meV/Å, as motep gives them."""
    weights, data = SHARED / "weights" / "mtp" / f"{element}.mtp", SHARED / "data" / "mlearn" / f"{element}-test.extxyz"
    if not weights.is_file() or not data.is_file():
        pytest.skip("needs ../shared/weights/mtp and ../shared/data/mlearn")
    potential = load_potential(f"mtp:{weights}:{element}")
    structures = read_labelled(data).structures
    results = potential.evaluate([one.atoms for one in structures])
    errors = [abs(result.energy - one.energy) / len(one.atoms) for result, one in zip(results, structures, strict=True)]
    components = np.concatenate([result.forces - one.forces for result, one in zip(results, structures, strict=True)])
    assert 1000 * np.mean(errors) == pytest.approx(energy, abs=0.05)
    assert 1000 * np.abs(components).mean() == pytest.approx(forces, abs=0.5)


def write_header(path: Path, n_species: int) -> Path:
    path.write_text(f"MTP\nversion = 1.1.0\nspecies_count = {n_species}\n\tmin_dist = 1.8e+00\n\tmax_dist = 4.7e+00\n")
    return path


def test_an_mtp_file_is_named_with_its_elements(tmp_path: Path) -> None:
    path = write_header(tmp_path / "fitted.mtp", 2)
    card, weights = mtp_model(f"mtp:{path}:O-Li")
    assert weights == path
    assert card.species == ("O", "Li")
    assert (card.elements, card.cutoff, card.functional) == ({"Li", "O"}, 4.7, "unknown")


def test_an_mtp_file_that_does_not_fit_its_name_is_refused(tmp_path: Path) -> None:
    path = write_header(tmp_path / "fitted.mtp", 2)
    (tmp_path / "other.mtp").write_text("not a potential")
    for name, said in (
        (f"mtp:{path}", "is not mtp:FILE:ELEMENTS"),
        (f"mtp:{path}:Li-Xx", "is not mtp:FILE:ELEMENTS"),
        (f"mtp:{path}:Li-Li", "is not mtp:FILE:ELEMENTS"),
        (f"mtp:{path}:Li", "has 2 species, but 1 are named: Li"),
        (f"mtp:{tmp_path / 'no.mtp'}:Li", "There is no .mtp file"),
        (f"mtp:{tmp_path / 'other.mtp'}:Li", "is not a moment tensor potential"),
    ):
        with pytest.raises(InputError, match=said):
            mtp_model(name)
