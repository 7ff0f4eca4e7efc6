"""LoRA: the same numbers at first, few weights trained, and a plain potential at the end, for every architecture."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase.build import bulk

from mace_models import random_model
from on_this_machine import require_package, require_weights
from uniscreen import load_potential
from uniscreen.errors import InputError
from uniscreen.potentials.base import Evaluation
from uniscreen.potentials.trainable import TrainablePotential
from uniscreen.training import lora

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ase import Atoms
    from torch.nn import Parameter

    from uniscreen.structures.graph import AtomicGraph

MODELS = {"chgnet-0.3.0": "chgnet", "m3gnet-mp-2021.2.8": "matgl", "mace": "mace"}
"""The package that each needs; the MACE is a small one with random weights and vector features."""

ROUNDING = {"float32": 1e-5, "float64": 1e-12}
"""eV and eV/Å: what sums of another order may change."""

RANK = 2
LEARNING_RATE = 1e-4
LEARNT = 0.8  # as the contract of trainable potentials has it
BOTH_PRECISIONS = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="session")
def mace_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mace") / "small.model"
    torch.save(random_model(), path)
    return path


@pytest.fixture(params=MODELS)
def fresh(request: pytest.FixtureRequest) -> Callable[..., TrainablePotential]:
    """Load the model anew: ``fresh(dtype)``. Skipped where its package or weights are not on this machine."""
    name = request.param
    require_package(MODELS[name])
    if name == "mace":
        path = str(request.getfixturevalue("mace_file"))
        return lambda dtype="float64": _load(path, dtype)
    require_weights(name)
    return lambda dtype="float64": _load(name, dtype)


@pytest.fixture
def mace(mace_file: Path) -> TrainablePotential:
    return _load(str(mace_file), "float64")


def _load(name: str, dtype: str) -> TrainablePotential:
    potential = load_potential(name, device="cpu", dtype=dtype, trust_model_file=name.endswith(".model"))  # type: ignore[arg-type]
    assert isinstance(potential, TrainablePotential)
    return potential


def _crystals() -> list[Atoms]:
    """Rattled crystals of copper and oxygen, which every one of the models knows."""
    crystals = [bulk("CuO", "rocksalt", a=4.25) * (2, 1, 1), bulk("CuO", "zincblende", a=4.6), bulk("Cu", a=3.65) * 2]
    for seed, atoms in enumerate(crystals):
        atoms.rattle(0.08, seed=seed)
    return crystals


def _settled(potential: TrainablePotential, graph: AtomicGraph) -> Evaluation:
    """The third evaluation: code of e3nn's is compiled during the first two, and then rounds otherwise.

    It is that of the network which is trained; ``evaluate_graph`` may use another one while that has the same weights.
    """
    for _ in range(3):
        attached = potential.derivatives(graph)
    return Evaluation(*(None if value is None else value.detach() for value in attached))


def _train(potential: TrainablePotential, parameters: Sequence[Parameter], steps: int = 15) -> list[float]:
    """The losses of a few steps toward forces that are a quarter stronger than the potential's own."""
    graph = potential.graph(_crystals())
    start = potential.evaluate_graph(graph)
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    losses = []
    for _ in range(steps):
        result = potential.derivatives(graph, stress=False, create_graph=True)
        energy = ((result.energy - start.energy) / graph.n_atoms).square().mean()
        loss = energy + (result.forces - 1.25 * start.forces).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def _assert_close(a: Evaluation, b: Evaluation, tolerance: float) -> None:
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=tolerance, err_msg=name)


@BOTH_PRECISIONS
def test_it_starts_with_the_same_bits(fresh: Callable[..., TrainablePotential], dtype: str) -> None:
    potential = fresh(dtype)
    graph = potential.graph(_crystals())
    before = _settled(potential, graph)
    lora.attach(potential, RANK, None, seed=0)
    _assert_close(_settled(potential, graph), before, tolerance=0.0)


def test_what_is_returned_is_all_that_is_trained(fresh: Callable[..., TrainablePotential]) -> None:
    potential = fresh()
    n_weights = sum(parameter.numel() for parameter in potential.model.parameters())
    added = lora.attach(potential, RANK, None, seed=0)
    assert {id(p) for p in added} == {id(p) for p in potential.model.parameters() if p.requires_grad}
    assert sum(parameter.numel() for parameter in added) < n_weights / 5
    listed = [name for block in potential.parameter_blocks().values() for name, _ in block]
    assert sorted(listed) == sorted(name for name, _ in potential.model.named_parameters())


