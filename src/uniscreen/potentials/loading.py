"""From a model's name to a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from uniscreen.errors import InputError
from uniscreen.potentials.cards import find_card

if TYPE_CHECKING:
    from uniscreen.potentials.base import Potential

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "float64"]


def load_potential(name: str, *, device: Device = "auto", dtype: Precision | None = None) -> Potential:
    """Load a potential by the name of its model card.

    Args:
        name: a model card's name or alias, e.g. ``chgnet-0.3.0``.
        device: ``auto`` takes CUDA where there is one.
        dtype: the model's own precision unless given.

    Raises:
        UnknownModelError: no such model card.
        InputError: CUDA asked for where there is none, or the weights are not those of the card.
    """
    card = find_card(name)

    import torch

    from uniscreen.potentials.chgnet import CHGNetPotential

    return CHGNetPotential(card, torch.device(resolve_device(device)), getattr(torch, dtype or card.dtype))


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """The device that is meant: ``auto`` is CUDA where there is one."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda was asked for, but torch sees no CUDA device. Use --device cpu.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "cuda"
