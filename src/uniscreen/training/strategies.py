"""What of a potential is trained, and how it is held back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from uniscreen.errors import InputError
from uniscreen.training import lora
from uniscreen.training.recipe import Blocks, Delta, LoRA

if TYPE_CHECKING:
    from torch.nn import Parameter

    from uniscreen.potentials.trainable import TrainablePotential
    from uniscreen.training.recipe import Strategy


class Adaptation:
    """The parameters of a potential that a strategy trains; the others are frozen."""

    def __init__(self, potential: TrainablePotential, strategy: Strategy, seed: int) -> None:
        """Choose the parameters; low-rank additions are put in, by the seed.

        Raises:
            InputError: there is nothing to train.
        """
        self._potential = potential
        self._merges = isinstance(strategy, LoRA)
        self._decay = strategy.decay if isinstance(strategy, Delta) else 0.0
        self.parameters = _chosen(potential, strategy, seed)
        self._pretrained = [parameter.detach().clone() for parameter in self.parameters] if self._decay else []

    @property
    def count(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters)

    @torch.no_grad()
    def pull(self, learning_rate: float) -> None:
        """After a step: move the parameters toward their pretrained values, where the strategy says so.

        It is weight decay as AdamW has it (Loshchilov and Hutter, ICLR 2019), toward the pretrained values instead of
        toward 0.
        """
        if self._decay:
            torch._foreach_lerp_([*self.parameters], self._pretrained, min(1.0, learning_rate * self._decay))

    def finish(self) -> None:
        """Make the potential one like any other: low-rank additions become part of the weights."""
        if self._merges:
            lora.merge(self._potential)
        self._potential.model.requires_grad_(True)


def _chosen(potential: TrainablePotential, strategy: Strategy, seed: int) -> list[Parameter]:
    potential.model.requires_grad_(False)
    if isinstance(strategy, LoRA):
        return lora.attach(potential, strategy.rank, strategy.alpha, seed)
    by_block = potential.parameter_blocks()
    blocks = strategy.blocks if isinstance(strategy, Blocks) else tuple(by_block)
    parameters = [parameter for block in blocks for _, parameter in by_block[block]]
    if not parameters:
        counts = ", ".join(f"{block} {len(found)}" for block, found in by_block.items())
        raise InputError(
            f"{potential.card.name} has no parameters in {', '.join(blocks)}; parameters by block: {counts}."
        )
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters
