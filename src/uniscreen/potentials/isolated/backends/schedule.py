"""When training step by step takes which structures, with which rate, and when it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST_RATE = 0.01
"""Of the first rate."""

CHECKS = 50
"""How often, at most, the validation structures are computed."""


class Schedule:
    """A rate that falls as a half cosine over ``max_steps``, or over the time to ``deadline`` if that is shorter."""

    def __init__(self, p: dict[str, Any], n_batches: int, deadline: float) -> None:
        self.learning_rate = p["learning_rate"]
        self.max_steps = p["max_steps"]
        self.check_every = max(n_batches, self.max_steps // CHECKS)
        self.started = time.monotonic()
        self.seconds = max(deadline - self.started, 1e-3)
        self.n_steps = 0
        self.progress = 0.0

    @property
    def rate(self) -> float:
        """For the next step."""
        return float(self.learning_rate * (LAST_RATE + (1 - LAST_RATE) * (1 + np.cos(np.pi * self.progress)) / 2))

    def step(self) -> bool:
        """Count a step; whether the validation structures are to be computed now, the last time in the end."""
        self.n_steps += 1
        self.progress = min(1.0, max(self.n_steps / self.max_steps, self.elapsed / self.seconds))
        return self.progress == 1 or self.n_steps % self.check_every == 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def report(self, loss: float) -> None:
        """A line for the log."""
        rate = f"rate {self.rate:.2g}"
        print(f"step {self.n_steps} of {self.max_steps}: validation {loss:.6g}, {rate}, {self.elapsed:.0f} s")  # noqa: T201


def batches(n: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Places among n, each once before any of them comes again; without end."""
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(n)
        yield from (order[start : start + size] for start in range(0, n, size))
