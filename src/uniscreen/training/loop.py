"""The training loop: one for every trainable potential."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from uniscreen.training.checkpoints import State
from uniscreen.training.errors import Errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor
    from torch.nn import Parameter

    from uniscreen.training.checkpoints import Checkpoint
    from uniscreen.training.objective import Objective, Sample
    from uniscreen.training.recipe import OptimiserSection, Recipe
    from uniscreen.training.strategies import Adaptation

WARM_UP = 0.05
"""The share of the steps over which the rate rises."""

FINAL_RATE = 0.01
"""The rate at the end of the cosine, over the highest."""

DIVERGED = 10.0
"""Training is rolled back when an epoch's loss is this many times the lowest one."""

SLOWER = 0.3
"""What the learning rate is multiplied by when training is rolled back."""

MAX_ROLLBACKS = 5


class Diverged(Exception):  # noqa: N818
    """A loss or gradient that is not a number, or a loss that has become many times larger."""


class Length(NamedTuple):
    """How long a training is, if nothing ends it before."""

    epochs: int
    steps_per_epoch: int

    @classmethod
    def of(cls, settings: OptimiserSection, n_frames: int) -> Length:
        """That of a training on so many frames, each of which is seen once an epoch."""
        steps_per_epoch = math.ceil(n_frames / settings.batch_size)
        limit = settings.epochs if settings.steps is None else -(-settings.steps // steps_per_epoch)
        return cls(min(settings.epochs, limit), steps_per_epoch)

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.epochs * self.steps_per_epoch


class Trainer:
    """Trains the parameters of an adaptation, and leaves those that were best by validation in the potential.

    Where no frame validates, they are those of the last epoch.
    """

    def __init__(
        self,
        objective: Objective,
        adaptation: Adaptation,
        recipe: Recipe,
        *,
        seed: int,
        checkpoint: Checkpoint,
    ) -> None:
        self._adaptation = adaptation
        self._parameters: list[Parameter] = adaptation.parameters
        self._objective = objective
        self._replay_share = recipe.replay.share if recipe.replay is not None else 0.0
        self._settings = recipe.optimiser
        self._seed = seed
        self._checkpoint = checkpoint
        self._optimiser = self._adaptation.optimiser(self._settings.kind)
        self._state = State()
        self.length = Length.of(self._settings, len(objective.train))
        self._loss, self._late_loss = recipe.loss, recipe.loss.late
        self._late_from = self.length.epochs // 2 if self._late_loss != self._loss else self.length.epochs + 1

    def run(self, on_epoch: Callable[[dict[str, Any], int], None] = lambda *_: None) -> State:
        """Train to the end, from the checkpoint if there is one; ``on_epoch`` gets each row, and the number of epochs.

        Rows are those of ``metrics.csv``: epoch 0 is the potential as it came.
        """
        state = self._begin()
        for row in state.rows:
            on_epoch(row, self.length.epochs)
        while not state.stopped:
            started = time.monotonic()
            try:
                loss = self._epoch()
            except Diverged as error:
                self._roll_back(str(error))
                on_epoch(state.rows[-1], self.length.epochs)
                self._checkpoint.save(state, self._parameters, self._optimiser, now=True)
                continue
            state.epoch += 1
            state.lowest_train_loss = min(loss, state.lowest_train_loss)
            state.seconds += time.monotonic() - started
            self._validate(loss)
            if state.epoch == self._late_from:  # a late epoch is compared with epoch 0 and with late ones
                state.lowest_train_loss = math.inf
                state.best_loss = state.rows[0]["validation_loss"] or math.inf
            state.stopped = self._reason_to_stop()
            on_epoch(state.rows[-1], self.length.epochs)
            self._checkpoint.save(state, self._parameters, self._optimiser, now=bool(state.stopped))
        self._put(state.best)
        return state

    def time(self) -> tuple[float, float]:
        """Seconds of a step, by one whose gradient is thrown away, and of a validation."""
        batch, replayed = next(self._batches())
        times = []
        for _ in range(2):  # the first one also warms up
            started = time.monotonic()
            self._objective.backward([*batch, *replayed], self._loss)
            times.append(time.monotonic() - started)
        self._optimiser.zero_grad()
        started = time.monotonic()
        self._objective.evaluate(self._objective.validation, self._late_loss)
        return times[-1], time.monotonic() - started

    def _begin(self) -> State:
        """Take up the checkpoint, or validate the potential as it came."""
        restored = self._checkpoint.load(self._parameters, self._optimiser)
        if restored is not None:
            self._state = restored
            return restored
        self._state.average = [parameter.detach().clone() for parameter in self._parameters]
        self._validate(None)
        self._checkpoint.save(self._state, self._parameters, self._optimiser, now=True)
        return self._state

    def _epoch(self) -> float:
        """One pass over the training frames; the mean loss of its steps.

        Raises:
            Diverged: the loss or a gradient is not finite, or the loss is many times the lowest so far.
        """
        losses = [self._step(batch, replayed) for batch, replayed in self._batches()]
        loss = float(np.mean(losses))
        if loss > DIVERGED * self._state.lowest_train_loss:
            raise Diverged(f"the loss of epoch {self._state.epoch + 1} rose to {loss:.3g}")
        return loss

    def _step(self, batch: Sequence[Sample], replayed: Sequence[Sample]) -> float:
        state, settings = self._state, self._settings
        self._optimiser.zero_grad()
        share = self._replay_share if replayed else 0.0
        weights = self._loss if state.epoch < self._late_from else self._late_loss
        loss = (1 - share) * self._objective.backward(batch, weights, 1 - share)
        if replayed:
            loss += share * self._objective.backward(replayed, weights, share)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, settings.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(f"the loss of epoch {state.epoch + 1} was {loss} with a gradient of {norm}")
        rate = self._rate(state.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self._adaptation.pull(rate)
        state.step += 1
        # at first the average follows faster, so that it does not remember the start
        decay = min(settings.ema, state.step / (10 + state.step))
        with torch.no_grad():
            torch._foreach_lerp_(state.average, [p.detach() for p in self._parameters], 1 - decay)
        return loss

    def _batches(self) -> Iterator[tuple[Sequence[Sample], Sequence[Sample]]]:
        """Batches of one epoch, in an order that the seed and the number of the epoch decide, with replayed samples."""
        source = np.random.default_rng([self._seed, self._state.epoch, len(self._state.rollbacks)])
        train, replay, share = self._objective.train, self._objective.replay, self._replay_share
        order = source.permutation(len(train))
        for places in np.array_split(order, self.length.steps_per_epoch):
            n_replayed = min(len(replay), max(1, round(share / (1 - share) * len(places)))) if share else 0
            replayed = source.permutation(len(replay))[:n_replayed]
            yield [train[k] for k in places], [replay[k] for k in replayed]

    def _rate(self, step: int) -> float:
        """The learning rate of a step."""
        highest = self._settings.learning_rate * self._state.rate_factor
        if self._settings.schedule == "constant":
            return highest
        done = step / self.length.steps
        if done < WARM_UP:
            return highest * (step + 1) / (WARM_UP * self.length.steps + 1)
        fall = 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))
        return highest * (FINAL_RATE + (1 - FINAL_RATE) * fall)

    def _validate(self, train_loss: float | None) -> None:
        """Validate the averaged weights, keep them if they are the best so far, and add the epoch's row."""
        state, started = self._state, time.monotonic()
        loss, errors = self._errors_of_average()
        best = loss is None or (math.isfinite(loss) and loss < state.best_loss)
        if best:
            state.best_epoch = state.epoch
            state.best_loss = math.inf if loss is None else loss
            state.best = [tensor.clone() for tensor in state.average]
        state.seconds += time.monotonic() - started
        state.rows.append(
            {
                "epoch": state.epoch,
                "step": state.step,
                "learning_rate": self._rate(max(state.step - 1, 0)),
                "train_loss": train_loss,
                "validation_loss": loss,
                "validation_energy_mae_meV_per_atom": errors and errors.energy_mae_meV_per_atom,
                "validation_force_mae_meV_per_A": errors and errors.force_mae_meV_per_A,
                "validation_stress_mae_GPa": errors and errors.stress_mae_GPa,
                "seconds": round(state.seconds, 3),
                "event": "best" if best and errors else "",
            }
        )

    def _errors_of_average(self) -> tuple[float | None, Errors | None]:
        """The loss and the errors of the averaged weights on the frames that validate; None where there are none."""
        if not self._objective.validation:
            return None, None
        current = [parameter.detach().clone() for parameter in self._parameters]
        self._put(self._state.average)
        loss, results = self._objective.evaluate(self._objective.validation, self._late_loss)
        self._put(current)
        return loss, Errors.of(self._objective.material.validation, results)

    def _reason_to_stop(self) -> str:
        state = self._state
        if state.epoch >= self.length.epochs:
            return f"all {self.length.epochs} epochs are done"
        if state.epoch - state.best_epoch >= self._settings.patience:
            return f"{self._settings.patience} epochs brought nothing better than epoch {state.best_epoch}"
        return ""

    def _roll_back(self, reason: str) -> None:
        """Go back to the best weights with a lower rate, and say so; give up when that does not help."""
        state = self._state
        state.rate_factor *= SLOWER
        rate = self._settings.learning_rate * state.rate_factor
        state.rollbacks.append(f"{reason}; back to epoch {state.best_epoch} with the learning rate {rate:.2g}")
        state.rows.append(
            {"epoch": state.epoch + 1, "step": state.step, "event": f"rolled back: {state.rollbacks[-1]}"}
        )
        state.step = state.epoch * self.length.steps_per_epoch
        self._put(state.best)
        state.average = [tensor.clone() for tensor in state.best]
        self._optimiser = self._adaptation.optimiser(self._settings.kind)
        if len(state.rollbacks) > MAX_ROLLBACKS:
            state.stopped = f"training diverged {len(state.rollbacks)} times"

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        """Make these the values of the parameters."""
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.copy_(value)
