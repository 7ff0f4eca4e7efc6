"""The recipes that ship: in the package, or beside it in a checkout."""

from __future__ import annotations

import difflib
from pathlib import Path

from uniscreen.errors import InputError
from uniscreen.structures.labels import holds_labels

_PACKAGE = Path(__file__).parents[1]


def shipped_recipes() -> dict[str, Path]:
    """The recipes by name, in alphabetical order."""
    for folder in (_PACKAGE / "recipes", _PACKAGE.parents[1] / "recipes"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find_recipe(name: Path) -> Path:
    """A recipe's file, by its path or by the name of one that ships.

    Raises:
        InputError: neither is there, or it is the data that is to be trained on.
    """
    shipped = shipped_recipes()
    if name.is_file() and (name.suffix == ".json" or not holds_labels(name)):
        return name
    if str(name) in shipped:
        return shipped[str(name)]
    if name.exists() and holds_labels(name):
        what = "a folder" if name.is_dir() else "labelled structures"
        raise InputError(
            f"{name} is no recipe but {what}. The recipe comes first: uniscreen finetune chgnet-quick --train {name}"
        )
    close = difflib.get_close_matches(name.stem, list(shipped), n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise InputError(f"There is no recipe {name}, and none of that name ships ({', '.join(shipped)}).{hint}")


def purpose(path: Path) -> str:
    """What a recipe is for: the first line of its comment."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
