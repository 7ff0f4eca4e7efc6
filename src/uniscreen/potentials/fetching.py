"""Weights on request: from their published address into uniscreen's cache, ahead of a run without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uniscreen.durable import making
from uniscreen.errors import DownloadError, InputError
from uniscreen.potentials import hub, licences
from uniscreen.potentials.cards import find_card
from uniscreen.potentials.downloads import Resource, download
from uniscreen.potentials.loading import own_environment
from uniscreen.potentials.receipts import Receipt
from uniscreen.potentials.weights import cache_folder, locate, places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.potentials.downloads import OnProgress


class Fetched(NamedTuple):
    """Weights that are on this machine now, and whether they were before."""

    name: str
    path: Path
    was_there: bool


def fetch_weights(
    name: str,
    *,
    accept_licence: bool = False,
    on_progress: OnProgress = lambda *_: None,
    on_wait: Callable[[], None] = lambda: None,
) -> Fetched:
    """Fetch the weights of a model, unless they are there.

    Args:
        name: a model card's name or alias, or ``matgl:NAME[@REVISION]`` of the Hugging Face hub.
        accept_licence: accept a licence that restricts the use of the weights.
        on_progress: told the bytes of a file that are there, and how many there will be if that is known.
        on_wait: called once if another process is fetching the same weights, which is then waited for.

    Raises:
        UnknownModelError: no such model.
        LicenceError: the licence restricts use, and has not been accepted.
        DownloadError: the weights cannot be had, or are not what was expected.
        BackendUnavailableError: the environment that they come with cannot be made.
    """
    if name.startswith(hub.SCHEME):
        return Fetched(name, *hub.fetch_snapshot(name, on_progress=on_progress, on_wait=on_wait))
    card = find_card(name)
    if accept_licence and not licences.is_accepted(card):
        licences.accept(card)
    licences.require_accepted(card)
    environment = own_environment(card)
    if environment is not None:
        was_there = environment.installed
        environment.ensure(card.name)
        return Fetched(card.name, locate(card), was_there)
    try:
        return Fetched(card.name, locate(card), was_there=True)
    except InputError:
        if not card.is_fetchable:
            raise
    target = cache_folder() / card.name
    try:
        with making(target, on_wait):
            fresh = _fetch(card, target, on_progress)
    except DownloadError as error:
        raise DownloadError(
            f"{error} Or get the weights of {card.name} elsewhere and put them {places(target)}."
        ) from error
    except OSError as error:
        raise DownloadError(f"{target.parent} cannot be written: {error}.") from error
    return Fetched(card.name, target, was_there=not fresh)


def _fetch(card: ModelCard, target: Path, on_progress: OnProgress) -> bool:
    """Fetch a card's weights while holding their lock; False if another process has meanwhile."""
    try:
        locate(card)
    except InputError:
        pass
    else:
        return False
    receipt = Receipt.of(target)
    known = receipt if receipt is not None and receipt.url == card.weights else None
    resource = Resource(
        card.weights,
        card.size_bytes or (known.size_bytes if known else 0),
        card.sha256 or (known.sha256 if known else ""),
    )
    # The receipt comes first: a file without one would be taken for one that was put there by hand.
    download(
        resource,
        target,
        before_naming=lambda received: Receipt.now(card.weights, *received).write(target),
        on_progress=on_progress,
    )
    return True
