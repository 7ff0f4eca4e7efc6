"""What makes a potential right for a system: reference calculations, checked data, splits, training.

>>> from uniscreen.training import finetune, read_recipe
>>> summary = finetune(read_recipe(Path("recipe.yaml")), Path("runs/si"))  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uniscreen.training.finetuning import finetune
    from uniscreen.training.recipe import Recipe
    from uniscreen.training.recipe_file import read_recipe

__all__ = ["Recipe", "finetune", "read_recipe"]

_HOMES = {"Recipe": "recipe", "finetune": "finetuning", "read_recipe": "recipe_file"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"uniscreen.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'uniscreen.training' has no attribute {name!r}")
