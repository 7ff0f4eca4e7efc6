"""The frames of the DFT sets: what is rattled, strained, heated and vacated, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms
    from ase.calculators.calculator import Calculator


@dataclass(frozen=True)
class Plan:
    """A crystal and what is done to its cubic cell of 8 atoms; 150 frames in all.

    ``edge`` Å is the cell's at rest; ``removed`` are the atoms that the ``defect`` takes; ``heats`` and
    ``vacancy_heats`` pair temperatures (K) with the linear expansion of the cell that is held at them.
    """

    name: str
    formula: str
    prototype: str
    edge: float
    removed: tuple[int, ...]
    defect: str
    heats: tuple[tuple[int, float], ...]
    vacancy_heats: tuple[tuple[int, float], ...]
    seed: int


PLANS = {
    # a single vacancy leaves an unpaired electron or a hole, and a pair does not
    "nacl": Plan(
        name="nacl",
        formula="NaCl",
        prototype="rocksalt",
        edge=5.69,
        removed=(0, 1),
        defect="a pair of vacancies",
        heats=((200, 1.000), (400, 1.010), (700, 1.020), (1000, 1.030)),
        vacancy_heats=((200, 1.000), (500, 1.010)),
        seed=202,
    ),
    # without a Si and a C the cell still has states at the Fermi level: those frames have denser k-points of their own
    "sic": Plan(
        name="sic",
        formula="SiC",
        prototype="zincblende",
        edge=4.38,
        removed=(0, 1),
        defect="a pair of vacancies",
        heats=((300, 1.000), (800, 1.003), (1400, 1.007), (2000, 1.012)),
        vacancy_heats=((300, 1.000), (1000, 1.003)),
        seed=101,
    ),
}

RATTLES = (0.03, 0.06, 0.10, 0.15, 0.20)
"""Å, standard deviation of every coordinate."""

STRAINS = {
    "hydrostatic": np.eye(3),
    "uniaxial": np.diag([1.0, 0.0, 0.0]),
    "tetragonal": np.diag([0.5, 0.5, -1.0]),
    "shear": np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    "general": np.array([[0.6, 0.5, -0.4], [0.5, -0.9, 0.3], [-0.4, 0.3, 0.4]]),
}
STRAIN_SIZES = (-0.06, -0.04, -0.02, 0.01, 0.03, 0.05, 0.07)

PER_RATTLE, PER_TRAJECTORY, TRAJECTORIES = 8, 6, 2
EQUILIBRATION, BETWEEN = 250, 50
"""Steps of 2 fs before the first frame of a trajectory, and from one to the next."""


def frames(plan: Plan, calculator: Calculator) -> list[Atoms]:
    """Return the 150 frames of a plan, with ``id`` and ``group`` (a parent or a trajectory); the calculator runs MD."""
    found = [*rattled(plan), *strained(plan), *heated(plan, calculator), *vacated(plan, calculator)]
    for number, frame in enumerate(found):
        frame.info["id"] = f"{plan.name}-{number:03d}"
        frame.wrap()
    return found


def parent(plan: Plan, expansion: float = 1.0) -> Atoms:
    """Return the perfect cubic cell."""
    return bulk(plan.formula, plan.prototype, a=plan.edge * expansion, cubic=True)


def vacancy(plan: Plan, expansion: float = 1.0) -> Atoms:
    """Return the cubic cell without the plan's removed atoms."""
    atoms = parent(plan, expansion)
    del atoms[list(plan.removed)]
    return atoms


def rattled(plan: Plan) -> Iterator[Atoms]:
    """Yield 40 frames: every coordinate moved at random, in a group for each size."""
    source = np.random.default_rng(plan.seed)
    for size in RATTLES:
        for _ in range(PER_RATTLE):
            yield grouped(shaken(parent(plan), size, source), f"rattled-{size:.2f}A")


def strained(plan: Plan) -> Iterator[Atoms]:
    """Yield 35 frames: seven strains of five kinds, each a group, with every coordinate moved a little."""
    source = np.random.default_rng(plan.seed + 1)
    for kind, shape in STRAINS.items():
        for size in STRAIN_SIZES:
            atoms = shaken(parent(plan), 0.02, source)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + size * shape), scale_atoms=True)
            yield grouped(atoms, f"strained-{kind}")


def heated(plan: Plan, calculator: Calculator) -> Iterator[Atoms]:
    """Yield 48 frames: two trajectories at each of four temperatures, each trajectory a group."""
    for kelvin, expansion in plan.heats:
        for run in range(TRAJECTORIES):
            group = f"md-{kelvin}K-{run}"
            yield from trajectory(parent(plan, expansion), kelvin, plan.seed + kelvin + run, group, calculator)


def vacated(plan: Plan, calculator: Calculator) -> Iterator[Atoms]:
    """Yield 27 frames with a vacancy: rattled by three sizes, and two trajectories."""
    source = np.random.default_rng(plan.seed + 2)
    for size in RATTLES[:3]:
        for _ in range(5):
            yield grouped(shaken(vacancy(plan), size, source), f"vacancy-rattled-{size:.2f}A")
    for kelvin, expansion in plan.vacancy_heats:
        group = f"vacancy-md-{kelvin}K"
        yield from trajectory(vacancy(plan, expansion), kelvin, plan.seed + 3 * kelvin, group, calculator)


def shaken(atoms: Atoms, size: float, source: np.random.Generator) -> Atoms:
    """Return the atoms with every coordinate moved by a normal deviate of standard deviation ``size`` Å."""
    moved = atoms.copy()
    moved.positions += source.normal(0.0, size, moved.positions.shape)
    return moved


def trajectory(atoms: Atoms, kelvin: int, seed: int, group: str, calculator: Calculator) -> Iterator[Atoms]:
    """Yield snapshots of Langevin dynamics in a fixed cell; a seed gives one trajectory on one machine."""
    source = np.random.RandomState(seed)
    moving = shaken(atoms, 0.05, np.random.default_rng(seed))
    moving.calc = calculator
    MaxwellBoltzmannDistribution(moving, temperature_K=kelvin, rng=source)
    friction = 0.02 / units.fs
    dynamics = Langevin(moving, 2 * units.fs, temperature_K=kelvin, friction=friction, fixcm=False, rng=source)
    dynamics.run(EQUILIBRATION)
    for _ in range(PER_TRAJECTORY):
        dynamics.run(BETWEEN)
        frame = moving.copy()
        frame.set_momenta(np.zeros_like(frame.positions))
        del frame.arrays["momenta"]
        yield grouped(frame, group)


def grouped(atoms: Atoms, group: str) -> Atoms:
    """Return the atoms with the name of their group."""
    atoms.info = {"group": group}
    return atoms
