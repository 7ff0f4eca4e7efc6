"""Import the modules of backends that need nothing but NumPy."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from uniscreen.potentials.isolated.environments import BACKENDS

if TYPE_CHECKING:
    from types import ModuleType


def backend_module(name: str) -> ModuleType:
    """The module of that name, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, BACKENDS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
