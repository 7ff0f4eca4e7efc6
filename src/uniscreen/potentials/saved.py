"""A potential as a folder: ``weights.safetensors`` and ``model.json``. Reading it runs no code of the folder's.

``model.json`` holds the model card, the name of the card that the weights were trained from, the architecture of the
network and the checksum of the weights. It is written last, so that a folder whose writing was cut short has none, or
one that its weights do not match.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from uniscreen.durable import write_atomically, write_json
from uniscreen.errors import InputError
from uniscreen.potentials.cards import ModelCard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from torch import Tensor
    from torch.nn import Module

    from uniscreen.potentials.trainable import TrainablePotential

DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
FORMAT = "uniscreen potential"
VERSION = 1

NETWORK = "network."
"""What the names of the network's tensors start with in the weights file."""

REFERENCES = "reference_energies"
"""The name of the tensor (119,) of reference energies in eV, by atomic number."""


@dataclass(frozen=True)
class SavedPotential:
    """What a folder holds: the card, the architecture of the network, and the tensors by name."""

    folder: Path
    card: ModelCard
    architecture: Mapping[str, Any]
    tensors: dict[str, Tensor]


def is_saved(path: Path) -> bool:
    """Whether the path is a folder that ``write`` made."""
    try:
        _description(path)
    except InputError:
        return False
    return True


def write(
    folder: Path, card: ModelCard, dtype: torch.dtype, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write the folder, in place of what it held before.

    The card that is written is that of the new weights: it has the folder's name, and knows what it was trained from.
    """
    import safetensors.torch
    import torch

    content = safetensors.torch.save({name: _plain(value) for name, value in tensors.items()})
    written = replace(
        card,
        name=folder.name,
        aliases=(),
        base=card.base or card.name,
        weights=str(folder),
        weights_file=WEIGHTS,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        dtype="float64" if dtype == torch.float64 else "float32",
    )
    write_atomically(folder / WEIGHTS, content)
    _write_description(folder, written, architecture)


def write_committee(folder: Path, card: ModelCard, members: Sequence[str]) -> None:
    """Write the description of a folder that holds several saved potentials in folders of their own, given by name."""
    written = replace(card, name=folder.name, aliases=(), weights=str(folder))
    _write_description(folder, written, {"members": list(members)})


def read_card(folder: Path) -> ModelCard:
    """The model card of a folder, under the name and place that the folder has now.

    Raises:
        InputError: the folder holds no potential that this version can read.
    """
    fields = dict(_description(folder)["card"])
    try:
        sets = {
            "elements": frozenset(fields["elements"]),
            "tuned_elements": frozenset(fields.get("tuned_elements", ())),
            "species": tuple(fields.get("species", ())),
            "reference_shifts": tuple(fields.get("reference_shifts", {}).items()),
        }
        card = ModelCard(**fields | sets | {"aliases": ()})
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / DESCRIPTION} holds no complete model card: {error}") from error
    return replace(card, name=folder.resolve().name, weights=str(folder))


def read(folder: Path) -> SavedPotential:
    """Everything that a folder holds, once its checksum is found right.

    Raises:
        InputError: the folder holds no potential that this version can read, or other weights than it describes.
    """
    import safetensors.torch

    card = read_card(folder)
    path = folder / WEIGHTS
    content = path.read_bytes() if path.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        found = f"has sha256 {digest}" if path.is_file() else "is missing"
        raise InputError(
            f"{path} {found}, expected {card.sha256} as {DESCRIPTION} says: the folder was changed, or copied or "
            "written only in part. Copy the whole folder again, or train again."
        )
    tensors = safetensors.torch.load(content)
    if REFERENCES not in tensors:
        raise InputError(f"{path} holds no {REFERENCES}, which every saved potential has.")
    return SavedPotential(folder, card, _description(folder)["architecture"], tensors)


def restore(kind: type[TrainablePotential], content: SavedPotential, dtype: torch.dtype) -> Module:
    """The network of a saved potential in the given precision, from the tensors that are left in its content.

    Raises:
        InputError: the architecture cannot be built, or the weights do not fit it.
    """
    state = {name.removeprefix(NETWORK): value for name, value in content.tensors.items()}
    try:
        model = kind.build(content.architecture).to(dtype=dtype)  # first, as loading rounds to what is there
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{content.folder / DESCRIPTION} does not describe a {content.card.architecture} that its weights fit: "
            f"{type(error).__name__}: {error}"
        ) from error
    return model


def _write_description(folder: Path, card: ModelCard, architecture: Mapping[str, Any]) -> None:
    description = {"format": FORMAT, "version": VERSION, "card": card.as_dict(), "architecture": architecture}
    write_json(folder / DESCRIPTION, description)


def read_members(folder: Path) -> list[Path]:
    """The folders of a committee's members."""
    return [folder / name for name in _description(folder)["architecture"]["members"]]


def _description(folder: Path) -> dict[str, Any]:
    """The content of model.json, known to be of this format."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        kind, version = description["format"], description["version"]
        missing = [key for key in ("card", "architecture") if not isinstance(description.get(key), dict)]
    except FileNotFoundError:
        raise InputError(f"{folder} holds no {DESCRIPTION}, so it is no saved potential.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not describe a saved potential: {type(error).__name__}: {error}") from error
    if kind != FORMAT or version != VERSION:
        raise InputError(f"{path} is of format {kind!r}, version {version!r}; expected {FORMAT!r}, version {VERSION}.")
    if missing:
        raise InputError(f"{path} has no {' and no '.join(missing)}, which every saved potential has.")
    return dict(description)


def _plain(tensor: Tensor) -> Tensor:
    """A tensor that shares its memory with no other, as the format asks."""
    return tensor.detach().cpu().clone().contiguous()
