"""Settings in YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def read_mapping(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read a file that holds keys and values; ``keys`` are those that an error names as expected.

    Raises:
        InputError: it cannot be opened, is not YAML, or holds something else.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise InputError(f"{path} holds {found}; expected keys {', '.join(keys)}.")
    return values
