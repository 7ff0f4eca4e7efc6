"""The user's key and the address of the Materials Project's API."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from uniscreen.errors import MaterialsProjectError

DEFAULT_ENDPOINT = "https://api.materialsproject.org/"
KEY_LENGTH = 32
"""Characters of a key; those of before 2022 are shorter and no longer accepted."""

WHERE_KEYS_ARE = (
    "Get one at https://next-gen.materialsproject.org/api and give it in the environment variable MP_API_KEY, or store "
    "it with: pmg config --add PMG_MAPI_KEY <key>"
)


@dataclass(frozen=True)
class Access:
    """Whom to ask, and the key to show; the key is in no text made from this."""

    key: str = field(repr=False)
    endpoint: str

    @classmethod
    def find(cls, endpoint: str | None = None) -> Access:
        """Take the key and the endpoint from where mp-api takes them: the environment, then pymatgen's settings.

        Raises:
            MaterialsProjectError: there is no key, it cannot be one, or the endpoint would be sent it unencrypted.

        """
        return cls(_find_key(), _check_endpoint(endpoint or os.environ.get("MP_API_ENDPOINT") or DEFAULT_ENDPOINT))

    @property
    def host(self) -> str:
        """Name and port of the server."""
        return urlsplit(self.endpoint).netloc

    def redact(self, text: str) -> str:
        """Take the key out of a text that came from elsewhere."""
        return text.replace(self.key, "<key>")


def _find_key() -> str:
    key = os.environ.get("MP_API_KEY", "").strip()
    if not key:
        from pymatgen.core import SETTINGS

        key = str(SETTINGS.get("PMG_MAPI_KEY") or "").strip()
    if not key:
        raise MaterialsProjectError(f"There is no key for the Materials Project. {WHERE_KEYS_ARE}")
    if len(key) != KEY_LENGTH or not (key.isascii() and key.isalnum()):
        raise MaterialsProjectError(
            f"The key for the Materials Project has {len(key)} characters, expected {KEY_LENGTH} letters and digits. "
            f"{WHERE_KEYS_ARE}"
        )
    return key


def _check_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if (
        not parts.hostname
        or parts.username is not None
        or not (parts.scheme == "https" or (parts.scheme == "http" and local))
    ):
        raise MaterialsProjectError(
            f"MP_API_ENDPOINT names no https address (it begins with {endpoint[:8]!r}); expected one such as "
            f"{DEFAULT_ENDPOINT}, since the key is sent to it."
        )
    return endpoint if endpoint.endswith("/") else f"{endpoint}/"
