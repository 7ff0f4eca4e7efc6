"""Where atoms are pressed together the energy must rise, and not fall into a hole that no atom gets out of."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms

from uniscreen.potentials.testing.structures import radius
from uniscreen.training.safety.result import Measurement, NotRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from uniscreen.potentials.base import Potential
    from uniscreen.training.safety.subject import Subject

VOLUMES = np.round(np.arange(1.10, 0.599, -0.02), 2)
"""Fractions of the volume; 0.6 is a sixth off every distance."""

EQUILIBRIUM = 0.8
"""The model's own minimum is looked for down to this fraction of the volume."""

COMPRESSION_DEPTH = 1e-3
"""eV/atom by which the energy must fall for a hole."""

DISTANCES = np.round(np.arange(1.40, 0.499, -0.02), 2)
"""Fractions of the sum of two covalent radii."""

SHORTEST_BOND = 0.65
"""Of that sum: the shortest bonds are those of LaO and ThO, 0.67."""

SHORTEST_METAL_BOND = 0.55
"""Of that sum, between metals that bond multiply: V2 has 0.58, Cr2 0.60, Mo2 0.63."""

DIMER_DEPTH = 0.05
"""eV by which the energy must fall for a hole: the thermal energy at 600 K."""

BARRIER = 5.0
"""eV above the minimum: what lies behind a barrier of that height is not reached."""

MULTIPLY_BONDED = frozenset({"Ti", "V", "Cr", "Zr", "Nb", "Mo", "Tc", "Hf", "Ta", "W", "Re"})


SHOWN = 5
"""Most crystals or pairs that are named."""


class Scan(NamedTuple):
    """The fraction down to which energies rise, and of what."""

    reached: float
    of: str


def compression(subject: Subject) -> tuple[Measurement]:
    """The fraction of the volume down to which the energy of every crystal rises on compression."""
    crystals = subject.crystals
    scans = []
    for one in crystals:
        energies = _energies(subject.potential, [_scaled(one.atoms, volume) for volume in VOLUMES]) / len(one.atoms)
        reached = rises_down_to(VOLUMES, energies, EQUILIBRIUM, COMPRESSION_DEPTH)
        scans.append(Scan(reached, f"{one.formula}, {one.place}"))
    return (_worst(scans, float(VOLUMES[-1]), "crystal"),)


def dimers(subject: Subject) -> tuple[Measurement]:
    """The distance, over the sum of the covalent radii, down to which the energy of every pair of elements rises."""
    scans = []
    for pair in itertools.combinations_with_replacement(subject.elements, 2):
        fractions, structures = _dimers(pair, subject.potential.card.cutoff)
        if not structures:
            raise NotRun(f"{pair[0]} and {pair[1]} bond beyond the model's cutoff")
        shortest = SHORTEST_METAL_BOND if set(pair) <= MULTIPLY_BONDED else SHORTEST_BOND
        energies = _energies(subject.potential, structures)
        scans.append(Scan(rises_down_to(fractions, energies, shortest, DIMER_DEPTH, BARRIER), "-".join(pair)))
    return (_worst(scans, float(DISTANCES[-1]), "pair"),)


def rises_down_to(
    fractions: NDArray[np.float64],
    energies: NDArray[np.float64],
    lowest_equilibrium: float,
    depth: float,
    barrier: float = np.inf,
) -> float:
    """The last fraction before energies, having risen from a minimum, fall by more than ``depth``; or the very last.

    ``fractions`` fall. The minimum is looked for down to ``lowest_equilibrium``. What comes after a rise by ``barrier``
    does not count. A value that is not finite is a fall.
    """
    if not np.isfinite(energies).all():
        return float(fractions[max(np.flatnonzero(~np.isfinite(energies))[0] - 1, 0)])
    minimum = int(np.argmin(np.where(fractions >= lowest_equilibrium, energies, np.inf)))
    highest = energies[minimum]
    for k in range(minimum + 1, len(fractions)):
        if energies[k] < highest - depth:
            return float(fractions[k - 1])
        highest = max(highest, energies[k])
        if highest - energies[minimum] > barrier:
            break
    return float(fractions[-1])


def _worst(scans: list[Scan], end: float, what: str) -> Measurement:
    """The scan that ends first, and which end before they should."""
    counted = f"{len(scans)} {what}{'' if len(scans) == 1 else 's'}"
    fallen = sorted((scan for scan in scans if scan.reached > end), reverse=True)
    if not fallen:
        return Measurement(end, f"{counted}: {', '.join(scan.of for scan in scans[:SHOWN])}")
    listed = ", ".join(f"{scan.of} below {scan.reached:g}" for scan in fallen[:SHOWN])
    return Measurement(fallen[0].reached, f"the energy falls for {len(fallen)} of {counted}: {listed}")


def _scaled(atoms: Atoms, volume: float) -> Atoms:
    """A copy with this fraction of the volume."""
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell.array * volume ** (1 / 3), scale_atoms=True)
    return scaled


def _dimers(pair: tuple[str, str], cutoff: float) -> tuple[NDArray[np.float64], list[Atoms]]:
    """Two atoms within the cutoff of each other and alone in a periodic box, and the fractions that they are at."""
    contact = radius(pair[0]) + radius(pair[1])
    fractions = DISTANCES[DISTANCES * contact < 0.95 * cutoff]
    box = 2 * cutoff + 2 * contact
    return fractions, [Atoms(pair, [[0, 0, 0], [f * contact, 0, 0]], cell=[box] * 3, pbc=True) for f in fractions]


def _energies(potential: Potential, structures: list[Atoms]) -> NDArray[np.float64]:
    return np.array([result.energy for result in potential.evaluate(structures)])
