"""From a model's name to a potential."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

from uniscreen.errors import InputError, MissingPackageError
from uniscreen.potentials.cards import find_card
from uniscreen.potentials.weights import locate

if TYPE_CHECKING:
    from uniscreen.potentials.base import Potential

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "float64"]


class _Backend(NamedTuple):
    """Where an architecture's adapter is, and the package that it needs: its name to import and to install."""

    module: str
    potential: str
    imports: str
    package: str


_BACKENDS = {
    "CHGNet": _Backend("uniscreen.potentials.chgnet", "CHGNetPotential", "chgnet", "chgnet"),
}


def load_potential(name: str, *, device: Device = "auto", dtype: Precision | None = None) -> Potential:
    """Load a potential by the name of its model card.

    Args:
        name: a model card's name or alias, e.g. ``chgnet-0.3.0``.
        device: ``auto`` takes CUDA where there is one.
        dtype: the model's own precision unless given.

    Raises:
        UnknownModelError: no such model card.
        MissingPackageError: the model's package is not installed.
        InputError: CUDA asked for where there is none, or the weights are missing or not those of the card.
    """
    card = find_card(name)
    weights = locate(card)
    backend = _BACKENDS[card.architecture]

    import torch

    try:
        potential = getattr(import_module(backend.module), backend.potential)
        return potential(card, weights, torch.device(resolve_device(device)), getattr(torch, dtype or card.dtype))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != backend.imports:  # a broken installation stays visible
            raise
        raise MissingPackageError(
            f"{card.name} needs the package {backend.package}. Install it: pip install {backend.package}"
        ) from None


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """The device that is meant: ``auto`` is CUDA where there is one."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda was asked for, but torch sees no CUDA device. Use --device cpu.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "cuda"
