"""Real environments, made by uv from a wheel that is written here: no network, a second each."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from shutil import which
from typing import TYPE_CHECKING

import pytest

from uniscreen.errors import BackendUnavailableError
from uniscreen.potentials import model_cards
from uniscreen.potentials.isolated import environments, uv
from uniscreen.potentials.isolated.environments import MARKER, Environment, environment_of
from uniscreen.potentials.loading import own_environment

if TYPE_CHECKING:
    from pathlib import Path

needs_uv = pytest.mark.skipif(which("uv") is None and find_spec("uv") is None, reason="uv is not installed")
ISOLATED = [card for card in model_cards().values() if own_environment(card)]


def write_wheel(folder: Path, version: str, needs: str = "") -> None:
    """The package tiny."""
    info = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", f"version = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n{needs}")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A backend that needs tiny 1.0."""
    for name in ("wheels", "backends"):
        (tmp_path / name).mkdir()
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "wheels", version)
    (tmp_path / "backends" / "tiny.txt").write_text("tiny==1.0\n")
    monkeypatch.setattr(environments, "BACKENDS", tmp_path / "backends")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    return environment_of("Tiny")


@needs_uv
def test_it_is_made_once(tiny: Environment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert not tiny.installed
    tiny.ensure("tiny-0")
    assert tiny.installed
    assert tiny.packages() == {"tiny": "1.0"}
    done = subprocess.run([tiny.python, "-I", "-c", "import tiny; print(tiny.version)"], capture_output=True, text=True)
    assert done.stdout == "1.0\n"
    assert [record.getMessage().partition(" (once")[0] for record in caplog.records] == [
        "Creating the environment of tiny-0"
    ]
    monkeypatch.setattr(environments, "run_uv", None)
    tiny.ensure("tiny-0")


@needs_uv
def test_other_requirements_are_another_environment(tiny: Environment) -> None:
    tiny.ensure("tiny-0")
    first = tiny.folder
    tiny.requirements.write_text("tiny==2.0\n")
    assert not tiny.installed
    tiny.ensure("tiny-0")
    assert tiny.folder != first
    assert tiny.packages() == {"tiny": "2.0"}
    assert tiny.remove() == sorted([first, tiny.folder])
    assert not first.exists()
    assert not tiny.installed
    assert tiny.remove() == []


@needs_uv
def test_a_requirement_of_a_package_can_be_overridden(tiny: Environment, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "1.0", needs="Requires-Dist: a-gigabyte-of-cuda\n")
    with pytest.raises(BackendUnavailableError, match="a-gigabyte-of-cuda"):
        tiny.ensure("tiny-0")
    without = tiny.folder
    tiny.overrides.write_text("a-gigabyte-of-cuda ; sys_platform == 'never'\n")
    assert tiny.folder != without
    tiny.ensure("tiny-0")
    assert tiny.packages() == {"tiny": "1.0"}


@needs_uv
@pytest.mark.parametrize("lost", [MARKER, "bin/python"])
def test_a_torn_environment_is_made_anew(lost: str, tiny: Environment) -> None:
    tiny.ensure("tiny-0")
    (tiny.folder / lost).unlink()
    (tiny.site_packages / "tiny.py").unlink()
    assert not tiny.installed
    tiny.ensure("tiny-0")
    assert (tiny.site_packages / "tiny.py").is_file()


@needs_uv
def test_processes_that_need_it_at_once_make_it_once(tiny: Environment) -> None:
    code = (
        "import sys; from pathlib import Path; from uniscreen.potentials.isolated import environments\n"
        f"environments.BACKENDS = Path({str(environments.BACKENDS)!r})\n"
        "environment = environments.environment_of('Tiny'); environment.ensure('tiny-0')\n"
        "assert environment.packages() == {'tiny': '1.0'}"
    )
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=100)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert "".join(said).count("Creating the environment of tiny-0") == 1


@needs_uv
def test_a_failure_says_what_uv_said(tiny: Environment) -> None:
    tiny.requirements.write_text("tiny==3.0\n")
    with pytest.raises(BackendUnavailableError) as caught:
        tiny.ensure("tiny-0")
    assert "The environment of tiny-0 could not be made: uv ended with code 1." in str(caught.value)
    assert "there is no version of tiny==3.0" in " ".join(str(caught.value).split())
    assert not tiny.installed


def test_without_uv_it_says_how_to_get_it(tiny: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(BackendUnavailableError, match=r"made with uv, which is missing\. Install it: pip install uv"):
        tiny.ensure("tiny-0")


def test_a_cache_that_cannot_be_written_is_named(tiny: Environment, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(BackendUnavailableError, match=rf"{tmp_path / 'cache'}.* cannot be written.*XDG_CACHE_HOME"):
        tiny.ensure("tiny-0")


def test_pip_settings_are_passed_on(tmp_path: Path) -> None:
    """pip's own order: its configuration file, a command's section of it, the environment."""
    pytest.importorskip("pip")
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example/simple\nfind-links = /wheels\n  /more\nno-color = true\n"
        "[install]\nindex-url = https://b.example/simple\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "SSL_"))}
    ours = clean | {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_EXTRA_INDEX_URL": "https://c.example https://d.example",
    }
    passed = uv._with_pip_settings(ours)
    assert passed["UV_DEFAULT_INDEX"] == "https://b.example/simple"
    assert passed["UV_INDEX"] == "https://c.example https://d.example"
    assert passed["UV_FIND_LINKS"] == "/wheels,/more"
    assert passed["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    own = uv._with_pip_settings(ours | {"UV_INDEX_URL": "https://u.example", "UV_FIND_LINKS": "/mine"})
    assert "UV_DEFAULT_INDEX" not in own
    assert own["UV_FIND_LINKS"] == "/mine"
    assert uv._with_pip_settings(ours | {"PIP_FIND_LINKS": "/x /y"})["UV_FIND_LINKS"] == "/x,/y"


@pytest.mark.parametrize("card", ISOLATED, ids=lambda card: card.name)
def test_a_shipped_requirement_list_pins_every_version(card: object) -> None:
    environment = environment_of(card.architecture)  # type: ignore[attr-defined]
    lines = [line for line in environment.requirements.read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line for line in lines), lines
    assert environment.backend_file.is_file()
