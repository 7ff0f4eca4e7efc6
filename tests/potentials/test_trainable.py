"""What training needs of a potential: derivatives that can be trained on, blocks, reference energies."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from broken_trainables import Learned

from uniscreen.errors import InputError
from uniscreen.potentials import load_potential
from uniscreen.potentials.committee import Committee
from uniscreen.potentials.testing import training_checks
from uniscreen.potentials.trainable import BLOCKS, TrainablePotential

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ase import Atoms

    from uniscreen.potentials.base import Potential


def trainable(potential: Potential) -> TrainablePotential:
    assert isinstance(potential, TrainablePotential)
    return potential


def test_forces_and_stress_are_differentiable_by_the_parameters(
    trainable_name: str, loaded: Callable[..., Potential], crystals: dict[str, Atoms]
) -> None:
    """Against central finite differences of a weighted sum of all forces and stresses, as the weights move."""
    potential = trainable(loaded(trainable_name, "float64"))
    graph = potential.graph([crystals["SrTiO3"], crystals["Cu"]])
    generator = torch.Generator().manual_seed(0)
    parameters = list(potential.model.parameters())
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) * p.abs().mean() for p in parameters]
    weights = torch.randn(len(graph.numbers), 3, generator=generator, dtype=torch.float64)

    def target() -> torch.Tensor:
        result = potential.derivatives(graph, create_graph=True)
        assert result.stress is not None
        return (weights * result.forces).sum() + 100 * result.stress[:, 0].sum()

    gradients = torch.autograd.grad(target(), parameters, allow_unused=True)
    slope = sum(float((g.detach() * d).sum()) for g, d in zip(gradients, directions, strict=True) if g is not None)

    def moved(step: float) -> float:
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += step * direction
        value = float(target().detach())
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter -= step * direction
        return value

    h = 1e-6
    assert abs(slope) > 0.1
    assert slope == pytest.approx((moved(h) - moved(-h)) / (2 * h), rel=1e-4)


def test_derivatives_are_those_that_are_evaluated(
    trainable_name: str, loaded: Callable[..., Potential], crystals: dict[str, Atoms]
) -> None:
    potential = trainable(loaded(trainable_name, "float64"))
    graph = potential.graph([crystals["SrTiO3"], crystals["quinary"]])
    attached, evaluated = potential.derivatives(graph, create_graph=True), potential.evaluate_graph(graph)
    for name, value in evaluated._asdict().items():
        if value is not None:
            assert not value.requires_grad
            assert getattr(attached, name).requires_grad
            np.testing.assert_allclose(getattr(attached, name).detach(), value, rtol=0, atol=1e-12, err_msg=name)


def test_every_parameter_is_in_one_block(trainable_name: str, loaded: Callable[..., Potential]) -> None:
    potential = trainable(loaded(trainable_name))
    blocks = potential.parameter_blocks()
    assert tuple(blocks) == BLOCKS
    names = [name for block in blocks.values() for name, _ in block]
    assert sorted(names) == sorted(name for name, _ in potential.model.named_parameters())
    assert all(len(block) > 0 for block in blocks.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_model_can_be_trained(dtype: str, trainable_name: str, loaded: Callable[..., Potential]) -> None:
    results = [check.run(loaded(trainable_name, dtype)) for check in training_checks()]
    assert [result for result in results if result.status != "passed"] == []


def test_a_parameter_that_no_block_names_is_an_error() -> None:
    potential = Learned()
    potential.model.extra = torch.nn.Linear(1, 1)
    with pytest.raises(AssertionError, match=r"extra\.weight of pairs is in the blocks \[\], expected one"):
        potential.parameter_blocks()


def test_chgnet_reference_energies_are_those_of_its_composition_model(loaded: Callable[..., Potential]) -> None:
    from chgnet.model import CHGNet

    weights = CHGNet.load(model_name="0.3.0", use_device="cpu", verbose=False).composition_model.fc.weight[0]
    energies = trainable(loaded("chgnet-0.3.0")).reference_energies
    assert len(energies) == 89
    assert list(energies)[:3] == ["H", "He", "Li"]
    assert energies["Si"] == float(weights[13])
    assert energies["Pu"] == float(weights[93])


def test_setting_reference_energies_leaves_the_absent_elements() -> None:
    potential = Learned()
    before = potential.reference_energies
    potential.reference_energies = {"Cu": -626.123456789, "Na": -156.0}
    assert potential.reference_energies == before | {"Cu": -626.123456789, "Na": -156.0}


def test_the_card_and_a_saved_folder_keep_by_how_much_reference_energies_were_moved(
    loaded: Callable[..., Potential], tmp_path: Path
) -> None:
    """Else a screen would meet the hull with them, and a committee would average energies of two origins."""
    base = loaded("chgnet-0.3.0")
    potential = copy.deepcopy(trainable(base))
    before = potential.reference_energies
    potential.reference_energies = {"Na": before["Na"] - 600.0, "Cl": before["Cl"]}
    potential.reference_energies = {"Na": before["Na"] - 500.0, "Si": before["Si"] + 2.0}
    assert dict(potential.card.reference_shifts) == {"Na": pytest.approx(-500.0), "Si": pytest.approx(2.0)}
    potential.save(tmp_path / "moved")
    loaded_again = load_potential(str(tmp_path / "moved"), device="cpu")
    assert loaded_again.card.reference_shifts == potential.card.reference_shifts
    with pytest.raises(InputError, match="count their energies from other reference energies"):
        Committee([base, loaded_again])
    potential.reference_energies = before
    assert potential.card.reference_shifts == ()


@pytest.mark.parametrize(
    ("energies", "message"),
    [
        ({"Cu": -1.0, "Xe": -2.0}, "toy has no reference energy for Xe"),
        ({"Cu": -1.0, "Na": math.nan}, "The reference energy of Na is nan, expected a number of eV"),
    ],
)
def test_a_reference_energy_that_makes_no_sense_changes_nothing(energies: dict[str, float], message: str) -> None:
    potential = Learned()
    before = potential.reference_energies
    with pytest.raises(InputError, match=message):
        potential.reference_energies = energies
    assert potential.reference_energies == before
