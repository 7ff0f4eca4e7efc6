"""Training that survives being killed: all of its state in one file, replaced as a whole."""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from uniscreen.durable import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Parameter
    from torch.optim import Optimizer

INTERVAL = 10.0
"""Seconds between two checkpoints, at least; an epoch may take less."""


@dataclass
class State:
    """How far training has come; all of it is in a checkpoint. Weights are lists in the order of the parameters."""

    epoch: int = 0
    step: int = 0
    rate_factor: float = 1.0
    lowest_train_loss: float = math.inf
    best_epoch: int = 0
    best_loss: float = math.inf
    best: list[Tensor] = field(default_factory=list)
    average: list[Tensor] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    rollbacks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""


class Checkpoint:
    """The file in which one training keeps its state."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved = 0.0

    def save(self, state: State, parameters: Sequence[Parameter], optimiser: Optimizer, *, now: bool) -> None:
        """Write the state if it is time for it."""
        if not now and time.monotonic() - self._saved < INTERVAL:
            return
        content = io.BytesIO()
        tensors = [parameter.detach() for parameter in parameters]
        torch.save({"state": vars(state), "parameters": tensors, "optimiser": optimiser.state_dict()}, content)
        write_atomically(self.path, content.getvalue())
        self._saved = time.monotonic()

    @torch.no_grad()
    def load(self, parameters: Sequence[Parameter], optimiser: Optimizer) -> State | None:
        """The state that was written last, put into parameters and optimiser; None where there is none."""
        if not self.path.is_file():
            return None
        content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        for parameter, value in zip(parameters, content["parameters"], strict=True):
            parameter.copy_(value)
        optimiser.load_state_dict(content["optimiser"])  # moves what belongs on the device, not its counts of steps
        state = State(**content["state"])
        device = parameters[0].device
        state.best, state.average = ([one.to(device) for one in weights] for weights in (state.best, state.average))
        return state
