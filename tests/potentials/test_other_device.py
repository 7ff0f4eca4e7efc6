"""Models, relaxation and training on another device, imitated: nothing on it meets what is on the CPU."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from finetuning_frames import labelled, rattled
from mace_models import random_model
from on_this_machine import require_package, require_weights
from other_device import OTHER, OtherTensor, other_device
from uniscreen import load_potential
from uniscreen.potentials import loading, mace
from uniscreen.relaxation import inflight
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.result import RelaxationSettings
from uniscreen.structures import neighbours
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.objective import Material, Objective
from uniscreen.training.recipe import Full, LoRA, LossSection
from uniscreen.training.strategies import Adaptation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ase import Atoms

    from uniscreen.potentials.base import Potential
    from uniscreen.relaxation.optimisers import Optimiser
    from uniscreen.training.recipe import Strategy


@contextmanager
def elsewhere(pairs: int = neighbours.PAIRS_PER_SYSTEM["cuda"]) -> Iterator[None]:
    """Have models loaded on the other device, with the limits of CUDA."""
    with pytest.MonkeyPatch.context() as patch, other_device():
        patch.setitem(neighbours.PAIRS_PER_SYSTEM, OTHER.type, pairs)
        patch.setitem(inflight.MAX_WORK, OTHER.type, inflight.MAX_WORK["cuda"])
        patch.setattr(loading, "resolve_device", lambda _: OTHER.type)
        patch.setattr(mace, "_accelerated", lambda _, model, __: model)  # as on CUDA without cuequivariance
        yield


@pytest.fixture(scope="module", params=["chgnet-0.3.0", "m3gnet-mp-2021.2.8", "mace"])
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Models whose package and weights are on this machine, of MACE one with random weights."""
    package = {"chgnet-0.3.0": "chgnet", "m3gnet-mp-2021.2.8": "matgl", "mace": "mace"}[request.param]
    require_package(package)
    if package != "mace":
        require_weights(request.param)
        return str(request.param)
    path = tmp_path_factory.mktemp("mace") / "tiny.model"
    torch.save(random_model(), path)
    return str(path)


@pytest.fixture(scope="module")
def here(name: str) -> Potential:
    return load(name)


@pytest.fixture(scope="module")
def there(name: str) -> Potential:
    with elsewhere():
        return load(name)


def load(name: str) -> Potential:
    return load_potential(name, device="cpu", dtype="float64", trust_model_file=True)


def known(structures: list[Atoms], potential: Potential) -> list[Atoms]:
    """The structures, of copper and oxygen where the potential does not know their elements."""
    for atoms in structures:
        if not potential.card.elements >= set(atoms.symbols):
            atoms.symbols = ["Cu", *["O"] * (len(atoms) - 1)]
    return structures


@pytest.fixture
def structures(here: Potential, crystals: dict[str, Atoms]) -> list[Atoms]:
    """Those of at most 12 atoms."""
    return known([atoms for atoms in crystals.values() if len(atoms) <= 12], here)


@pytest.mark.parametrize("pairs", [neighbours.PAIRS_PER_SYSTEM["cuda"], 10])
def test_a_batch_has_the_same_numbers_there(
    pairs: int, here: Potential, there: Potential, structures: list[Atoms]
) -> None:
    """With neighbours that are enumerated there, and with those of the cell list, which is of the CPU."""
    assert all(isinstance(one, OtherTensor) for one in there.model.state_dict().values())
    with elsewhere(pairs):
        found = there.evaluate(structures)
    for one, other in zip(here.evaluate(structures), found, strict=True):
        assert other.energy == pytest.approx(one.energy, rel=1e-9)
        np.testing.assert_allclose(other.forces, one.forces, rtol=0, atol=1e-8)
        np.testing.assert_allclose(other.stress, one.stress, rtol=0, atol=1e-8)


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
def test_relaxations_end_there_as_here(
    optimiser: Optimiser, here: Potential, there: Potential, structures: list[Atoms]
) -> None:
    """They leave and enter the batch, and one breaks a guard."""
    squeezed = structures[0].copy()
    squeezed.set_cell(0.15 * squeezed.cell.array, scale_atoms=True)
    structures = [*structures[:4], squeezed, structures[4]]
    settings = RelaxationSettings(max_steps=4, optimiser=optimiser)
    with elsewhere():
        found = relax(there, structures, settings, limit=2000.0)
    assert found[4].status == "exploded"
    for one, other in zip(relax(here, structures, settings, limit=2000.0), found, strict=True):
        assert (other.status, other.n_steps) == (one.status, one.n_steps)
        if one.energy is not None:
            assert other.energy == pytest.approx(one.energy, rel=1e-8)


@pytest.mark.parametrize("strategy", [Full(), LoRA(kind="lora")], ids=["full", "lora"])
def test_training_ends_there_as_here(strategy: Strategy, name: str, here: Potential, tmp_path: Path) -> None:
    frames = [
        LabelledStructure(atoms, atoms.get_potential_energy(), atoms.get_forces(), np.eye(3) * 0.01, None, f"frame {k}")
        for k, atoms in enumerate(labelled(known(rattled(3), here), here))
    ]
    energies = []
    for where in (nullcontext(), elsewhere()):
        with where:
            potential = load(name)
            adaptation = Adaptation(potential, strategy, seed=0)
            objective = Objective(potential, adaptation.parameters, LossSection(), Material(frames, frames, []))
            optimiser = adaptation.optimiser("soap")
            for _ in range(2):
                objective.backward(objective.train, LossSection())
                optimiser.step()
            adaptation.finish()
            potential.save(tmp_path / "trained")
        trained = load_potential(tmp_path / "trained", device="cpu")
        energies.append([one.energy for one in trained.evaluate([frame.atoms for frame in frames])])
    assert energies[1] == pytest.approx(energies[0], rel=1e-5)
    assert energies[0] != pytest.approx([one.energy for one in here.evaluate([f.atoms for f in frames])], rel=1e-5)
