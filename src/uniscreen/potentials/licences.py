"""Licences that restrict use: shown, and accepted once before the weights are fetched or loaded."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from uniscreen.durable import making, write_json
from uniscreen.errors import InputError, LicenceError


class Licensed(Protocol):
    """What has a licence: a model card, or a kind of dedicated model whose package has one."""

    @property
    def name(self) -> str:
        """What the acceptance is recorded under."""

    @property
    def licence(self) -> str:
        """Its name."""

    @property
    def licence_url(self) -> str:
        """Where its text is."""

    @property
    def restricted_use(self) -> str:
        """What it restricts the use to, empty if nothing."""


def terms(card: Licensed) -> str:
    """What the licence of a model restricts, and where to read it, in a sentence."""
    return f"{card.name} is under the {card.licence}, which allows {card.restricted_use} only: {card.licence_url}"


def is_accepted(card: Licensed) -> bool:
    """Whether the licence restricts nothing, or has been accepted for this model as it stands on the card."""
    if not card.restricted_use:
        return True
    accepted = _accepted().get(card.name)
    return isinstance(accepted, dict) and accepted.get("licence") == card.licence


def require_accepted(card: Licensed, command: str = "models fetch") -> None:
    """Raise LicenceError, which shows the terms and the command to accept them with, unless they are accepted."""
    if not is_accepted(card):
        raise LicenceError(
            f"{terms(card)}. Read it and accept it once: uniscreen {command} {card.name} --accept-licence"
        )


def accept(card: Licensed) -> None:
    """Record that the user accepts the licence of a model: its name, the licence and the time (UTC)."""
    place = acceptances_file()
    entry = {"licence": card.licence, "accepted": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        with making(place):
            write_json(place, _accepted() | {card.name: entry})
    except OSError as error:
        raise InputError(f"{place}, which records accepted licences, cannot be written: {error}.") from error


def acceptances_file() -> Path:
    """Where accepted licences are recorded, in the user's configuration."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "uniscreen" / "accepted-licences.json"


def _accepted() -> dict[str, object]:
    try:
        found = json.loads(acceptances_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{acceptances_file()}, which records accepted licences, cannot be read: {error}.") from error
    return found if isinstance(found, dict) else {}
