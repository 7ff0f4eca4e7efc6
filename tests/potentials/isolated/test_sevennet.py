"""SevenNet-0 in its own environment: sevenn's numbers, the contract, and a screen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import bulk
from ase.data import chemical_symbols
from ase.io import write
from ase.stress import voigt_6_to_full_3x3_stress

from uniscreen.errors import InputError
from uniscreen.potentials import find_card, resolve_model
from uniscreen.potentials.isolated.environments import environment_of
from uniscreen.potentials.isolated.potential import IsolatedPotential
from uniscreen.potentials.testing import check_potential

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from uniscreen.potentials.base import Potential

pytestmark = pytest.mark.isolated

NAME = "sevennet-0"
ROOT = Path(__file__).parents[3]
BOTH_PRECISIONS = pytest.mark.parametrize("dtype", ["float32", "float64"])


@BOTH_PRECISIONS
def test_numbers_are_those_of_upstream(
    dtype: str, loaded: Callable[..., Potential], crystals: dict[str, Atoms], tmp_path: Path
) -> None:
    """Ours in one batch against sevenn's calculator (float32) one by one: 1e-5 eV/atom, 1e-4 eV/Å, 1e-5 eV/Å³."""
    potential = loaded(NAME, dtype)
    left_handed = crystals["quinary"].copy()
    left_handed.set_cell(left_handed.cell.array[[1, 0, 2]])
    structures = {**crystals, "left-handed": left_handed}
    for atoms in structures.values():
        atoms.info.clear()
    write(tmp_path / "structures.extxyz", list(structures.values()))
    script = Path(__file__).with_name("sevenn_reference.py")
    arguments = [script, tmp_path / "structures.extxyz", tmp_path / "results.npz"]
    subprocess.run([environment_of("SevenNet").python, "-I", *arguments], check=True, capture_output=True)
    theirs = np.load(tmp_path / "results.npz")
    results = potential.evaluate(list(structures.values()))
    for i, ((name, atoms), ours) in enumerate(zip(structures.items(), results, strict=True)):
        assert ours.energy / len(atoms) == pytest.approx(theirs[f"energy {i}"] / len(atoms), rel=0, abs=1e-5), name
        np.testing.assert_allclose(ours.forces, theirs[f"forces {i}"], rtol=0, atol=1e-4, err_msg=name)
        stress = voigt_6_to_full_3x3_stress(theirs[f"stress {i}"])
        np.testing.assert_allclose(ours.stress, stress, rtol=0, atol=1e-5, err_msg=name)


@BOTH_PRECISIONS
def test_it_keeps_the_contract(dtype: str, loaded: Callable[..., Potential]) -> None:
    failed = [result for result in check_potential(loaded(NAME, dtype)) if result.status != "passed"]
    assert failed == []


def test_a_slab_may_lie_along_any_axis(loaded: Callable[..., Potential]) -> None:
    """sevenn's own graphs put a third lattice vector along z, whatever the periodic ones are."""
    potential = loaded(NAME, "float64")
    slab = bulk("Cu", "fcc", a=3.6, cubic=True)
    slab.pbc = [True, True, False]
    turned = slab.copy()
    turned.set_cell(slab.cell.array[:, [2, 0, 1]])
    turned.positions = slab.positions[:, [2, 0, 1]]
    upright, flat = potential.evaluate([slab, turned])
    assert flat.energy == pytest.approx(upright.energy, abs=1e-9)
    np.testing.assert_allclose(flat.forces, upright.forces[:, [2, 0, 1]], rtol=0, atol=1e-9)


def test_the_checkpoint_knows_no_element_that_the_card_does_not_list(loaded: Callable[..., Potential]) -> None:
    loaded(NAME)
    card, weights = resolve_model(NAME)
    card = replace(card, elements=frozenset(chemical_symbols[1:]))
    with pytest.raises(InputError) as caught:
        IsolatedPotential(card, weights, torch.device("cpu"), torch.float32)
    unknown = re.search(r"do not know (.*), which its card lists", str(caught.value))
    assert unknown is not None
    assert set(unknown[1].split(", ")) == card.elements - find_card(NAME).elements


def test_screening_with_it_needs_its_name_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uniscreen", "screen", str(ROOT / "data" / "demo" / "candidates.csv")]
    command += ["--model", NAME, "--limit", "4", "--no-relax", "--out", str(tmp_path / "run"), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    table = pd.read_parquet(tmp_path / "run" / "results.parquet")
    assert table["status"].tolist() == ["ok"] * 4
    model = json.loads((tmp_path / "run" / "run.json").read_text())["model"]
    assert model["environment"]["sevenn"] == "0.13.0"
    assert model["environment"]["torch"].startswith("2.13.0")
    assert model["sha256"] == find_card(NAME).sha256