@BOTH_PRECISIONS
def test_training_lowers_the_loss_and_leaves_the_weights_themselves(
    fresh: Callable[..., TrainablePotential], dtype: str, tmp_path: Path
) -> None:
    potential = fresh(dtype)
    names = set(potential.model.state_dict())
    added = lora.attach(potential, RANK, None, seed=0)
    trained = {id(parameter) for parameter in added}
    frozen = {name: p.detach().clone() for name, p in potential.model.named_parameters() if id(p) not in trained}
    losses = _train(potential, added)
    assert losses[-1] < LEARNT * losses[0]
    now = dict(potential.model.named_parameters())
    assert [name for name, value in frozen.items() if not torch.equal(now[name], value)] == []

    graph = potential.graph(_crystals())
    adapted = _settled(potential, graph)
    lora.merge(potential)
    _assert_close(_settled(potential, graph), adapted, ROUNDING[dtype])
    assert set(potential.model.state_dict()) == names
    assert all(parameter.requires_grad for parameter in potential.model.parameters())
    assert sum(len(block) for block in potential.parameter_blocks().values()) == len(list(potential.model.parameters()))

    potential.save(tmp_path / "merged")
    _assert_close(_settled(_load(str(tmp_path / "merged"), dtype), graph), _settled(potential, graph), tolerance=0.0)


def test_every_change_has_the_rank_at_most(fresh: Callable[..., TrainablePotential]) -> None:
    """By the singular values of the difference of each matrix before and after, where it is not trained in full."""
    potential = fresh()
    before = {name: value.clone() for name, value in potential.model.state_dict().items()}
    _train(potential, lora.attach(potential, RANK, 1.0, seed=0), steps=3)
    lora.merge(potential)
    ranks = []
    for name, module in potential.model.named_modules():
        change = potential.model.state_dict().get(f"{name}.weight", torch.zeros(())) - before.get(f"{name}.weight", 0)
        parts = change.flatten().split([m * n for m, n in lora._matrices(module)]) if change.any() else ()
        for (m, n), part in zip(lora._matrices(module), parts, strict=False):
            if RANK * (m + n) < m * n:
                values = torch.linalg.svdvals(part.view(m, n))
                ranks.append(int((values > 1e-9 * values[0]).sum()))
    assert len(ranks) > 10
    assert max(ranks) == RANK


def test_a_copy_is_a_potential_of_its_own(fresh: Callable[..., TrainablePotential]) -> None:
    potential = fresh()
    graph = potential.graph(_crystals())
    added = lora.attach(potential, RANK, None, seed=0)
    start = _settled(potential, graph)
    twin = copy.deepcopy(potential)
    _train(potential, added, steps=2)
    after = _settled(potential, graph)
    assert abs(after.forces - start.forces).max() > 1e-3
    lora.merge(potential)
    _assert_close(_settled(twin, graph), start, tolerance=1e-12)
    lora.merge(twin)
    _assert_close(_settled(twin, graph), start, tolerance=1e-12)
    _assert_close(_settled(potential, graph), after, tolerance=1e-12)


def test_a_state_can_be_kept_and_restored(fresh: Callable[..., TrainablePotential]) -> None:
    first, second = fresh(), fresh()
    _train(first, lora.attach(first, RANK, None, seed=0), steps=2)
    lora.attach(second, RANK, None, seed=1)
    second.model.load_state_dict(first.model.state_dict())
    graph = first.graph(_crystals())
    _assert_close(_settled(second, graph), _settled(first, graph), tolerance=1e-12)


def test_the_seed_alone_decides(fresh: Callable[..., TrainablePotential]) -> None:
    def drawn(seed: int, noise: int) -> torch.Tensor:
        potential = fresh()
        state = torch.manual_seed(noise).get_state()
        added = lora.attach(potential, RANK, None, seed)
        assert torch.equal(torch.get_rng_state(), state)
        return torch.cat([parameter.detach().flatten() for parameter in added])

    with torch.random.fork_rng():
        first = drawn(seed=3, noise=0)
        assert torch.equal(first, drawn(seed=3, noise=1))
        assert not torch.equal(first, drawn(seed=4, noise=0))


