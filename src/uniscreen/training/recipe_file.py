"""A recipe from its file and the settings that are given beside it, and in words what is wrong with them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from uniscreen.errors import InputError
from uniscreen.training.recipe import Recipe
from uniscreen.training.yaml_file import innermost, read_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def read_recipe(path: Path, overrides: Sequence[str] = (), **data: Path | None) -> Recipe:
    """Read a recipe; ``overrides`` are ``key=value`` with keys such as ``optimiser.epochs`` and values in YAML.

    ``data`` stands in for the files of its section: ``train``, ``validation``, ``test``. Paths are taken from the
    working directory.

    Raises:
        InputError: the file cannot be read, a key is unknown, or a value is wrong; each is named.
    """
    values = read_mapping(path, Recipe.model_fields)
    for override in overrides:
        _put(values, override)
    section = values.setdefault("data", {})
    if isinstance(section, dict):
        section |= {name: str(file) for name, file in data.items() if file is not None}
    return checked(values, f"{path}, with {' '.join(overrides)}" if overrides else str(path))


def checked(values: dict[str, Any], source: str) -> Recipe:
    """The recipe that some values make.

    Raises:
        InputError: a key is unknown, or a value is wrong; each is named.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(map(_problem, innermost(error))))
        raise InputError(f"{source}: {problems}{'' if problems.endswith('?') else '.'}") from None


def _problem(problem: dict[str, Any]) -> str:
    """One thing that is wrong: where, what was given, what was expected."""
    place = [str(part) for part in problem["loc"]]
    kind = ""
    if place[:1] == ["strategy"]:
        kind = "".join(place[1:2])  # pydantic names it there
        del place[1:2]
    if place[:1] == ["reference_energies"]:
        return "reference_energies: expected refit, keep or {isolated_atoms: FILE}"
    where = ".".join(place) or "recipe"
    if problem["type"] == "extra_forbidden" and where in _keys():
        return (
            f"{where} is no key of kind: {kind}. Give strategy={{kind: ..., {place[-1]}: ...}} with a kind that has it"
        )
    if problem["type"] == "extra_forbidden":
        close = _close_keys(where)
        hint = f"Did you mean {close[0]}?" if close else f"Expected one of {_siblings(place)}"
        return f"{where} is no key of a recipe. {hint}"
    if problem["type"].startswith("union_tag"):
        return f"{where}: expected kind: full, blocks, lora, delta or scratch, with the keys that it has"
    given = problem["input"]
    if problem["type"] in {"model_type", "model_attributes_type"} and place:
        keys = _siblings([*place, ""])
        return f"{where} is a section. Give one of its keys: {keys} (given: {given})"
    shown = "" if isinstance(given, (dict, list, BaseModel)) else f" (given: {given})"
    return f"{where}: {str(problem['msg']).removeprefix('Value error, ')}{shown}"


def _close_keys(where: str) -> list[str]:
    """The keys of a recipe that were probably meant: those of the same name elsewhere, then similar ones."""
    section, _, name = where.rpartition(".")
    keys = {key: key.rpartition(".") for key in _keys()}
    elsewhere = [key for key, (_, _, known) in keys.items() if known == name]
    beside = {known: key for key, (other, _, known) in keys.items() if other == section or not section}
    return elsewhere or [beside[known] for known in difflib.get_close_matches(name, beside, n=1, cutoff=0.75)]


def _siblings(place: Sequence[str]) -> str:
    """The keys of the section that a key was put into."""
    section = ".".join(place[:-1])
    return ", ".join(dict.fromkeys(key for key in _keys() if key.rpartition(".")[0] == section))


def _keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Every key of a recipe, with dots."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for kind in _sections(field.annotation):
            yield from _keys(kind, f"{prefix}{name}.")


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _sections(part)


def _put(values: dict[str, Any], override: str) -> None:
    """Set one value by its key with dots."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"{override!r} is no setting; expected key=value, e.g. optimiser.epochs=50.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{override!r}: the value is not YAML: {' '.join(str(error).split())}") from None
    section = values
    for part in parts[:-1]:
        inner = section.get(part)
        section[part] = dict(inner) if isinstance(inner, dict) else {}
        section = section[part]
    section[parts[-1]] = value
