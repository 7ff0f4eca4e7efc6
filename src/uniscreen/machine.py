"""What the machine has to work with: cores, installed packages, and the folder of the user's cache."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def usable_cores() -> int:
    """Cores that this process may use: a batch system or a container may allow fewer than there are."""
    from joblib import cpu_count

    return int(cpu_count())


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of Python and of packages, by name; None where a package is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def user_cache() -> Path:
    """The folder for what can be fetched or made again, in that of the environment variable XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uniscreen"
