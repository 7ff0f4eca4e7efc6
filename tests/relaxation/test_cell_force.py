"""The generalised force on the cell against ASE's filter and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from scipy.linalg import expm

from toy_potentials import LennardJones
from uniscreen.relaxation.cell import deformation, log_strain_force


class FixedStress(Calculator):
    """Any stress, no forces."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, stress: np.ndarray) -> None:
        super().__init__()
        self.stress = stress

    def calculate(self, atoms=None, properties=("energy",), system_changes=()) -> None:
        super().calculate(atoms, properties, system_changes)
        voigt = self.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": voigt}


@pytest.mark.parametrize("size", [0.0, 0.02, 0.4])
def test_log_strain_force_is_that_of_ase(size: float) -> None:
    """FrechetCellFilter's last three rows, times the number of atoms that it divides by; F is not symmetric."""
    rng = np.random.default_rng(1)
    ours = {"u": [], "stress": [], "volume": []}
    expected = []
    for _ in range(5):
        atoms = bulk("NaCl", "rocksalt", a=5.6)
        u = size * rng.uniform(-1, 1, (3, 3))
        stress = rng.normal(size=(3, 3))
        stress = stress + stress.T
        cell_filter = FrechetCellFilter(atoms)
        atoms.set_cell(atoms.cell.array @ expm(u).T, scale_atoms=True)
        atoms.calc = FixedStress(stress)
        expected.append(cell_filter.get_forces()[-3:] * len(atoms))
        for key, value in [("u", u), ("stress", stress), ("volume", atoms.get_volume())]:
            ours[key].append(value)
    u, stress, volumes = (torch.tensor(np.array(values)) for values in ours.values())
    force = log_strain_force(u, deformation(u), stress, volumes)
    np.testing.assert_allclose(force, expected, rtol=0, atol=1e-8 * float(volumes.max()))


def test_deformation_is_the_matrix_exponential() -> None:
    u = np.random.default_rng(0).normal(scale=0.3, size=(4, 3, 3))
    np.testing.assert_allclose(deformation(torch.tensor(u)), [expm(x) for x in u], rtol=0, atol=1e-12)


def test_log_strain_force_is_the_derivative_of_the_energy() -> None:
    """Central finite differences of a Lennard-Jones crystal's energy by each of the nine components of U."""
    potential = LennardJones()
    crystal = bulk("NaCl", "rocksalt", a=5.3) * (1, 1, 2)
    crystal.rattle(0.1, seed=0)
    u = np.random.default_rng(2).uniform(-0.1, 0.1, (3, 3))

    def deformed(log_strain: np.ndarray):
        atoms = crystal.copy()
        atoms.set_cell(crystal.cell.array @ expm(log_strain).T, scale_atoms=True)
        return atoms

    h = 1e-5
    steps = [sign * h * np.eye(9)[k].reshape(3, 3) for k in range(9) for sign in (1, -1)]
    energies = [result.energy for result in potential.evaluate([deformed(u + step) for step in steps])]
    numerical = -(np.reshape(energies, (9, 2)) @ [1, -1] / (2 * h)).reshape(3, 3)

    atoms = deformed(u)
    stress = torch.tensor(potential.evaluate([atoms])[0].stress)[None]
    log_strain = torch.tensor(u)[None]
    volume = torch.tensor([atoms.get_volume()])
    force = log_strain_force(log_strain, deformation(log_strain), stress, volume)[0]
    assert float((force - force.T).abs().max()) > 1e-3  # not symmetric for a U that does not commute with the stress
    np.testing.assert_allclose(force, numerical, rtol=0, atol=1e-6)
