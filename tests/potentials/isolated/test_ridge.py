"""Least squares with a penalty that cross-validation chooses."""

from __future__ import annotations

import numpy as np
from backend_modules import backend_module

ridge = backend_module("ridge")


def problem(n_groups: int, noise: float, scales: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Groups of 6 equations whose solution is random."""
    generator = np.random.default_rng(0)
    solution = generator.normal(size=len(scales)) / scales
    rows = [generator.normal(size=(6, len(scales))) * scales for _ in range(n_groups)]
    targets = [one @ solution + noise * generator.normal(size=6) for one in rows]
    return rows, targets, solution


def solved(rows: list[np.ndarray], targets: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """The coefficients, and the strength of the penalty."""
    fit = ridge.Ridge(n_folds=5, seed=0)
    for one, target in zip(rows, targets, strict=True):
        fit.add(one, target)
    coefficients = fit.solve()
    return coefficients, float(fit.report.splitlines()[-1].split()[1])


def test_exact_equations_are_solved_whatever_their_units() -> None:
    rows, targets, solution = problem(n_groups=8, noise=0.0, scales=np.array([1e-4, 1.0, 1e5]))
    coefficients, penalty = solved(rows, targets)
    np.testing.assert_allclose(coefficients, solution, rtol=1e-10)
    assert penalty == ridge.STRENGTHS[0]


def test_the_solution_is_that_of_all_equations_with_the_penalty() -> None:
    """Against the closed form, on columns of norm 1."""
    rows, targets, _ = problem(n_groups=5, noise=3.0, scales=np.ones(25))
    coefficients, penalty = solved(rows, targets)
    matrix, vector = np.concatenate(rows), np.concatenate(targets)
    norms = np.linalg.norm(matrix, axis=0)
    matrix = matrix / norms
    strength = penalty * np.linalg.norm(matrix, 2)
    expected = np.linalg.solve(matrix.T @ matrix + strength**2 * np.eye(25), matrix.T @ vector) / norms
    np.testing.assert_allclose(coefficients, expected, rtol=5e-2)  # the report has two digits of the penalty


def test_noise_asks_for_a_stronger_penalty() -> None:
    scales = np.ones(25)
    penalties = [solved(*problem(n_groups=10, noise=noise, scales=scales)[:2])[1] for noise in (0.0, 3.0)]
    assert penalties[0] < 1e-3 < 1e-2 <= penalties[1]


def test_fewer_equations_than_coefficients_have_a_finite_solution() -> None:
    rows, targets, _ = problem(n_groups=1, noise=0.0, scales=np.ones(25))
    rows[0][:, 3] = 0.0
    coefficients, _ = solved(rows, targets)
    assert abs(coefficients[3]) < 1e-12
    np.testing.assert_allclose(rows[0] @ coefficients, targets[0], atol=1e-6)
