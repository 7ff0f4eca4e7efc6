"""The folder of a trained isolated model: its files as its backend wrote them, and ``model.json``.

``model.json`` is that of every saved potential, with the checksums of all files and the record of the training. It is
written last, so that a folder whose writing was cut short has none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from uniscreen.durable import sha256_of, write_json
from uniscreen.errors import InputError
from uniscreen.potentials.saved import DESCRIPTION, FORMAT, VERSION, is_saved

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from uniscreen.potentials.cards import ModelCard


def write_description(folder: Path, card: ModelCard, training: Mapping[str, Any]) -> None:
    """Describe a folder that holds the files of a model; ``training`` is how it was trained, as JSON."""
    description = {
        "format": FORMAT,
        "version": VERSION,
        "card": card.as_dict(),
        "architecture": training["hyperparameters"],
        "training": training,
        "files": {path.relative_to(folder).as_posix(): sha256_of(path) for path in _files(folder)},
    }
    write_json(folder / DESCRIPTION, description)


def is_trained(path: Path) -> bool:
    """Whether the path is a folder with a description."""
    return path.is_dir() and is_saved(path)


def check_files(folder: Path) -> None:
    """Raise InputError unless the folder has exactly the files that were written, with the checksums that they had."""
    expected = _description(folder).get("files", {})
    found = {path.relative_to(folder).as_posix(): sha256_of(path) for path in _files(folder)}
    wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if wrong:
        raise InputError(
            f"{folder} does not hold the files that {DESCRIPTION} describes: {', '.join(wrong)} is missing, changed or "
            "added. Copy the whole folder again, or train again."
        )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DESCRIPTION)


def _description(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return content
