"""Which version of which database energies were taken from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from uniscreen.errors import InputError

MATERIALS_PROJECT = "Materials Project"


@dataclass(frozen=True)
class DatabaseOrigin:
    """Where a file's entries were taken from, and when.

    ``name`` of the database and its ``version``; ``thermo_type`` is the Materials Project's name of the set of
    energies; ``retrieved`` is the date (ISO 8601, UTC) of the last answer that went into the file.
    """

    name: str
    version: str
    thermo_type: str
    retrieved: str

    @classmethod
    def from_content(cls, content: Any, source: str) -> DatabaseOrigin | None:
        """Take it from the content of a file called ``source``; None where the file does not tell.

        Raises:
            InputError: it is not what it should be.

        """
        found = content.get("database") if isinstance(content, dict) else None
        if found is None:
            return None
        names = tuple(cls.__dataclass_fields__)
        if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in names):
            raise InputError(
                f"{source} has a 'database' that is not an object with the texts {', '.join(names)}; "
                "correct it, or leave it away."
            )
        return cls(**{name: found[name] for name in names})

    def as_dict(self) -> dict[str, str]:
        """The same as plain values, as it is written to files."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.thermo_type})"
