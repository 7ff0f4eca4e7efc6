"""Training in a worker: the labels arrive, the folder is a potential, and each failure tells why."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from uniscreen.errors import BackendError, InputError
from uniscreen.potentials.isolated.potential import IsolatedPotential
from uniscreen.potentials.isolated.program import Program
from uniscreen.potentials.isolated.training import TrainingRequest, pack_frames, train_isolated
from uniscreen.potentials.isolated.worker import Frames
from uniscreen.potentials.saved import DESCRIPTION, read_card
from uniscreen.structures.labels import LabelledStructure

HERE = Path(__file__).parent
PROGRAM = Program(Path(sys.executable), HERE / "trainable_backend.py")
EPSILON = 0.0123


@pytest.fixture(scope="module")
def argon() -> list[LabelledStructure]:
    """Six strained and rattled crystals, labelled by Lennard-Jones with ε = EPSILON; the last without stress."""
    from ase.calculators.lj import LennardJones

    calculator = LennardJones(epsilon=EPSILON, sigma=3.4, rc=8.0, ro=6.0, smooth=True)
    found = []
    for i in range(6):
        atoms = bulk("Ar", "fcc", a=5.1 + 0.1 * i) * (2, 1, 1)
        atoms.rattle(0.05, seed=i)
        atoms.calc = calculator
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
        atoms.calc = None
        found.append(LabelledStructure(atoms, energy, forces, None if i == 5 else stress, None, f"frame {i}"))
    return found


def request(**changes: object) -> TrainingRequest:
    hyperparameters = {"sigma_angstrom": 3.4} | changes.pop("hyperparameters", {})  # type: ignore[operator]
    return replace(TrainingRequest("GAP", hyperparameters, "MIT", "someone (2026)", seconds=60.0), **changes)  # type: ignore[arg-type]


def load(folder: Path) -> IsolatedPotential:
    return IsolatedPotential(read_card(folder), folder, torch.device("cpu"), torch.float64, program=PROGRAM)


def test_the_folder_is_the_potential_that_was_fitted(argon: list[LabelledStructure], tmp_path: Path) -> None:
    out = tmp_path / "argon"
    told: list[str] = []
    train_isolated(request(seed=7), argon, argon[:2], out, on_line=told.append, program=PROGRAM)
    assert told == (out / "training.log").read_text().splitlines()
    potential = load(out)
    assert potential.card.elements == {"Ar"}
    assert potential.card.species == ("Ar",)
    assert potential.card.cutoff == 8.0
    for one, result in zip(argon, potential.evaluate([one.atoms for one in argon]), strict=True):
        assert result.energy == pytest.approx(one.energy, abs=1e-10)
        np.testing.assert_allclose(result.forces, one.forces, atol=1e-10)
    assert json.loads((out / "parameters.json").read_text())["n_validation"] == 2
    record = json.loads((out / DESCRIPTION).read_bytes())["training"]
    assert record["hyperparameters"] == {"sigma_angstrom": 3.4}
    assert (record["seed"], record["n_train"], record["n_validation"]) == (7, 6, 2)
    assert "seed 7" in (out / "training.log").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["argon"]


def test_the_checksum_of_the_data_is_that_of_the_labels(argon: list[LabelledStructure], tmp_path: Path) -> None:
    other = [replace(argon[0], energy=argon[0].energy + 1e-9), *argon[1:]]
    digests = []
    for i, data in enumerate((argon, list(argon), other)):
        train_isolated(request(), data, [], tmp_path / str(i), program=PROGRAM)
        digests.append(json.loads((tmp_path / str(i) / DESCRIPTION).read_bytes())["training"]["train_sha256"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "failed: ArithmeticError: the matrix is singular"),
        ("dies", "was ended by SIGSEGV"),
        ("writes nothing", "wrote no parameters.json"),
        ("hangs", "did not answer within 5 s"),
    ],
)
def test_a_training_that_fails_leaves_nothing(
    fault: str, said: str, argon: list[LabelledStructure], tmp_path: Path
) -> None:
    wanted = request(hyperparameters={"fault": fault}, seconds=5.0 if fault == "hangs" else 60.0)
    with pytest.raises(BackendError) as caught:
        train_isolated(wanted, argon, [], tmp_path / "out", program=PROGRAM)
    assert said in str(caught.value)
    if fault != "hangs":  # it may be ended before it prints
        assert "fitting" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_trained_is_refused_before(argon: list[LabelledStructure], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no structures to train on"):
        train_isolated(request(), [], [], tmp_path / "out", program=PROGRAM)
    neon = replace(argon[0], atoms=bulk("Ne", "fcc", a=4.5) * (2, 1, 1))
    with pytest.raises(InputError, match="The validation structures hold Ne"):
        train_isolated(request(), argon, [neon], tmp_path / "out", program=PROGRAM)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(InputError, match="holds something already"):
        train_isolated(request(), argon, [], tmp_path / "mine", program=PROGRAM)


@pytest.mark.parametrize("change", ["changed", "missing", "added"])
def test_a_folder_that_is_not_as_it_was_written_is_refused(
    change: str, argon: list[LabelledStructure], tmp_path: Path
) -> None:
    train_isolated(request(), argon, [], tmp_path / "out", program=PROGRAM)
    file = tmp_path / "out" / ("parameters.json" if change != "added" else "more.json")
    if change == "missing":
        file.unlink()
    else:
        file.write_text("{}")
    with pytest.raises(InputError, match=f"{file.name} is missing, changed or added"):
        load(tmp_path / "out")


def test_frames_keep_what_belongs_together(argon: list[LabelledStructure]) -> None:
    neon = replace(argon[0], atoms=bulk("Ne", "fcc", a=4.5) * (2, 1, 1), energy=-3.0)
    frames = Frames.of(pack_frames([argon[0], argon[5], neon], "train."), "train.")
    assert frames is not None
    assert Frames.of(pack_frames(argon, "train."), "validation.") is None
    found = list(frames.structures())
    assert found[1][3] is None
    np.testing.assert_array_equal(found[0][3], argon[0].stress)
    np.testing.assert_array_equal(found[1][2], argon[5].forces)
    assert frames.elements() == [10, 18]
    energies = frames.reference_energies()
    assert energies[10] == pytest.approx(-1.5)
    assert energies[18] == pytest.approx((argon[0].energy + argon[5].energy) / 4)


def test_a_structure_that_is_not_periodic_gets_a_cell_whose_images_are_far(argon: list[LabelledStructure]) -> None:
    """Packages that take every direction for periodic would otherwise see images, or have no cell at all."""
    slab, molecule = argon[0].atoms.copy(), Atoms("Ar3", [[0, 0, 0], [3.8, 0, 0], [0, 3.8, 1.0]])
    slab.pbc = (True, True, False)
    structures = [replace(one, atoms=atoms, stress=None) for one, atoms in zip(argon, (slab, molecule), strict=False)]
    structures.append(argon[2])
    frames = Frames.of(pack_frames(structures, "train."), "train.")
    assert frames is not None
    for one, (numbers, positions, cell, pbc) in zip(structures, frames.batch.systems(), strict=True):
        np.testing.assert_array_equal(pbc, one.atoms.pbc)
        np.testing.assert_allclose(cell[pbc], one.atoms.cell.array[pbc])
        everywhere = Atoms(numbers, positions, cell=cell, pbc=True)
        neighbours = [sorted(neighbor_list("d", atoms, 10.0).tolist()) for atoms in (one.atoms, everywhere)]
        np.testing.assert_allclose(*neighbours, atol=1e-12)


def test_the_scale_is_that_of_forces_that_are_more_than_noise(argon: list[LabelledStructure]) -> None:
    frames = Frames.of(pack_frames(argon, "train."), "train.")
    assert frames is not None
    for size, expected in ((2.0, 2.0), (1e-15, 1.0), (0.0, 1.0)):
        assert frames._replace(forces=np.full_like(frames.forces, size)).scale() == pytest.approx(expected)
