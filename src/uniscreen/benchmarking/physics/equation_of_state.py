"""The energy of a crystal by its volume: where it is lowest, and its curvature there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.benchmarking.physics.at_rest import IN_CELL, relaxed_in_cell
from uniscreen.benchmarking.physics.measurement import Found, NotMeasured, Probe, percent
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from uniscreen.benchmarking.physics.at_rest import Bulk
    from uniscreen.benchmarking.physics.properties import EquationOfState

VOLUMES = np.linspace(0.94, 1.06, 7)
"""Fractions of the volume at rest, as in Lejaeghere et al., Science 351, aad3000 (2016)."""


def probe(bulk: Bulk, asked: EquationOfState) -> Probe:
    """Volume at rest and bulk modulus, with their errors where they are known."""
    references = {"volume": asked.volume_A3_per_atom, "bulk_modulus": asked.bulk_modulus_GPa}
    errors = {name: value for name, value in references.items() if value is not None}

    def measure() -> dict[str, Found]:
        crystals = relaxed_in_cell(bulk.potential, scaled(bulk.atoms), IN_CELL, "a crystal of another volume")
        energies = [result.energy for result in bulk.potential.evaluate(crystals)]
        volume, modulus = fit([atoms.cell.volume for atoms in crystals], energies)
        values = {"volume": volume / len(bulk.given), "bulk_modulus": modulus}
        found = {f"{name}:{bulk.name}": Found(value) for name, value in values.items()}
        return found | {f"{k}_error:{bulk.name}": Found(percent(values[k], errors[k]), 1) for k in errors}

    metrics = [*references, *(f"{name}_error" for name in errors)]
    return Probe(f"{bulk.name}: equation of state", tuple(f"{name}:{bulk.name}" for name in metrics), measure)


def scaled(atoms: Atoms) -> list[Atoms]:
    """The crystal with other volumes and the same shape."""
    copies = [atoms.copy() for _ in VOLUMES]
    for copy, volume in zip(copies, VOLUMES, strict=True):
        copy.set_cell(atoms.cell.array * volume ** (1 / 3), scale_atoms=True)
    return copies


def fit(volumes: Sequence[float], energies: Sequence[float]) -> tuple[float, float]:
    """The volume of the lowest energy (unit of ``volumes``, Å³) and the bulk modulus (GPa), by Birch and Murnaghan.

    Raises:
        NotMeasured: the energies (eV) have no minimum between the volumes.
    """
    from ase.eos import EquationOfState

    if not np.isfinite(energies).all():
        raise NotMeasured("an energy is not finite")
    if int(np.argmin(energies)) in {0, len(energies) - 1}:
        raise NotMeasured(f"the energy has no minimum between {volumes[0]:.2f} and {volumes[-1]:.2f} Å³")
    volume, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit(warn=False)
    if not volumes[0] < volume < volumes[-1] or modulus <= 0:
        raise NotMeasured("the energies do not follow an equation of state")
    return float(volume), float(modulus) * EV_PER_CUBIC_ANGSTROM_TO_GPA
