"""What was fetched, from where and when: a small JSON file beside it, by which it is checked ever after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from uniscreen.durable import write_json
from uniscreen.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Receipt:
    """One file: its address, size, checksum and the time (UTC, ISO 8601) at which it was fetched."""

    url: str
    size_bytes: int
    sha256: str
    fetched: str

    @classmethod
    def now(cls, url: str, size_bytes: int, sha256: str) -> Receipt:
        """The receipt of a file that has just been fetched."""
        return cls(url, size_bytes, sha256, datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def of(cls, path: Path) -> Receipt | None:
        """The receipt of a file, if it has one.

        Raises:
            InputError: it cannot be read.
        """
        place = _place(path)
        try:
            return cls(**json.loads(place.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{place} cannot be read: {error}. Remove it and fetch the weights again.") from error

    def write(self, path: Path) -> None:
        """Put the receipt beside the file."""
        write_json(_place(path), asdict(self))


def _place(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
