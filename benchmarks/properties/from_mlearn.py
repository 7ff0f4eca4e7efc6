"""Elastic constants and surface energies of the DFT data of Zuo et al., J. Phys. Chem. A 124, 731 (2020).

    python benchmarks/properties/from_mlearn.py Si-train.extxyz Si-test.extxyz

The files are the set's frames with its energies and stresses (github.com/materialsvirtuallab/mlearn), as ``group`` and
``description`` say what they are. The numbers that it prints are those of ``silicon.toml`` and ``molybdenum.toml``.

- Elastic constants: the odd part of the stress over the strain, at strains of 2, 4 and 6 %, extrapolated to none as a
  line in the strain's square. Atoms were not relaxed, which changes C44 of a crystal such as diamond.
- Surface energies: (E(slab) - n E(ground state)) / 2A, of slabs whose forces are below 0.05 eV/Å.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.io import read
from ase.units import GPa, J, m

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

STRAINS = (0.02, 0.04, 0.06)
MAX_FORCE = 0.05
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def ground_state(frames: Sequence[Atoms]) -> Atoms:
    """Return the crystal that the strained ones are made of."""
    (found,) = [frame for frame in frames if frame.info["description"] == "Ground state crystal"]
    return found


def elastic_constants(frames: Sequence[Atoms]) -> dict[str, float]:
    """Return C11, C12, C44 and (C11 + 2 C12) / 3 in GPa, each the mean over the modes that give it."""
    rest = ground_state(frames).cell.array
    stresses: dict[tuple[int, float], np.ndarray] = {}
    for frame in frames:
        if found := re.search(r"mode (\d), strain (\S+)", frame.info["description"]):
            stress = frame.get_stress(voigt=False) / GPa
            metric = np.linalg.solve(rest, frame.cell.array)
            size = float(found[2])
            part = (metric @ metric.T - np.eye(3)) / 2
            along = int(np.argmax([abs(part[i, j]) for i, j in VOIGT]))
            # the label is the normal strain; half the shear in some sets, and the shear in others
            engineering = size if along < 3 else 2 * part[VOIGT[along]]
            stresses[along, size] = np.array([stress[i, j] for i, j in VOIGT]) / engineering
    columns = {along: _slope([stresses[along, e] + stresses[along, -e] for e in STRAINS]) for along in range(6)}
    c11 = float(np.mean([columns[i][i] for i in range(3)]))
    c12 = float(np.mean([columns[i][j] for i in range(3) for j in range(3) if i != j]))
    c44 = float(np.mean([columns[i][i] for i in range(3, 6)]))
    return {"C11": c11, "C12": c12, "C44": c44, "bulk modulus": (c11 + 2 * c12) / 3}


def _slope(twice_odd: Sequence[np.ndarray]) -> np.ndarray:
    """Return the limit (6,) of the odd part of stress by strain for no strain."""
    return np.polyfit(np.square(STRAINS), np.array(twice_odd) / 2, 1)[-1]


def surface_energies(frames: Sequence[Atoms]) -> dict[str, tuple[float, int]]:
    """Return J/m² and the number of atoms of the slabs at rest, by their names."""
    crystal = ground_state(frames)
    per_atom = crystal.get_potential_energy() / len(crystal)
    found = {}
    for slab in frames:
        if slab.info["group"] != "Surface" or np.linalg.norm(slab.get_forces(), axis=1).max() > MAX_FORCE:
            continue
        area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
        excess = slab.get_potential_energy() - len(slab) * per_atom
        found[slab.info["description"]] = excess / (2 * area) / (J / m**2), len(slab)
    return found


def main() -> None:
    """Print what the frames of some files say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    frames = [frame for file in parser.parse_args().files for frame in read(file, ":")]
    crystal = ground_state(frames)
    pressure = -float(np.mean(crystal.get_stress()[:3])) / GPa
    print(f"volume {crystal.cell.volume / len(crystal):.3f} Å³/atom, at {pressure:+.2f} GPa")
    for name, value in elastic_constants(frames).items():
        print(f"{name} {value:.1f} GPa")
    for name, (value, n) in surface_energies(frames).items():
        print(f"{name} {value:.3f} J/m², {n} atoms")


if __name__ == "__main__":
    main()
