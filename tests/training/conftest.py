"""What the tests of training share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase.build import bulk

from uniscreen.structures.labels import LabelledStructure

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Potential

REAL_DATA = (Path(__file__).parents[2] / "../shared/data").resolve()


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Return a file of the real data that lies outside the project, or skip the test."""

    def find(name: str) -> Path:
        path = REAL_DATA / name
        if not path.exists():
            pytest.skip(f"the real data set {name} is not here")
        return path

    return find


@pytest.fixture(scope="session")
def labelled() -> Callable[..., list[LabelledStructure]]:
    """Label rattled, strained crystals of different sizes with a potential itself: ``labelled(potential, n)``."""

    def make(potential: Potential, n: int = 12) -> list[LabelledStructure]:
        source = np.random.default_rng(5)
        atoms = []
        for k in range(n):
            one = (
                bulk("NaCl", "rocksalt", a=5.69, cubic=True) if k % 3 else bulk("NaCl", "rocksalt", a=5.69) * (2, 1, 1)
            )
            strain = source.normal(0, 0.02, (3, 3))
            one.set_cell(one.cell.array @ (np.eye(3) + strain + strain.T), scale_atoms=True)
            one.positions += source.normal(0, 0.1, one.positions.shape)
            atoms.append(one)
        results = potential.evaluate(atoms)
        return [
            LabelledStructure(
                atoms=one,
                energy=result.energy,
                forces=result.forces,
                stress=result.stress,
                group=f"parent-{k % 4}",
                place=f"frame {k + 1}",
            )
            for k, (one, result) in enumerate(zip(atoms, results, strict=True))
        ]

    return make
