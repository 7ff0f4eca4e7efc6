"""docs/add-a-potential.md, followed to the letter: inside a copy of the package and outside of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from uniscreen.potentials import ModelCard
from uniscreen.potentials.testing import ExpectedFailure, check_potential, checks

ROOT = Path(__file__).parents[2]
ADAPTER = "src/uniscreen/potentials/lennard_jones.py"
CARDS = "src/uniscreen/potentials/models.toml"
BACKENDS = "src/uniscreen/potentials/loading.py"
ISOLATED = "src/uniscreen/potentials/isolated/backends/lennard-jones"


class Block(NamedTuple):
    """A code block, and the line above it if that names a file: ``path`` and what follows it."""

    path: str
    place: str
    language: str
    code: str


def blocks() -> list[Block]:
    text = (ROOT / "docs" / "add-a-potential.md").read_text(encoding="utf-8")
    found = re.findall(r"(?:^`([^`\n]+)`([^\n]*):\n\n)?^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(*groups) for groups in found]


def block(path: str = "", place: str = "", language: str = "", starts: str = "") -> str:
    """The code of the one block that fits."""
    [code] = [
        b.code
        for b in blocks()
        if b.path == path and place in b.place and language in b.language and b.code.startswith(starts)
    ]
    return code


def insert(path: Path, after: str, row: str) -> None:
    """Put a row behind the one line that starts so."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    [index] = [i for i, line in enumerate(lines) if line.startswith(after)]
    path.write_text("".join([*lines[: index + 1], row, *lines[index + 1 :]]), encoding="utf-8")


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in the folder, with ``uniscreen`` and ``python`` those of the folder's ``src``, if it has one."""
    commands = folder / "commands"
    commands.mkdir(exist_ok=True)
    (commands / "uniscreen").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uniscreen "$@"\n', encoding="utf-8")
    (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    for command in commands.iterdir():
        command.chmod(0o755)
    source = folder / "src" if (folder / "src").is_dir() else ROOT / "src"
    environment = os.environ | {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": str(source),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "160",
    }
    return subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package to which steps 1, 3 and 4 were applied."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ADAPTER).write_text(block(ADAPTER), encoding="utf-8")
    insert(folder / CARDS, "[element_sets]", block(CARDS, place="in `[element_sets]`"))
    with (folder / CARDS).open("a", encoding="utf-8") as file:
        file.write("\n" + block(CARDS, place="at the end"))
    insert(folder / BACKENDS, "BACKENDS", block(BACKENDS, starts='    "Lennard-Jones": Backend("'))
    return folder


@pytest.mark.isolated
def test_a_backend_with_an_environment_of_its_own_passes_after_the_steps(
    extended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of the package that the other tests have, with the adapter replaced by the two files of a backend."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(extended / "src", tmp_path / "src")
    (tmp_path / ADAPTER).unlink()
    for suffix in (".txt", ".py"):
        (tmp_path / f"{ISOLATED}{suffix}").write_text(block(f"{ISOLATED}{suffix}"), encoding="utf-8")
    loading = (tmp_path / BACKENDS).read_text(encoding="utf-8")
    adapter, isolated = (block(BACKENDS, starts=f'    "Lennard-Jones": Backend({first}') for first in ('"', "_"))
    (tmp_path / BACKENDS).write_text(loading.replace(adapter, isolated), encoding="utf-8")
    weights, check = block(language="bash", starts="mkdir"), block(language="bash", starts="uniscreen")
    done = bash(weights + check, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Creating the environment of lennard-jones-argon" in done.stderr
    assert f"{len(checks())} passed" in done.stdout


def test_the_model_is_known_and_passes_after_the_steps(extended: Path) -> None:
    weights, check = block(language="bash", starts="mkdir"), block(language="bash", starts="uniscreen")
    done = bash(weights + check, extended)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lennard-jones-argon, float64" in done.stdout
    assert f"{len(checks())} passed" in done.stdout


def test_the_model_is_listed_after_the_steps(extended: Path) -> None:
    done = bash(block(language="bash", starts="mkdir") + "uniscreen models", extended)
    assert done.returncode == 0, done.stderr
    assert re.search(r"lennard-jones-argon +Lennard-Jones .* yes +yes", done.stdout)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the user's own with the adapter, its weights, the script and the test."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "lennard_jones.py").write_text(block(ADAPTER), encoding="utf-8")
    for name in ("check_my_potential.py", "test_my_potential.py"):
        (folder / name).write_text(block(name), encoding="utf-8")
    assert bash(block(language="bash", starts="mkdir"), folder).returncode == 0
    return folder


def test_a_potential_outside_the_package_is_checked_by_the_script(outside: Path) -> None:
    done = bash("python check_my_potential.py", outside)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [check.name for check in checks()]
    assert all(" passed " in line for line in done.stdout.splitlines())


def test_a_potential_outside_the_package_is_checked_by_pytest(outside: Path) -> None:
    done = bash("python -m pytest -q -p no:cacheprovider test_my_potential.py", outside)
    assert f"{len(checks())} passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_adapter_keeps_the_contract_in_both_precisions(dtype: torch.dtype, outside: Path) -> None:
    spec = spec_from_file_location("lennard_jones", outside / "lennard_jones.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    names: dict[str, object] = {"ModelCard": ModelCard}
    script = block("check_my_potential.py")
    exec(script[script.index("card = ") : script.index("potential = ")], names)  # the card as the document has it
    weights = outside / "weights" / "lennard-jones-argon"
    potential = module.LennardJonesPotential(names["card"], weights, torch.device("cpu"), dtype)
    assert {result.status for result in check_potential(potential)} == {"passed"}


def test_the_expected_failure_of_the_document_names_a_check() -> None:
    example = block(language="python", starts="from uniscreen.potentials.testing import ExpectedFailure")
    name, reason = re.search(r'ExpectedFailure\("(.+?)", "(.+?)"\)', example).groups()
    assert ExpectedFailure(name, reason).check in {check.name for check in checks()}


def test_no_block_is_left_out() -> None:
    """Each block is used above; the document has at most six steps."""
    assert len(blocks()) == 12
    steps = re.findall(r"^## (\d)\.", (ROOT / "docs" / "add-a-potential.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert steps == [str(i + 1) for i in range(len(steps))]
    assert len(steps) <= 6
