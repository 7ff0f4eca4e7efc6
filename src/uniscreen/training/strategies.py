"""What of a potential is trained, and how it is held back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from uniscreen.errors import InputError
from uniscreen.training import lora
from uniscreen.training.recipe import Blocks, Delta, LoRA

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer

    from uniscreen.potentials.trainable import TrainablePotential
    from uniscreen.training.recipe import OptimiserKind, Strategy


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
        self._start = [parameter.detach().clone() for parameter in self.parameters]

    @property
    def count(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters)

    def optimiser(self, kind: OptimiserKind) -> Optimizer:
        """A new optimiser of the parameters.

        SOAP mixes the rows of what it preconditions, by rounding errors also those without a gradient: only linear maps
        are, so that elements that no sample has keep their weights, to the bit.
        """
        if kind == "adam":
            return torch.optim.Adam(self.parameters)
        from pytorch_optimizer import SOAP  # slow to import, and needed for nothing else

        modules = self._potential.model.modules()
        tables = {id(module.weight) for module in modules if isinstance(module, torch.nn.Embedding)}
        maps = [one for one in self.parameters if one.dim() == 2 and id(one) not in tables]
        others = [one for one in self.parameters if one.dim() != 2 or id(one) in tables]
        groups: list[dict[str, Any]] = [{"params": maps}, {"params": others, "max_precondition_dim": 0}]
        return SOAP([group for group in groups if group["params"]], weight_decay=0.0)

    @torch.no_grad()
    def pull(self, learning_rate: float) -> None:
        """After a step: move the parameters toward their pretrained values, where the strategy says so.

        It is weight decay as AdamW has it (Loshchilov and Hutter, ICLR 2019), toward the pretrained values instead of
        toward 0.
        """
        if self._decay:
            torch._foreach_lerp_([*self.parameters], self._start, min(1.0, learning_rate * self._decay))

    @torch.no_grad()
    def begin_again(self) -> None:
        """Give the parameters the values that they had before any training."""
        torch._foreach_copy_([*self.parameters], self._start)

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
