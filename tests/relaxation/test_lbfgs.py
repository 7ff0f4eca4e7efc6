"""L-BFGS against the inverse Hessian written out, against FIRE, and where it gets nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from test_relax import lj_crystals

from toy_potentials import LennardJones
from uniscreen.relaxation import lbfgs
from uniscreen.relaxation.fire import FireState
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.lbfgs import MAX_MOVE, MEMORY, PATIENCE, STIFFNESS, LBFGSState
from uniscreen.relaxation.result import RelaxationSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from uniscreen.potentials.base import Potential

SYSTEM = torch.tensor([0, 0, 1, 1, 1])
ROWS = [[0, 1, 5, 6, 7], [2, 3, 4, 8, 9, 10]]
"""Of atoms and cells stacked as (5 + 2 x 3, 3): the rows of each of the two systems."""


def stacked(atoms: torch.Tensor, cell: torch.Tensor) -> np.ndarray:
    return torch.cat([atoms, cell.reshape(-1, 3)]).numpy()


def inverse_hessian(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Of the pairs (s, y), the newest last: Nocedal and Wright, Numerical Optimization (2006), eqs. 7.20 and 6.17."""
    s, y = pairs[-1]
    inverse = np.eye(len(s)) * (s @ y) / (y @ y)
    for s, y in pairs:
        left = np.eye(len(s)) - np.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
    return inverse


def test_the_moves_are_those_of_the_inverse_hessian() -> None:
    """Two systems of 15 and 18 degrees of freedom, each in its own quadratic well, for longer than the memory."""
    rng = np.random.default_rng(0)
    hessians = []
    for rows in ROWS:
        vectors = np.linalg.qr(rng.normal(size=(3 * len(rows), 3 * len(rows))))[0]
        hessians.append(vectors * rng.uniform(5, 40, len(vectors)) @ vectors.T)
    where = rng.uniform(-0.01, 0.01, (11, 3))
    state = LBFGSState.fresh(5, 2, torch.zeros(1, dtype=torch.float64))
    history: list[list[tuple[np.ndarray, np.ndarray]]] = [[], []]
    for step in range(MEMORY + 4):
        force = np.zeros_like(where)
        for rows, hessian in zip(ROWS, hessians, strict=True):
            force[rows] = -(hessian @ where[rows].ravel()).reshape(-1, 3)
        forces = torch.as_tensor(force)
        state, atoms, cell = state.step(forces[:5], forces[5:].reshape(2, 3, 3), SYSTEM)
        move = stacked(atoms, cell)
        for rows, hessian, pairs in zip(ROWS, hessians, history, strict=True):
            f, s = force[rows].ravel(), move[rows].ravel()
            expected = inverse_hessian(pairs[-MEMORY:]) @ f if pairs else f / STIFFNESS
            np.testing.assert_allclose(s, expected, rtol=0, atol=1e-12 + 1e-9 * np.abs(expected).max())
            pairs.append((s, hessian @ s))
        where += move
        assert step == 0 or np.abs(move).max() < MAX_MOVE


def test_no_move_is_longer_than_the_limit() -> None:
    state = LBFGSState.fresh(5, 2, torch.zeros(1, dtype=torch.float64))
    force = torch.zeros((5, 3), dtype=torch.float64)
    force[0, 0], force[3, 1] = 100.0, 1.0
    _, atoms, _ = state.step(force, torch.zeros((2, 3, 3), dtype=torch.float64), SYSTEM)
    assert atoms[0].tolist() == pytest.approx([MAX_MOVE, 0, 0])
    assert atoms[3].tolist() == pytest.approx([0, 1 / STIFFNESS, 0])


def test_a_system_that_gets_nowhere_goes_on_with_fire() -> None:
    """The first feels the same force for ever; the second follows a spring and is not affected."""
    state = LBFGSState.fresh(5, 2, torch.zeros(1, dtype=torch.float64))
    fire = FireState.fresh(2, 1, torch.zeros(1, dtype=torch.float64))
    constant = torch.tensor([[0.3, 0, 0], [-0.3, 0, 0]], dtype=torch.float64)
    cells = torch.zeros((2, 3, 3), dtype=torch.float64)
    where = torch.tensor([[0.1, 0, 0], [0, 0.2, 0], [0, 0, -0.1]], dtype=torch.float64)
    for step in range(PATIENCE + 12):
        state, atoms, _ = state.step(torch.cat([constant, -10 * where]), cells, SYSTEM)
        where = where + atoms[2:]
        if step >= PATIENCE:
            fire, expected, _ = fire.step(constant, cells[:1], torch.zeros(2, dtype=torch.long))
            torch.testing.assert_close(atoms[:2], expected, rtol=0, atol=1e-12)
    assert where.abs().max() < 1e-6


@pytest.mark.parametrize("fmax", [0.05, 1e-4])
def test_the_minima_of_fire_in_fewer_steps(fmax: float) -> None:
    potential, crystals = LennardJones(), lj_crystals()
    fire = relax(potential, crystals, RelaxationSettings(fmax, optimiser="fire"))
    ours = relax(potential, crystals, RelaxationSettings(fmax, optimiser="lbfgs"))
    for a, b in zip(fire, ours, strict=True):
        assert (a.status, b.status) == ("ok", "ok")
        assert b.n_steps < a.n_steps
        assert b.energy == pytest.approx(a.energy, rel=0, abs=len(b.atoms) * fmax / 50)


def test_a_relaxation_that_goes_wrong_begins_anew_with_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves of several Å tear every crystal apart; FIRE then takes each from where it was given."""
    potential, crystals = LennardJones(), lj_crystals()
    fire = relax(potential, crystals, RelaxationSettings(0.01, optimiser="fire"))
    monkeypatch.setattr(lbfgs, "MAX_MOVE", 5.0)
    monkeypatch.setattr(lbfgs, "STIFFNESS", 0.01)
    again = relax(potential, crystals, RelaxationSettings(0.01))
    assert [(a.status, a.n_steps) for a in again] == [(a.status, a.n_steps) for a in fire]
    for a, b in zip(fire, again, strict=True):
        assert b.energy == pytest.approx(a.energy, rel=0, abs=1e-8)
        assert b.initial_energy == pytest.approx(a.initial_energy, rel=0, abs=1e-12)


def test_the_minimum_of_chgnet(loaded: Callable[..., Potential], crystals: dict[str, Atoms]) -> None:
    potential, starts = loaded("chgnet-0.3.0"), [crystals["quinary"], crystals["SrTiO3"]]
    for start in starts:
        [fire] = relax(potential, [start], RelaxationSettings(0.01, optimiser="fire"))
        [ours] = relax(potential, [start], RelaxationSettings(0.01, optimiser="lbfgs"))
        assert (fire.status, ours.status) == ("ok", "ok")
        assert ours.n_steps < fire.n_steps
        assert ours.energy < fire.energy + 1e-3 * len(start)
