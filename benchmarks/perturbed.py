"""Crystals for the speed benchmarks, moved off their minima: those of a given file, else the demo's."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import UniscreenError
from uniscreen.structures import read_candidates
from uniscreen.structures.candidate import ReadLimits

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.structures.candidate import Candidate

DEMO = Path(__file__).parents[1] / "data" / "demo" / "candidates.csv"


def perturbed(file: Path | None, size: int, *, strain: float = 0.03, rattle: float = 0.1, seed: int = 0) -> list[Atoms]:
    """A random sample, its cells strained by up to ``strain`` and its atoms rattled by ``rattle`` Å."""
    rng = np.random.default_rng(seed)
    candidates = list(read_candidates(file or DEMO))
    usable = (_crystal(candidates[i]) for i in rng.permutation(len(candidates)))
    return [moved(atoms, rng, strain=strain, rattle=rattle) for atoms in islice(filter(None, usable), size)]


def of_one_size(file: Path | None, size: int, n_atoms: int, *, seed: int = 0) -> list[Atoms]:
    """Supercells of ``n_atoms``, moved as above, of every crystal whose number of atoms divides it, over and over."""
    rng = np.random.default_rng(seed)
    crystals = [
        atoms for one in read_candidates(file or DEMO) if (atoms := _crystal(one)) and n_atoms % len(atoms) == 0
    ]
    return [moved(_supercell(atoms, n_atoms // len(atoms)), rng) for atoms in islice(cycle(crystals), size)]


def _crystal(candidate: Candidate) -> Atoms | None:
    """A candidate's structure, if it is one that can be moved and relaxed."""
    try:
        atoms = candidate.source.load(ReadLimits())
    except UniscreenError:
        return None  # the demo has wrong rows on purpose
    # single atoms cannot rattle; noble gases have no neighbours
    return None if len(atoms) < 2 or "Xe" in atoms.symbols else atoms


def _supercell(atoms: Atoms, times: int) -> Atoms:
    """The crystal ``times`` over: its shortest side is repeated by one prime factor after the other."""
    factor = 2
    while times > 1:
        if times % factor:
            factor += 1
            continue
        repeats = [1, 1, 1]
        repeats[int(np.argmin(atoms.cell.lengths()))] = factor
        atoms, times = atoms.repeat(repeats), times // factor
    return atoms


def moved(atoms: Atoms, rng: np.random.Generator, *, strain: float = 0.03, rattle: float = 0.1) -> Atoms:
    """The same crystal, strained by up to ``strain`` and rattled by ``rattle`` Å."""
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-strain, strain, (3, 3))), scale_atoms=True)
    atoms.rattle(rattle, rng=rng)
    return atoms