def test_the_sum_is_that_of_the_paper() -> None:
    """Hu et al. (2022), eq. 3: W0 + (alpha / r) B A; and in full where that would be no smaller."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(30, dtype=torch.float64)
    change = lora.LowRankChange(weight, [(4, 6), (1, 6)], rank=2, alpha=3.0, generator=generator)
    assert [tuple(b.shape) for b in change.b] == [(4, 2), (1, 6)]
    assert torch.equal(change(weight), weight)
    with torch.no_grad():
        for b in change.b:
            b.normal_(generator=generator)
    low = weight[:24].view(4, 6) + 1.5 * change.b[0] @ change.a[0]
    full = weight[24:].view(1, 6) + 1.5 * change.b[1] * weight[24:].square().mean().sqrt()
    torch.testing.assert_close(change(weight), torch.cat([low.flatten(), full.flatten()]), rtol=0, atol=1e-14)


def test_a_matrix_of_zeros_can_be_trained() -> None:
    change = lora.LowRankChange(torch.zeros(8, 8), [(8, 8)], 1, 1.0, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(change(torch.zeros(8, 8)).sum(), change.b[0])
    assert gradient.abs().min() > 0


def test_chgnet_keeps_the_embeddings_of_other_elements(loaded: Callable[..., Any]) -> None:
    potential = copy.deepcopy(loaded("chgnet-0.3.0"))
    before = potential.model.atom_embedding.embedding.weight.detach().clone()
    _train(potential, lora.attach(potential, RANK, None, seed=0), steps=3)
    lora.merge(potential)
    moved = (potential.model.atom_embedding.embedding.weight != before).any(dim=1)
    assert torch.nonzero(moved).flatten().tolist() == [8 - 1, 29 - 1]


@pytest.mark.skipif(find_spec("mace") is None, reason="mace-torch is not installed")
def test_mace_keeps_what_belongs_to_other_elements(mace: TrainablePotential) -> None:
    """The embedding, and the residual connection of each element; aluminium is the second of three."""
    tables = {
        "node_embedding.linear.weight": lambda value: value.view(3, -1),
        "interactions.1.skip_tp.weight": lambda value: value.view(8, 3, -1).transpose(0, 1),
    }
    before = mace.model.state_dict()
    before = {name: table(before[name].clone()) for name, table in tables.items()}
    _train(mace, lora.attach(mace, RANK, None, seed=0), steps=3)
    lora.merge(mace)
    for name, table in tables.items():
        moved = (table(mace.model.state_dict()[name]) != before[name]).flatten(1).any(dim=1)
        assert moved.tolist() == [True, False, True], name


@pytest.mark.skipif(find_spec("mace") is None, reason="mace-torch is not installed")
def test_mace_stays_equivariant(mace: TrainablePotential) -> None:
    _train(mace, lora.attach(mace, RANK, None, seed=0), steps=5)
    atoms = _crystals()[0]
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))  # with or without inversion
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation)
    turned.positions = atoms.positions @ rotation
    for potential in (mace, copy.deepcopy(mace)):
        plain, other = potential.evaluate([atoms, turned])
        assert other.energy == pytest.approx(plain.energy, rel=0, abs=1e-10)
        np.testing.assert_allclose(other.forces, plain.forces @ rotation, rtol=0, atol=1e-10)
        np.testing.assert_allclose(other.stress, rotation.T @ plain.stress @ rotation, rtol=0, atol=1e-11)
        lora.merge(potential)


@pytest.mark.skipif(find_spec("mace") is None, reason="mace-torch is not installed")
def test_mace_leaves_its_faster_network(mace: TrainablePotential) -> None:
    """On CUDA that is another one, with the weights from before; here a copy stands in for it."""
    mace._fast = copy.deepcopy(mace.model)  # type: ignore[attr-defined]
    graph = mace.graph(_crystals())
    added = lora.attach(mace, RANK, None, seed=0)
    _train(mace, added, steps=2)
    for _ in range(2):
        trained = mace.derivatives(graph)
        np.testing.assert_allclose(mace.evaluate_graph(graph).forces, trained.forces.detach(), rtol=0, atol=1e-12)
        lora.merge(mace)


@pytest.mark.parametrize(
    ("rank", "alpha", "message"),
    [
        (0, None, "LoRA has rank 0 and alpha 0, expected a rank of at least 1"),
        (2, -1.0, "LoRA has rank 2 and alpha -1, expected .* alpha above 0"),
        (2, float("nan"), "alpha nan"),
    ],
)
def test_factors_that_make_no_sense_are_refused(
    rank: int, alpha: float | None, message: str, loaded: Callable[..., Any]
) -> None:
    potential = copy.deepcopy(loaded("chgnet-0.3.0"))
    with pytest.raises(InputError, match=message):
        lora.attach(potential, rank, alpha, seed=0)
    assert all(parameter.requires_grad for parameter in potential.model.parameters())


def test_a_network_without_linear_layers_is_refused(loaded: Callable[..., Any]) -> None:
    potential = copy.deepcopy(loaded("chgnet-0.3.0"))
    potential.model = torch.nn.LayerNorm(4)
    with pytest.raises(InputError, match=r"chgnet-0\.3\.0 has no linear layer that LoRA can adapt"):
        lora.attach(potential, 4, None, seed=0)
