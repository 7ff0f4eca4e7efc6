"""The training loop on one number in quadratic wells, where rates, averages and losses are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms

from uniscreen.potentials.base import SystemResult
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.checkpoints import Checkpoint
from uniscreen.training.loop import FINAL_RATE, Trainer
from uniscreen.training.recipe import Delta, Full, Recipe
from uniscreen.training.strategies import Adaptation

NOTHING = np.zeros((1, 3))


class Wells:
    """The loss of a batch is the mean of (x - c)² over its wells c; it counts what is asked for."""

    def __init__(self, x, train, validation, replay=()):
        self.x, self.train, self.validation, self.replay = x, list(train), list(validation), list(replay)
        labels = [LabelledStructure(Atoms("He"), c, NOTHING, None, None, "") for c in self.validation]
        self.material = SimpleNamespace(validation=labels)
        self.asked = []

    def backward(self, batch, weights, share=1.0):
        self.asked.append((len(batch), share))
        away = self.x.detach() - torch.tensor(batch, dtype=torch.float64)
        gradient = share * 2 * away.mean().reshape(1)
        self.x.grad = gradient if self.x.grad is None else self.x.grad + gradient
        return float(away.square().mean())

    def evaluate(self, batch, weights):
        x = float(self.x.detach())
        return float(np.mean([(x - c) ** 2 for c in batch])), [SystemResult(x, NOTHING, None, None) for _ in batch]


class Descent:
    """Plain gradient descent in place of Adam, which takes down the rate, x and its gradient after each step."""

    def __init__(self, x):
        self.parameters = [x]
        self.rates, self.places, self.gradients = [], [], []

    def optimiser(self, kind):
        return torch.optim.SGD(self.parameters)

    def pull(self, rate):
        (x,) = self.parameters
        self.rates.append(rate)
        self.places.append(float(x.detach()))
        self.gradients.append(float(x.grad))


@pytest.fixture
def train(tmp_path):
    """Train from x = 0; the state in the end, the objective, and what was taken down."""

    def run(wells, validation, *, replay=None, share=None, **optimiser):
        x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        objective, descent = Wells(x, wells, validation, replay or ()), Descent(x)
        settings = {"batch_size": 1, "clip": 1e9, "ema": 0.9} | optimiser
        replayed = None if share is None else {"structures": "others", "share": share}
        recipe = Recipe(model="m", optimiser=settings, replay=replayed)
        checkpoint = Checkpoint(tmp_path / "state.pt")
        return Trainer(objective, descent, recipe, seed=0, checkpoint=checkpoint).run(), objective, descent

    return run


def test_the_rate_rises_over_a_twentieth_of_the_steps_and_falls_by_a_cosine(train):
    _, _, descent = train([1.0] * 10, [1.0], epochs=10, learning_rate=0.02)
    rates = np.array(descent.rates) / 0.02
    assert len(rates) == 100
    assert rates[:6] == pytest.approx(np.arange(1, 7) / 6)
    fallen = (np.arange(5, 100) - 5) / 95
    assert rates[5:] == pytest.approx(FINAL_RATE + (1 - FINAL_RATE) * np.cos(np.pi / 2 * fallen) ** 2)


def test_a_constant_rate_is_constant(train):
    _, _, descent = train([1.0] * 4, [1.0], epochs=3, learning_rate=0.02, schedule="constant")
    assert descent.rates == [0.02] * 12


def test_the_averaged_weights_are_validated_and_the_best_are_kept(train):
    """On the way to 1 the average comes by 0.5, where the loss of validation is least; five epochs later it ends."""
    state, objective, descent = train([1.0] * 4, [0.5], epochs=60, patience=5, learning_rate=0.01, schedule="constant")
    average, averages = 0.0, [0.0]
    for step, place in enumerate(descent.places, start=1):
        decay = min(0.9, step / (10 + step))
        average = decay * average + (1 - decay) * place
        averages.append(average)
    losses = (np.array(averages[::4]) - 0.5) ** 2
    assert [row["validation_loss"] for row in state.rows] == pytest.approx(losses)
    best = int(np.argmin(losses))
    assert 5 < best < len(losses) - 1
    assert (state.best_epoch, state.epoch) == (best, best + 5)
    assert state.stopped == f"5 epochs brought nothing better than epoch {best}"
    assert float(objective.x.detach()) == pytest.approx(averages[4 * best])
    found = state.rows[best]["validation_energy_mae_meV_per_atom"]
    assert found == pytest.approx(1000 * abs(averages[4 * best] - 0.5))


def test_replayed_samples_have_their_share_of_a_step_and_of_its_loss(train):
    state, objective, descent = train([1.0] * 6, [1.0], replay=[-1.0] * 9, share=0.4, epochs=1, batch_size=3)
    assert objective.asked == [(3, 0.6), (2, 0.4)] * 2
    assert descent.gradients[0] == pytest.approx(0.6 * -2 + 0.4 * 2)
    x = descent.places[0]
    losses = [1.0, 0.6 * (x - 1) ** 2 + 0.4 * (x + 1) ** 2]
    assert state.rows[1]["train_loss"] == pytest.approx(np.mean(losses))


def test_a_gradient_is_cut_to_the_largest_norm(train):
    _, _, descent = train([100.0], [1.0], epochs=1, clip=0.5, learning_rate=0.1, schedule="constant")
    assert descent.places == pytest.approx([0.1 * 0.5], rel=1e-5)


def test_weights_are_pulled_toward_those_before_training_by_the_rate_times_the_decay():
    for strategy, left in ((Delta(kind="delta", decay=5.0), 0.95), (Full(), 1.0), (Delta(kind="delta", decay=500), 0)):
        layer = torch.nn.Linear(2, 1)
        before = [one.detach().clone() for one in layer.parameters()]
        named = [*layer.named_parameters()]
        adaptation = Adaptation(SimpleNamespace(model=layer, parameter_blocks=lambda n=named: {"all": n}), strategy, 0)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter += 1.0
        adaptation.pull(0.01)
        for parameter, start in zip(layer.parameters(), before, strict=True):
            torch.testing.assert_close(parameter.detach() - start, torch.full_like(start, left), rtol=0, atol=1e-6)
        adaptation.begin_again()
        for parameter, start in zip(layer.parameters(), before, strict=True):
            assert torch.equal(parameter.detach(), start)
