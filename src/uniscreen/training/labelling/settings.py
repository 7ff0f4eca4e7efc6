"""What decides the labels: the calculator and its parameters, from a YAML file."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uniscreen.errors import InputError
from uniscreen.training.yaml_file import read_mapping

if TYPE_CHECKING:
    from pathlib import Path


class LabelSettings(BaseModel):
    """A calculator, its parameters, and environment variables for its processes.

    ``calculator`` is a name that ASE knows (``gpaw``, ``emt``) or ``module:factory``, which is called with
    ``parameters`` for each structure anew.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    calculator: str = Field(min_length=1)
    parameters: dict[str, Any] = {}
    environment: dict[str, str] = {}

    def sha256(self) -> str:
        """A digest of the settings that does not depend on how the file is laid out."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def read_label_settings(path: Path | None, calculator: str | None = None) -> LabelSettings:
    """Read settings from YAML; ``calculator`` stands in for one that the file does not name.

    Raises:
        InputError: the file cannot be read, a key is unknown, or no calculator or two are named.
    """
    values = {} if path is None else read_mapping(path, LabelSettings.model_fields)
    if calculator is not None and values.setdefault("calculator", calculator) != calculator:
        raise InputError(f"--calculator is {calculator}, but {path} names {values['calculator']}. Give one of them.")
    try:
        settings = LabelSettings.model_validate(values)
        json.dumps(settings.parameters, allow_nan=False)
    except ValidationError as error:
        problems = "; ".join(
            "no calculator is named, with --calculator NAME (gpaw, for example) or in a file of --settings"
            if problem["type"] == "missing"
            else f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors()
        )
        raise InputError(
            f"{path or 'settings'}: {problems}. Known keys: {', '.join(LabelSettings.model_fields)}."
        ) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: parameters must be plain finite values: {error}.") from None
    return settings
