"""The environments of isolated backends: made once from a pinned requirement list, kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from uniscreen.errors import BackendUnavailableError
from uniscreen.machine import user_cache
from uniscreen.potentials.isolated.uv import run_uv

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

BACKENDS = Path(__file__).parent / "backends"
"""A requirement list and a worker's file for each architecture, both named after it in lower case."""

MARKER = "complete"
"""Written last: a folder without it is torn, and made anew."""


@dataclass(frozen=True)
class Environment:
    """The virtual environment of one backend. Paths in it are absolute, so it is made where it stays."""

    backend: str

    @property
    def requirements(self) -> Path:
        """The pinned requirement list."""
        return BACKENDS / f"{self.backend}.txt"

    @property
    def overrides(self) -> Path:
        """What replaces the requirements of packages in the list, in uv's words; most backends have none."""
        return BACKENDS / f"{self.backend}.overrides"

    @property
    def backend_file(self) -> Path:
        """The backend's part of the worker."""
        return BACKENDS / f"{self.backend}.py"

    @property
    def folder(self) -> Path:
        """Where it is or will be: another one for other requirements, another Python or another kind of machine."""
        kind = f"{sys.implementation.cache_tag} {sysconfig.get_platform()}\n".encode()
        overrides = self.overrides.read_bytes() if self.overrides.is_file() else b""
        digest = hashlib.sha256(kind + self.requirements.read_bytes() + overrides).hexdigest()
        return environments_folder() / f"{self.backend}-{digest[:12]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        base = str(self.folder)
        return Path(sysconfig.get_path("purelib", "venv", {"base": base, "platbase": base}))

    @property
    def installed(self) -> bool:
        """Whether it is complete, and the Python that it was made with is still there."""
        return (self.folder / MARKER).is_file() and self.python.exists()

    def packages(self) -> dict[str, str]:
        """The version of each package in it, by name."""
        found = distributions(path=[str(self.site_packages)])
        return dict(sorted((package.name, package.version) for package in found))

    def ensure(self, model: str) -> None:
        """Make it unless it is there. Processes that need it at the same time wait for the one that makes it.

        Raises:
            BackendUnavailableError: it cannot be made: no uv, no network, packages that do not go together.
        """
        if not self.installed:
            with _locked(self.backend):
                self._make(model)

    def _make(self, model: str) -> None:
        """Make it, under the lock."""
        if self.installed:  # by another process in the meantime
            return
        log.warning("Creating the environment of %s (once; this downloads packages) in %s ...", model, self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        what = f"The environment of {model}"
        run_uv(["venv", "--python", sys.executable, str(self.folder)], environments_folder(), what)
        install = ["pip", "install", "--python", str(self.python), "--requirements", str(self.requirements)]
        if self.overrides.is_file():
            install += ["--overrides", str(self.overrides)]
        run_uv(install, environments_folder(), what)
        with (self.folder / MARKER).open("wb") as marker:
            os.fsync(marker.fileno())

    def remove(self) -> list[Path]:
        """Remove it, and what earlier versions of its requirement list have left; returns the folders."""
        pattern = re.compile(rf"{re.escape(self.backend)}-[0-9a-f]{{12}}")
        if not environments_folder().is_dir():
            return []
        with _locked(self.backend):
            found = sorted(path for path in environments_folder().iterdir() if pattern.fullmatch(path.name))
            for folder in found:
                (folder / MARKER).unlink(missing_ok=True)
                shutil.rmtree(folder)
        return found


def environment_of(architecture: str) -> Environment:
    """The environment of the models of an architecture."""
    return Environment(architecture.lower())


def environments_folder() -> Path:
    """Where environments are kept."""
    return user_cache().absolute() / "environments"


@contextmanager
def _locked(backend: str) -> Iterator[None]:
    """Hold the lock on the environments of a backend."""
    try:
        environments_folder().mkdir(parents=True, exist_ok=True)
        file = (environments_folder() / f"{backend}.lock").open("ab")
    except OSError as error:
        raise BackendUnavailableError(
            f"The folder of environments {environments_folder()} cannot be written ({error.strerror}). "
            "Name another cache folder in XDG_CACHE_HOME."
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
