"""Make `crystals.extxyz`, crystals of many elements to be replayed while a potential is trained on one system.

    python data/replay/build.py

They carry no labels: a fine-tuning labels them with the potential that it starts from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from uniscreen.structures.generation.prototypes import Prototype, decorations, named_prototypes
from uniscreen.structures.generation.substitution import Substituted
from uniscreen.training.safety.sample import element_crystals

HERE = Path(__file__).resolve().parent

METALS = (
    "Li Be Na Mg Al K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Rb Sr Y Zr Nb Mo Ru Rh Pd Ag Cd In Sn Sb Cs Ba "
    "La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Th U"
)
NONMETALS = "H B C N O F Si P S Cl Ge As Se Br Te I"

PER_TYPE = 14
"""Compounds of a structure type, at most."""

TRIES = 400
MAX_ATOMS = 14
RATTLE, STRAIN = 0.08, 0.02
"""Å of each coordinate, and of each component of the strain: standard deviations."""

SEED = 7


def compounds(prototype: Prototype, source: np.random.Generator) -> list[Atoms]:
    """Return charge-balanced compounds of a structure type, of elements drawn at random."""
    found: dict[str, Atoms] = {}
    for _ in range(TRIES):
        *cations, anion = prototype.sites
        sites = {site: [str(source.choice(METALS.split()))] for site in cations}
        sites[anion] = [str(source.choice(NONMETALS.split()))]
        for _, made in decorations(prototype, sites):
            if isinstance(made, Substituted) and len(made.structure) <= MAX_ATOMS:
                structure = made.structure
                found[structure.reduced_formula] = Atoms(
                    numbers=structure.atomic_numbers,
                    positions=structure.cart_coords,
                    cell=structure.lattice.matrix,
                    pbc=True,
                )
        if len(found) == PER_TYPE:
            break
    return list(found.values())


def main() -> None:
    """Draw, distort and write the crystals."""
    source = np.random.default_rng(SEED)
    frames = element_crystals()
    for prototype in named_prototypes():
        frames += compounds(prototype, source)
    for number, atoms in enumerate(frames):
        strain = source.normal(0, STRAIN, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += source.normal(0, RATTLE, atoms.positions.shape)
        atoms.positions, atoms.cell.array[:] = np.round(atoms.positions, 5), np.round(atoms.cell.array, 5)
        atoms.info = {"id": f"replay-{number:03d}"}
    write(HERE / "crystals.extxyz", frames)
    print(f"{len(frames)} crystals of {len({symbol for atoms in frames for symbol in atoms.symbols})} elements")


if __name__ == "__main__":
    main()
