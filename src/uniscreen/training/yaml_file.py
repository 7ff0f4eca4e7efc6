"""Settings in YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydantic import ValidationError


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's own loader would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node.

        Raises:
            YAMLError: a key is there twice.
        """
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def innermost(error: ValidationError) -> list[dict[str, Any]]:
    """The problems of some values, but for those of what is wrong by its parts alone, as a list is too short then."""
    problems = error.errors()
    places = [one["loc"] for one in problems]
    outer = {place for place in places for other in places if len(other) > len(place) and other[: len(place)] == place}
    return [dict(one) for one in problems if one["loc"] not in outer]


def read_mapping(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read a file that holds keys and values; ``keys`` are those that an error names as expected.

    Raises:
        InputError: it cannot be opened, is not YAML, or holds something else.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a safe loader
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise InputError(f"{path} holds {found}; expected keys {', '.join(keys)}.")
    return values
