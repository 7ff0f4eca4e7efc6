"""Crystals for the speed benchmarks, moved off their minima: those of a given file, else the demo's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import UniscreenError
from uniscreen.structures import read_candidates
from uniscreen.structures.candidate import ReadLimits

if TYPE_CHECKING:
    from ase import Atoms

DEMO = Path(__file__).parents[1] / "data" / "demo" / "candidates.csv"


def perturbed(file: Path | None, size: int, *, strain: float = 0.03, rattle: float = 0.1, seed: int = 0) -> list[Atoms]:
    """A random sample, its cells strained by up to ``strain`` and its atoms rattled by ``rattle`` Å."""
    rng = np.random.default_rng(seed)
    candidates = list(read_candidates(file or DEMO))
    chosen: list[Atoms] = []
    for i in rng.permutation(len(candidates)):
        if len(chosen) == size:
            break
        try:
            atoms = candidates[i].source.load(ReadLimits())
        except UniscreenError:
            continue  # the demo has wrong rows on purpose
        if len(atoms) < 2 or "Xe" in atoms.symbols:  # single atoms cannot rattle; noble gases have no neighbours
            continue
        chosen.append(moved(atoms, rng, strain=strain, rattle=rattle))
    return chosen


def moved(atoms: Atoms, rng: np.random.Generator, *, strain: float = 0.03, rattle: float = 0.1) -> Atoms:
    """The same crystal, strained by up to ``strain`` and rattled by ``rattle`` Å."""
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-strain, strain, (3, 3))), scale_atoms=True)
    atoms.rattle(rattle, rng=rng)
    return atoms
