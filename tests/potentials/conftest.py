"""Every model card's potential, in its own precision and in double, and the chgnet package's own model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from uniscreen.potentials import model_cards

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Potential


@pytest.fixture(scope="session", params=list(model_cards()))
def model_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def potential(model_name: str, loaded: Callable[..., Potential]) -> Potential:
    return loaded(model_name)


@pytest.fixture(scope="session")
def potential64(model_name: str, loaded: Callable[..., Potential]) -> Potential:
    return loaded(model_name, "float64")


@pytest.fixture(scope="session")
def upstream(model_name: str) -> Any:
    """The model as the chgnet package loads it."""
    from chgnet.model import CHGNet

    return CHGNet.load(model_name=model_name.removeprefix("chgnet-"), use_device="cpu", verbose=False)
