"""What all tests share: one torch thread, loaded potentials and a set of crystals."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from ase.build import bulk, fcc100
from ase.spacegroup import crystal

from materials_project_server import materials_project  # noqa: F401
from uniscreen import load_potential
from uniscreen.potentials.weights import FOLDER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ase import Atoms

    from uniscreen.potentials.base import Potential

SHARED_WEIGHTS = Path(__file__).parents[1].parent / "shared" / "weights"

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _weights_folder() -> Iterator[None]:
    """Look for weights in the folder shared beside the repository, unless told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        if SHARED_WEIGHTS.is_dir() and FOLDER_VARIABLE not in os.environ:
            patch.setenv(FOLDER_VARIABLE, str(SHARED_WEIGHTS))
        yield


@pytest.fixture(scope="session")
def loaded() -> Callable[..., Potential]:
    """Load a potential on the CPU once a session: ``loaded(name, dtype=None)``."""

    @cache
    def load(name: str, dtype: str | None = None) -> Potential:
        return load_potential(name, device="cpu", dtype=dtype)

    return load


def _perovskite(a_site: str, b_site: str, a: float) -> Atoms:
    basis = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    atoms = crystal([a_site, b_site, "O"], basis, spacegroup=221, cellpar=[a, a, a, 90, 90, 90])
    atoms.info.clear()
    return atoms


@pytest.fixture
def crystals() -> dict[str, Atoms]:
    """Crystals from 1 to 128 atoms, off their equilibrium; fresh copies for each test."""
    slab = fcc100("Al", (1, 1, 3), a=4.05, vacuum=8.0)
    slab.pbc = True
    layer = fcc100("Pd", (1, 1, 2), a=3.9, vacuum=1.0)
    layer.pbc = [True, True, False]  # its images would be neighbours
    rock_salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (4, 2, 2)
    oxide = _perovskite("Sr", "Ti", 3.905) * (1, 1, 2)
    quinary = _perovskite("La", "Mn", 3.9)
    quinary.symbols[[0, 2, 3]] = ["Li", "F", "S"]
    quinary.set_cell(quinary.cell.array @ [[1, 0.05, 0], [0, 1, -0.08], [0.03, 0, 1]], scale_atoms=True)
    for seed, atoms in enumerate([slab, layer, rock_salt, oxide, quinary]):
        atoms.rattle(0.07, seed=seed)
    quinary.positions += quinary.cell.array.T @ np.array([2.0, -1.0, 0.0])  # outside the cell
    return {
        "Cu": bulk("Cu", "fcc", a=3.61),
        "Na": bulk("Na", "bcc", a=4.2),  # no bond below 3 Å: no angles in CHGNet's bond graph
        "Al slab": slab,
        "Pd layer": layer,
        "NaCl supercell": rock_salt,
        "SrTiO3": oxide,
        "quinary": quinary,
        "Si": bulk("Si", "diamond", a=5.5),
    }
