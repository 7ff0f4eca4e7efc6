"""What it costs to take atoms out of a crystal, or to cut it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import units

from uniscreen.benchmarking.physics.at_rest import DEFECT, relaxed_in_cell
from uniscreen.benchmarking.physics.measurement import Found, Probe

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.benchmarking.physics.at_rest import Bulk
    from uniscreen.benchmarking.physics.properties import Surface, Vacancy

KICK = 0.02
"""Å, standard deviation of each coordinate before relaxing: a saddle point of high symmetry must be left."""

SAME_PLANE = 1e-3
"""In lattice vectors: atoms as near to a lattice plane are on it, although relaxing left them on either side."""

EV_PER_SQUARE_ANGSTROM_TO_J_PER_SQUARE_METRE = 1e20 / units.J
"""1 eV/Å² in J/m²."""


def vacancy_probe(bulk: Bulk, asked: Vacancy) -> Probe:
    """The formation energy of a vacancy in the crystal at rest."""
    name = f"vacancy_energy:{bulk.name}"

    def measure() -> dict[str, Found]:
        defective = vacated(bulk.atoms, asked)
        energy = _energy(bulk, defective, relaxed=asked.relaxed, what="the vacancy")
        return {name: Found(energy - len(defective) * bulk.energy_per_atom)}

    return _with_error(Probe(f"{bulk.name}: vacancy", (name,), measure), asked.formation_energy_eV)


def surface_probe(bulk: Bulk, asked: Surface) -> Probe:
    """The energy of a surface of the crystal at rest, by its area."""
    name = f"surface_energy:{bulk.name}{asked.label}"

    def measure() -> dict[str, Found]:
        slab = cut(bulk.atoms, asked)
        excess = _energy(bulk, slab, relaxed=asked.relaxed, what="the slab") - len(slab) * bulk.energy_per_atom
        return {name: Found(surface_energy(excess, slab))}

    return _with_error(Probe(f"{bulk.name}: surface {asked.label}", (name,), measure), asked.energy_J_per_m2)


def vacated(atoms: Atoms, asked: Vacancy) -> Atoms:
    """The supercell without the atoms that are removed; the first cell's atoms come first."""
    supercell = atoms.repeat(asked.supercell)
    del supercell[list(asked.removed)]
    return supercell


def cut(atoms: Atoms, asked: Surface) -> Atoms:
    """A periodic slab between vacuum, its plane along the first two vectors."""
    from ase.build import surface

    slab = surface(atoms, asked.miller, asked.layers, vacuum=asked.vacuum_A / 2, tol=SAME_PLANE)
    slab.pbc = True  # asked of ``surface``, it puts atoms just below the slab's first plane on its other side
    return slab


def surface_energy(excess: float, slab: Atoms) -> float:
    """In J/m², from the energy (eV) of a slab above that of as much crystal; it has two surfaces."""
    area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
    return excess / (2 * area) * EV_PER_SQUARE_ANGSTROM_TO_J_PER_SQUARE_METRE


def _energy(bulk: Bulk, atoms: Atoms, *, relaxed: bool, what: str) -> float:
    if relaxed:
        atoms.rattle(KICK, seed=0)
        (atoms,) = relaxed_in_cell(bulk.potential, [atoms], DEFECT, what)
    return bulk.potential.evaluate([atoms])[0].energy


def _with_error(probe: Probe, reference: float | None) -> Probe:
    """The same with the size of the error of its one value, if the reference is known."""
    if reference is None:
        return probe
    (name,) = probe.metrics
    error = name.replace(":", "_error:", 1)

    def measure() -> dict[str, Found]:
        found = dict(probe.measure())
        return found | {error: Found(abs(found[name].value - reference), 1)}

    return Probe(probe.what, (name, error), measure)
