"""Every model card's potential, in its own precision and in double, and the chgnet package's own model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from on_this_machine import require_package, require_weights
from uniscreen.potentials import find_card, model_cards
from uniscreen.potentials.loading import BACKENDS, own_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials import ModelCard
    from uniscreen.potentials.base import Potential


def _parameter(card: ModelCard) -> Any:
    """A card's name as a parameter, marked where the model has an environment of its own."""
    return pytest.param(card.name, marks=[] if own_environment(card) is None else [pytest.mark.isolated])


@pytest.fixture(scope="session", params=[_parameter(card) for card in model_cards().values() if card.sha256])
def model_name(request: pytest.FixtureRequest) -> str:
    """The name of each card with known weights; those whose package or weights are not on this machine are skipped."""
    card = find_card(request.param)
    package, environment = BACKENDS[card.architecture].imports, own_environment(card)
    if environment is not None:
        environment.ensure(card.name)
    else:
        require_package(package)
    require_weights(card.name)
    return card.name


@pytest.fixture(scope="session")
def trainable_name(model_name: str) -> str:
    """The name of each card whose weights can be trained; not so one that runs in an environment of its own."""
    if own_environment(find_card(model_name)) is not None:
        pytest.skip(f"{model_name} runs in an environment of its own, where its weights are out of reach")
    return model_name


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
