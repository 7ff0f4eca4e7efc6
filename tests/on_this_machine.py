"""Models that tests can do without."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from uniscreen.errors import InputError
from uniscreen.potentials import find_card
from uniscreen.potentials.weights import locate


def require_package(name: str) -> None:
    """Skip the test where a package is not installed."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


def require_weights(model: str) -> None:
    """Skip the test where a model's weights are not there; damaged ones are an error."""
    try:
        locate(find_card(model))
    except InputError as error:
        if "not on this machine" not in str(error):
            raise
        pytest.skip(str(error))
