"""What was fetched, kept on disk: one version of a database does not change."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.durable import write_atomically
from uniscreen.errors import MaterialsProjectError
from uniscreen.machine import user_cache

if TYPE_CHECKING:
    from pathlib import Path


def cache_folder(host: str) -> Path:
    """Where the answers of a server are kept."""
    return user_cache() / "materials-project" / re.sub(r"[^\w.-]", "_", host)


@dataclass(frozen=True)
class DocumentCache:
    """Documents of one version of a database and one thermo type, in one folder; a file for each thing fetched."""

    folder: Path

    def load(self, name: str) -> dict[str, Any] | None:
        """Give what was saved under a name; None where there is nothing, or it is damaged."""
        try:
            content = json.loads(gzip.decompress(self._path(name).read_bytes()))
        except (OSError, EOFError, ValueError, zlib.error):
            return None
        return content if isinstance(content, dict) else None

    def save(self, name: str, content: dict[str, Any]) -> None:
        """Keep something under a name.

        Raises:
            MaterialsProjectError: the folder cannot be written to.

        """
        data = gzip.compress(json.dumps(content).encode(), compresslevel=6, mtime=0)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(name), data)
        except OSError as error:
            raise MaterialsProjectError(
                f"Cannot keep what was fetched in {self.folder} ({error.strerror}). Name another folder for caches in "
                "the environment variable XDG_CACHE_HOME."
            ) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json.gz"
