"""A screen with an isolated potential: a crystal that breaks its process fails alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ase.build import bulk
from ase.io import write

NOBLE_GASES = Path(__file__).parents[1] / "potentials" / "isolated"
CARD = """
import sys
sys.path[:0] = {folders!r}
from toy_card import toy_card
from uniscreen.potentials import loading, model_cards
model_cards()["noble-gases"] = toy_card(
    ["He", "Ne", "Ar", "Kr", "Xe", "Rn"], name="noble-gases", architecture="Lennard-Jones", cutoff=8.0
)
loading.BACKENDS["Lennard-Jones"] = loading.Backend("noble_gases", "faulty", "noble_gases", "noble_gases")
"""
STRUCTURES = {
    "Ar-fcc": bulk("Ar", "fcc", a=5.4),
    "Ar-hcp": bulk("Ar", "hcp", a=3.8),
    "Xe-fcc": bulk("Xe", "fcc", a=5.4),  # kills the backend
    "Ar-bcc": bulk("Ar", "bcc", a=4.3),
    "Kr-fcc": bulk("Kr", "fcc", a=5.4),  # raises
    "He-fcc": bulk("He", "fcc", a=5.4),  # prints
    "Rn-fcc": bulk("Rn", "fcc", a=5.4),  # writes garbage
    "Ar-sc": bulk("Ar", "sc", a=3.6),
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which every process knows the model noble-gases."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "sitecustomize.py").write_text(
        CARD.format(folders=[str(NOBLE_GASES), str(NOBLE_GASES.parents[1])])
    )
    (tmp_path / "noble-gases").write_text("the parameters are in the tests")
    paths = [str(tmp_path / "model"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "UNISCREEN_WEIGHTS": str(tmp_path)}


@pytest.mark.parametrize(
    "options", [("--workers", "2"), ("--deterministic", "--workers", "1")], ids=["in flight", "deterministic"]
)
def test_structures_that_break_the_backend_fail_alone(
    options: tuple[str, ...], tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "candidates").mkdir()
    for name, atoms in STRUCTURES.items():
        write(tmp_path / "candidates" / f"{name}.cif", atoms)
    command = [sys.executable, "-m", "uniscreen", "screen", str(tmp_path / "candidates"), "--model", "noble-gases"]
    command += ["--out", str(tmp_path / "run"), "--quiet", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "run" / "results.parquet").set_index("id")
    failed = {"Xe-fcc": "was ended by SIGSEGV", "Kr-fcc": "too heavy for me", "Rn-fcc": "is not an answer"}
    for name in STRUCTURES:
        assert table.loc[name, "status"] == ("failed" if name in failed else "ok"), table.loc[name, "reason"]
        assert failed.get(name, "") in table.loc[name, "reason"]
