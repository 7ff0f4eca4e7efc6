"""From a model's name to a potential."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from uniscreen.errors import InputError, MissingPackageError
from uniscreen.potentials.cards import find_card
from uniscreen.potentials.weights import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uniscreen.potentials.base import Potential
    from uniscreen.potentials.cards import Functional, ModelCard

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "float64"]


class Backend(NamedTuple):
    """Where an architecture's adapter is, and the package that it needs: its name to import and to install."""

    module: str
    potential: str
    imports: str
    package: str


BACKENDS = {
    "CHGNet": Backend("uniscreen.potentials.chgnet", "CHGNetPotential", "chgnet", "chgnet"),
    "M3GNet": Backend("uniscreen.potentials.m3gnet", "M3GNetPotential", "matgl", "matgl"),
    "MACE": Backend("uniscreen.potentials.mace", "MACEPotential", "mace", "mace-torch"),
}


def load_potential(
    name: str,
    *,
    device: Device = "auto",
    dtype: Precision | None = None,
    head: str = "",
    trust_model_file: bool = False,
) -> Potential:
    """Load a potential by the name of its model card, or from a MACE ``.model`` file.

    Args:
        name: a model card's name or alias, e.g. ``chgnet-0.3.0``, or the path of a ``.model`` file.
        device: ``auto`` takes CUDA where there is one.
        dtype: the model's own precision unless given.
        head: which output to use of a model that has several.
        trust_model_file: run the code in a pickled model whose checksum no card has.

    Raises:
        UnknownModelError: no such model card.
        MissingPackageError: the model's package is not installed.
        InputError: CUDA asked for where there is none, the weights are missing, not those of the card or not trusted,
            or the model has several heads and none is named.
    """
    card, weights = resolve_model(name, head=head, trust_model_file=trust_model_file)
    backend = BACKENDS[card.architecture]

    import torch

    with _naming_the_package(backend, card.name):
        potential = getattr(import_module(backend.module), backend.potential)
        return potential(card, weights, torch.device(resolve_device(device)), getattr(torch, dtype or card.dtype))


def resolve_model(
    name: str, *, head: str = "", trust_model_file: bool = False, functional: Functional | None = None
) -> tuple[ModelCard, Path]:
    """The card of a model and where its weights are; arguments and errors as for ``load_potential``.

    ``functional`` is that of the training labels of a model file, which does not tell.

    Raises:
        InputError: ``functional`` contradicts the card.
    """
    if Path(name).suffix == ".model":
        card, weights = _model_file(Path(name), trust=trust_model_file)
    else:
        card = find_card(name)
        weights = locate(card)
        if trust_model_file and not card.sha256:
            card = replace(card, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    if functional is not None:
        if card.functional not in ("unknown", functional):
            raise InputError(f"{card.name} was trained on {card.functional}, not on {functional} as --functional says.")
        card = replace(card, functional=functional)
    return (replace(card, head=head) if head else card), weights


def _model_file(path: Path, *, trust: bool) -> tuple[ModelCard, Path]:
    """The card that a ``.model`` file gives itself, and the file."""
    if not path.is_file():
        raise InputError(f"There is no model file {path}.")
    with _naming_the_package(BACKENDS["MACE"], path.name):
        from uniscreen.potentials.mace import model_file_card

        return model_file_card(path, trust=trust), path


@contextmanager
def _naming_the_package(backend: Backend, name: str) -> Iterator[None]:
    """Say what to install where the backend's package is missing; a broken installation stays visible."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != backend.imports:
            raise
        raise MissingPackageError(
            f"{name} needs the package {backend.package}. Install it: pip install {backend.package}"
        ) from None


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """The device that is meant: ``auto`` is CUDA where there is one."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda was asked for, but torch sees no CUDA device. Use --device cpu.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "cuda"
