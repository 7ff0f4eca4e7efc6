"""Run uv, which makes the environments, with the package indexes that pip uses here."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from uniscreen.errors import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TAIL_LINES = 15
"""Lines of uv's output that an error shows."""

SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", ("UV_INDEX_URL",), " "),
    "extra-index-url": ("UV_INDEX", ("UV_EXTRA_INDEX_URL",), " "),
    "find-links": ("UV_FIND_LINKS", (), ","),
    "cert": ("SSL_CERT_FILE", (), " "),
}
"""pip's settings that say where packages come from: uv's variable, its other names, what separates several values."""


def run_uv(arguments: list[str], folder: Path, what: str) -> None:
    """Run uv in a folder, where it finds no project's settings.

    Raises:
        BackendUnavailableError: there is no uv, or it failed; with the end of its output.
    """
    done = subprocess.run(  # noqa: S603  # uv, with our own arguments
        [_find_uv(what), *arguments],
        cwd=folder,
        env=_with_pip_settings(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-TAIL_LINES:])
        raise BackendUnavailableError(
            f"{what} could not be made: uv ended with code {done.returncode}. It needs the network, or a folder of "
            f"wheels named in UV_FIND_LINKS. uv said:\n{tail}"
        )


def _find_uv(what: str) -> str:
    """The program on the PATH, or that of the package uv."""
    found = shutil.which("uv")
    if found is not None:
        return found
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ModuleNotFoundError, FileNotFoundError):
        raise BackendUnavailableError(f"{what} is made with uv, which is missing. Install it: pip install uv") from None


def _with_pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv, which does not read pip's settings; what is set for uv itself stays as it is.

    pip takes the best version that any index has. uv stops at the first index that knows the package, so with several
    it is told to do as pip does; the versions in our lists are exact either way.
    """
    result = dict(environment)
    for name, value in _pip_settings(environment).items():
        variable, others, separator = SETTINGS[name]
        if not any(other in environment for other in (variable, *others)):
            result[variable] = separator.join(value.split())
    if "UV_INDEX" in result or "UV_EXTRA_INDEX_URL" in result:
        result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return result


def _pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of pip: those of its configuration files where pip is installed, then those of the environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(environment))  # noqa: S603
    found = {}
    for section in ("global", "install"):  # the second wins
        for name, value in re.findall(rf"^{section}\.([\w-]+)=('.*'|\".*\")$", listed.stdout, flags=re.MULTILINE):
            found[name] = ast.literal_eval(value)
    for name in SETTINGS:
        variable = f"PIP_{name.replace('-', '_').upper()}"
        if variable in environment:
            found[name] = environment[variable]
    return {name: value for name, value in found.items() if name in SETTINGS}
