"""Errors of predictions, each worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from uniscreen.benchmarking.accuracy import accuracy
from uniscreen.potentials.base import SystemResult
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.errors import Errors


@pytest.fixture
def frames():
    """Of 2, 1 and 4 atoms, 10, -30 and 50 meV/atom off; the first has no stress, and only two atoms feel a force."""
    sizes, off = (2, 1, 4), (0.01, -0.03, 0.05)
    forces, predicted = ([np.zeros((n, 3)) for n in sizes] for _ in range(2))
    forces[0][0], predicted[0][0] = [1.0, 0.0, 0.0], [0.8, 0.1, 0.0]
    forces[1][0], predicted[1][0] = [0.0, 2.0, 0.0], [0.0, 1.7, 0.0]
    stresses = (None, np.full((3, 3), 0.1), np.zeros((3, 3)))
    wrong = (0.1 * np.eye(3), stresses[1] + 0.009 * np.eye(3), np.diag([-0.018, 0.0, 0.0]))
    labels = [
        LabelledStructure(Atoms(f"Na{n}"), -4.0 * n, force, stress, None, "")
        for n, force, stress in zip(sizes, forces, stresses, strict=True)
    ]
    energies = [(-4.0 + error) * n for n, error in zip(sizes, off, strict=True)]
    results = [SystemResult(*each, None) for each in zip(energies, predicted, wrong, strict=True)]
    return labels, results


def test_each_error_by_hand(frames):
    found = Errors.of(*frames)
    assert found.frames == 3
    assert found.energy_mae_meV_per_atom == pytest.approx(30)
    assert found.energy_rmse_meV_per_atom == pytest.approx(np.sqrt(3500 / 3))
    assert found.shifted_energy_mae_meV_per_atom == pytest.approx(80 / 3)  # 0, -40 and 40
    assert found.shifted_energy_rmse_meV_per_atom == pytest.approx(np.sqrt(3200 / 3))
    assert found.force_mae_meV_per_A == pytest.approx(600 / 21)  # 0.2, 0.1 and 0.3 of 21 components
    assert found.force_rmse_meV_per_A == pytest.approx(1000 * np.sqrt(0.14 / 21))
    assert found.force_slope == pytest.approx((0.8 + 2 * 1.7) / 5)
    assert found.force_cosine == pytest.approx(4.2 / np.sqrt(5 * (0.8**2 + 0.1**2 + 1.7**2)))
    assert found.stress_mae_GPa == pytest.approx(160.21766208 * (3 * 0.009 + 0.018) / 18)
    assert found.stress_rmse_GPa == pytest.approx(160.21766208 * np.sqrt((3 * 0.009**2 + 0.018**2) / 18))


def test_what_the_labels_do_not_allow_is_none(frames):
    labels, results = frames
    first = Errors.of(labels[:1], results[:1])
    assert (first.stress_mae_GPa, first.stress_rmse_GPa) == (None, None)
    assert Errors.of(labels[2:], results[2:]).force_slope is None
    assert Errors.of(labels[2:], results[2:]).force_cosine is None
    assert not {"stress_mae", "stress_rmse"} & accuracy(labels[:1], results[:1]).keys()


def test_metrics_of_benchmarks_are_these_errors(frames):
    assert accuracy(*frames) == pytest.approx(
        {
            "energy_mae": 30,
            "energy_rmse": 34.1565,
            "shifted_energy_mae": 26.6667,
            "shifted_energy_rmse": 32.6599,
            "force_mae": 28.5714,
            "force_rmse": 81.6497,
            "force_cosine": 0.998303,
            "force_slope": 0.84,
            "stress_mae": 0.400544,
            "stress_rmse": 0.899218,
        },
        rel=1e-5,
    )
