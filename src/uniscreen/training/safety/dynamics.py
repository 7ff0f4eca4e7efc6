"""Molecular dynamics at constant energy: whether it is conserved, and whether the structure lives through it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from uniscreen.training.safety.geometry import shortest_contact
from uniscreen.training.safety.result import Measurement

if TYPE_CHECKING:
    from ase import Atoms
    from ase.md.verlet import VelocityVerlet

    from uniscreen.potentials.base import Potential
    from uniscreen.training.safety.subject import Subject

TEMPERATURE = 300.0
"""K, about which the dynamics is once energy is spread evenly."""

HOTTEST = 10 * TEMPERATURE
"""K. The temperature of a few atoms fluctuates by half of itself, never to ten times."""

SHORTEST = 0.5
"""Of the sum of two covalent radii: no atoms come this near at 300 K."""

MAX_DRIFT = 0.26
"""meV/atom/ps: what heats a crystal with the classical heat capacity, 3 k_B = 0.26 meV/K an atom, by 1 K a ps."""

MIN_ATOMS = 8
SAMPLED_EVERY = 10
"""Steps."""


def drift(subject: Subject) -> tuple[Measurement]:
    """The size of the slope of the total energy with time, meV/atom/ps."""
    start = min(subject.equilibria, key=lambda one: len(one.atoms))
    atoms = _enlarged(start.atoms)
    what = f"{len(atoms)} atoms of {start.place}"
    run = run_nve(subject.potential, atoms, subject.md_ps, on_sites=start.is_parent)
    if run.broken:
        return (Measurement(None, f"{what}: {run.broken}"),)
    slope, spread = run.drift()
    return (
        Measurement(
            abs(slope),
            f"{run.times[-1]:g} ps in steps of {time_step(atoms):g} fs at {np.mean(run.temperatures):.0f} K, {what}; "
            f"{slope:+.3f}, spread about the line {spread:.3f} meV/atom",
        ),
    )


def time_step(atoms: Atoms) -> float:
    """In fs. The fastest vibrations of hydrogen take 8 to 9 fs, those of diamond 25: at least 12 steps each."""
    return 0.5 if (atoms.numbers == 1).any() else 2.0


class Trajectory:
    """What is recorded along the way: times in ps, energies in eV/atom, temperatures in K, and what ended it early."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.energies: list[float] = []
        self.temperatures: list[float] = []
        self.broken = ""

    def record(self, atoms: Atoms, time: float) -> None:
        """Add a sample, and judge it."""
        energy, temperature = atoms.get_total_energy() / len(atoms), atoms.get_temperature()
        self.times.append(time)
        self.energies.append(energy)
        self.temperatures.append(temperature)
        contact = shortest_contact(atoms, SHORTEST)
        if not math.isfinite(energy):
            self.broken = f"the energy is {energy} after {time:.2f} ps"
        elif temperature > HOTTEST:
            self.broken = f"{temperature:.0f} K after {time:.2f} ps"
        elif contact is not None:
            self.broken = f"{contact} after {time:.2f} ps"

    def drift(self) -> tuple[float, float]:
        """The slope of a line through the total energies, meV/atom/ps, and their spread about it, meV/atom."""
        times, energies = np.array(self.times), 1000 * np.array(self.energies)
        slope, height = np.polyfit(times, energies, 1)
        return float(slope), float(np.std(energies - slope * times - height))


def run_nve(potential: Potential, start: Atoms, ps: float, *, on_sites: bool) -> Trajectory:
    """Run velocity Verlet at about 300 K until the end, or until the structure breaks; the same each time.

    ``on_sites``: the atoms are at rest on sites of high symmetry, so that half of what they are given will turn into
    potential energy.
    """
    from ase.md.verlet import VelocityVerlet

    from uniscreen.errors import StructureError

    atoms, step = start.copy(), time_step(start)
    _thermalise(atoms, 2 * TEMPERATURE if on_sites else TEMPERATURE)
    atoms.calc = potential.calculator()
    n_steps = max(3 * SAMPLED_EVERY, round(1000 * ps / step))
    dynamics: VelocityVerlet = VelocityVerlet(atoms, timestep=step * units.fs)
    run = Trajectory()
    run.record(atoms, 0.0)
    for done in range(SAMPLED_EVERY, n_steps + 1, SAMPLED_EVERY):
        try:
            dynamics.run(SAMPLED_EVERY)
        except StructureError as error:  # an atom has flown away
            run.broken = f"after {0.001 * done * step:.2f} ps: {error}"
        else:
            run.record(atoms, 0.001 * done * step)
        if run.broken:
            break
    return run


def _thermalise(atoms: Atoms, temperature: float) -> None:
    """Random velocities of a temperature in K, without a drift of the whole."""
    masses = atoms.get_masses()[:, None]
    momenta = np.random.default_rng(0).normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())


def _enlarged(atoms: Atoms) -> Atoms:
    """A copy, repeated along its shortest vector until there are enough atoms for a temperature, if it is a crystal."""
    enlarged = atoms.copy()
    while atoms.pbc.all() and len(enlarged) < MIN_ATOMS:
        repeats = [1, 1, 1]
        repeats[int(enlarged.cell.lengths().argmin())] = 2
        enlarged *= repeats
    return enlarged
