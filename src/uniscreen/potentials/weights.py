"""Where a model's weights are on this machine; verified before they are used, never fetched without being asked."""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from uniscreen.errors import InputError, MissingPackageError

if TYPE_CHECKING:
    from uniscreen.potentials.cards import ModelCard

FOLDER_VARIABLE = "UNISCREEN_WEIGHTS"
"""Environment variable: a folder that holds weights under the names of their model cards."""


def locate(card: ModelCard) -> Path:
    """The file or folder with the weights of a model.

    Weights named ``package:PACKAGE/PATH`` come with that package; others are looked for under their card's name in the
    folder named by the environment variable UNISCREEN_WEIGHTS and in uniscreen's cache.

    Raises:
        MissingPackageError: the package is not installed.
        InputError: the weights are not there, or not those of the card.
    """
    kind, _, where = card.weights.partition(":")
    path = _in_package(card, where) if kind == "package" else _in_folders(card)
    verify(card, path / card.weights_file)
    return path


def verify(card: ModelCard, path: Path) -> None:
    """Raise InputError unless the file has the card's checksum; a card without one leaves it to its adapter."""
    if not path.is_file():
        raise InputError(f"The weights of {card.name} are expected in {path}, which is not a file.")
    if not card.sha256:
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != card.sha256:
        raise InputError(
            f"The weights of {card.name} in {path} have sha256 {digest}, expected {card.sha256}. "
            "Get them again; for weights that come with a package, reinstall it."
        )


def cache_folder() -> Path:
    """Where fetched weights are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "uniscreen" / "weights"


def _in_package(card: ModelCard, where: str) -> Path:
    package, _, path = where.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingPackageError(f"{card.name} needs the package {package}. Install it: pip install {package}")
    return Path(spec.origin).parent / path


def _in_folders(card: ModelCard) -> Path:
    folders = [Path(os.environ[FOLDER_VARIABLE])] if FOLDER_VARIABLE in os.environ else []
    folders.append(cache_folder())
    for folder in folders:
        if (folder / card.name).exists():
            return folder / card.name
    raise InputError(
        f"The weights of {card.name} are not on this machine. Get them from {card.weights} and put them at "
        f"{cache_folder() / card.name}, or name a folder that holds {card.name} in {FOLDER_VARIABLE}."
    )
