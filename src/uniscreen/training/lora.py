"""Low-rank adaptation: training W0 + (alpha / rank) B A in place of the weight matrices W0, which stay as they are.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022. The sum takes the place of a module's
``weight`` by a parametrisation of torch, so that the modules, and code that reads their weights, need not know.

What is adapted are the matrices of ``torch.nn.Linear`` and ``torch.nn.Embedding``, and of e3nn's ``FullyConnectedNet``,
``o3.Linear`` and ``o3.FullyConnectedTensorProduct``. The latter two keep one matrix for each path between irreps, all
in one flat tensor; a pair B A for each, which mixes channels alone, keeps them equivariant. Left alone, and frozen, are
biases, the weights of normalisations, frequencies of basis functions, and the contraction weights of MACE's product
basis, which multiply channels one by one.

B (rows, rank) starts at zero, and so does the change. The rows of a matrix that is indexed by element (an embedding, or
a map of MACE's one-hot elements) are elements; those that the data does not have get no gradient, so their B stays
zero and they keep their weights to the bit. Were A zero and B random, they would be moved at random.

A matrix that two factors would not make smaller, as one with no more than ``rank`` rows or columns, is trained in full,
as (alpha / rank) B a with a number a. These are few weights, but the last layers are among them, which set the scale of
the forces: frozen, they would leave the known softness of universal potentials to the others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Parameter, ParameterList
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Generator, Tensor
    from torch.nn import Module

    from uniscreen.potentials.trainable import TrainablePotential

Shape = tuple[int, int]


def attach(potential: TrainablePotential, rank: int, alpha: float | None, seed: int) -> list[Parameter]:
    """Freeze the network and add the factors B and A to it; they are returned, and are all that requires a gradient.

    The potential gives the same numbers until they are trained. ``alpha`` None is ``rank``, a scale of 1. A is drawn
    from ``seed`` alone, in the scale of W0, so that a learning rate changes every layer of every model by about the
    same share. Until ``merge``, the potential can be copied and its ``state_dict`` holds the factors, but it can
    be neither pickled nor saved.

    Raises:
        InputError: the rank is less than 1, alpha is not a positive number, or no layer can be adapted.
    """
    alpha = float(rank) if alpha is None else alpha
    if rank < 1 or not 0 < alpha < math.inf:
        raise InputError(f"LoRA has rank {rank} and alpha {alpha:g}, expected a rank of at least 1 and alpha above 0.")
    assert not list(_adapted(potential)), f"{potential.card.name} is adapted already"
    layers = [(module, shapes) for module in potential.model.modules() if (shapes := _matrices(module))]
    if not layers:
        raise InputError(f"{potential.card.name} has no linear layer that LoRA can adapt. Choose another strategy.")
    potential.model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    added = []
    for module, shapes in layers:
        change = LowRankChange(module.weight, shapes, rank, alpha, generator)
        register_parametrization(module, "weight", change)
        added += [parameter for parameter in change.parameters() if parameter.requires_grad]
    return added


def merge(potential: TrainablePotential) -> None:
    """Make W0 + (alpha / rank) B A the plain weights, as of a potential that was trained without LoRA.

    All weights require a gradient again, as those of a potential that was just loaded.
    """
    for module in list(_adapted(potential)):
        original = module.parametrizations.weight.original
        with torch.no_grad():
            original.copy_(module.weight)
        # torch's remove_parametrizations would take ``weight`` from the class, which copies of the module share.
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
        module.register_parameter("weight", original)
    potential.model.requires_grad_(True)


class LowRankChange(torch.nn.Module):
    """W0 -> W0 + scale * B A for each of the matrices that W0 holds one after the other.

    Of a matrix (m, n), ``b`` holds B (m, rank) and ``a`` holds A (rank, n), or, where it is trained in full, B (m, n)
    and A () that is not trained.
    """

    def __init__(self, weight: Tensor, shapes: list[Shape], rank: int, alpha: float, generator: Generator) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.b, self.a = ParameterList(), ParameterList()
        parts = torch.split(weight.detach().flatten(), [m * n for m, n in shapes])
        for (m, n), part in zip(shapes, parts, strict=True):
            size = float(part.double().square().mean().sqrt()) or 1 / math.sqrt(n)
            low = rank * (m + n) < m * n
            drawn = torch.randn(rank, n, generator=generator, dtype=torch.float64) if low else torch.ones(())
            self.a.append(Parameter(size * drawn.to(weight), requires_grad=low))
            self.b.append(Parameter(weight.new_zeros(m, rank if low else n)))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, of the same shape, that the module uses."""
        changes = [b @ a if a.ndim else b * a for b, a in zip(self.b, self.a, strict=True)]
        change = changes[0] if len(changes) == 1 else torch.cat([part.flatten() for part in changes])
        return torch.add(weight, change.view_as(weight), alpha=self.scale)


def _adapted(potential: TrainablePotential) -> Iterator[Any]:
    """The modules that have a LowRankChange."""
    for module in potential.model.modules():
        if is_parametrized(module, "weight") and isinstance(module.parametrizations.weight[0], LowRankChange):
            yield module


def _matrices(module: Module) -> list[Shape]:
    """The shapes of the matrices that fill a module's ``weight`` one after the other; none where there are no such."""
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(module).__mro__]
    shapes = next((_SHAPES[name](module) for name in names if name in _SHAPES), [])
    if weight is None or not shapes:
        return []
    return shapes if sum(m * n for m, n in shapes) == weight.numel() else []


def _whole(module: Any) -> list[Shape]:
    return [tuple(module.weight.shape)]


def _paths(module: Any) -> list[Shape]:
    """One matrix a path of e3nn's: from the channels of its input, or its two inputs', to those of its output."""
    shapes = [path.path_shape for path in module.instructions if len(path.path_shape) > 1]  # a bias has one dimension
    return [(math.prod(shape[:-1]), shape[-1]) for shape in shapes if math.prod(shape)]


_SHAPES: dict[str, Callable[[Any], list[Shape]]] = {
    "torch.nn.modules.linear.Linear": _whole,
    "torch.nn.modules.sparse.Embedding": _whole,
    "e3nn.nn._fc._Layer": _whole,
    "e3nn.o3._linear.Linear": _paths,
    "e3nn.o3._tensor_product._sub.FullyConnectedTensorProduct": _paths,
}
"""By class name, as e3nn is imported only by the models that need it."""
