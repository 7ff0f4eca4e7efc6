"""Where a model's weights are on this machine; verified before they are used, never fetched without being asked."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from uniscreen.durable import sha256_of
from uniscreen.errors import InputError, MissingPackageError
from uniscreen.machine import user_cache
from uniscreen.potentials.isolated.environments import environment_of
from uniscreen.potentials.receipts import Receipt

if TYPE_CHECKING:
    from uniscreen.potentials.cards import ModelCard

FOLDER_VARIABLE = "UNISCREEN_WEIGHTS"
"""Environment variable: a folder that holds weights under the names of their model cards."""


def locate(card: ModelCard, *, check: bool = True) -> Path:
    """The file or folder with the weights of a model.

    Weights named ``package:PACKAGE/PATH`` come with that package, and those named ``environment:PACKAGE/PATH`` with one
    in the environment of their isolated backend; others are looked for under their card's name in the folder named by
    the environment variable UNISCREEN_WEIGHTS and in uniscreen's cache. Without ``check`` nothing is read, so that
    a list of models does not take the time to read them all.

    Raises:
        MissingPackageError: the package is not installed.
        InputError: the weights are not there, or not those of the card.
    """
    kind, _, where = card.weights.partition(":")
    if kind == "environment":
        path = _in_environment(card, where)
    else:
        path = _in_package(card, where) if kind == "package" else _in_folders(card)
    if check:
        verify(as_fetched(card, path), path / card.weights_file)
    return path


def verify(card: ModelCard, path: Path) -> None:
    """Raise InputError unless the file has the card's checksum; a card without one leaves it to its adapter."""
    if not path.is_file():
        raise InputError(f"The weights of {card.name} are expected in {path}, which is not a file.")
    if not card.sha256:
        return
    digest = sha256_of(path)
    if digest != card.sha256:
        raise InputError(
            f"The weights of {card.name} in {path} have sha256 {digest}, expected {card.sha256}. "
            "Get them again; for weights that come with a package, reinstall it."
        )


def as_fetched(card: ModelCard, path: Path) -> ModelCard:
    """The card with the size and checksum that were recorded when uniscreen fetched the file, if it has none itself.

    Only in uniscreen's own cache: elsewhere, whoever can put a file there can also put a record beside it.
    """
    if card.sha256 or path.parent != cache_folder():
        return card
    receipt = Receipt.of(path)
    if receipt is None or receipt.url != card.weights:
        return card
    return replace(card, size_bytes=receipt.size_bytes, sha256=receipt.sha256)


def cache_folder() -> Path:
    """Where fetched weights are kept."""
    return user_cache() / "weights"


def folders() -> list[Path]:
    """The folders in which weights are looked for, in this order."""
    named = os.environ.get(FOLDER_VARIABLE)  # an empty one is none, not the working directory
    return [*([Path(named)] if named else []), cache_folder()]


def places(path: Path) -> str:
    """Where weights that belong at a path in the cache are looked for, in words."""
    return f"at {path}, or as {path.relative_to(cache_folder())} in a folder that {FOLDER_VARIABLE} names"


def _in_package(card: ModelCard, where: str) -> Path:
    package, _, path = where.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingPackageError(f"{card.name} needs the package {package}. Install it: pip install {package}")
    return Path(spec.origin).parent / path


def _in_environment(card: ModelCard, where: str) -> Path:
    environment = environment_of(card.architecture)
    if not environment.installed:
        raise InputError(
            f"The weights of {card.name} are not on this machine: they come with its environment. Make it: "
            f"uniscreen models fetch {card.name}."
        )
    return environment.site_packages / where


def _in_folders(card: ModelCard) -> Path:
    for folder in folders():
        if (folder / card.name).exists():
            return folder / card.name
    get = f"Get them: uniscreen models fetch {card.name}. Or get" if card.is_fetchable else "Get"
    raise InputError(
        f"The weights of {card.name} are not on this machine. {get} them from {card.weights} and put them "
        f"{places(cache_folder() / card.name)}."
    )
