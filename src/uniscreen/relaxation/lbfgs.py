"""L-BFGS (Liu and Nocedal, Math. Program. 45, 503 (1989)) on positions and cells of many systems at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from uniscreen.relaxation.fire import FireState
from uniscreen.relaxation.motion import Motion

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = 12
"""Moves that are remembered."""

STIFFNESS = 20.0
"""eV/Å². The curvature that is assumed before any has been seen."""

MAX_MOVE = 0.2
"""Å. The longest move of an atom, as in FIRE."""

MIN_CURVATURE = 1e-3
"""eV/Å². A move along which the energy curves less, or downwards, is no base for a quadratic model."""

PATIENCE = 40
"""Steps without a smaller residual after which a system goes on with FIRE."""


@dataclass(frozen=True, eq=False)
class LBFGSState:
    """What L-BFGS remembers of B systems with N atoms.

    ``moves`` are the last M moves, the newest first, and ``changes`` what they changed the gradient by; of each
    system the first ``n_pairs`` (B,) count. ``force`` and ``move`` are those of the last step, where there was one
    (``started`` (B,)). A system whose force on the longest row has not fallen below the smallest so far (``best`` (B,),
    eV/Å) for PATIENCE steps (``waited`` (B,)) goes on with ``fire``.
    """

    moves: Motion
    changes: Motion
    n_pairs: Tensor
    force: Motion
    move: Motion
    started: Tensor
    best: Tensor
    waited: Tensor
    fire: FireState

    has_cautious_way: ClassVar[bool] = True
    """FIRE from the start."""

    @classmethod
    def fresh(cls, n_atoms: int, n_systems: int, like: Tensor, *, cautious: bool = False) -> LBFGSState:
        """Systems of which nothing is known; cautious ones follow FIRE."""
        nothing = Motion(like.new_zeros((MEMORY, n_atoms, 3)), like.new_zeros((MEMORY, n_systems, 3, 3)))
        return cls(
            moves=nothing,
            changes=nothing,
            n_pairs=torch.zeros(n_systems, dtype=torch.long, device=like.device),
            force=nothing.at(0),
            move=nothing.at(0),
            started=torch.zeros(n_systems, dtype=torch.bool, device=like.device),
            best=like.new_full((n_systems,), torch.inf),
            waited=torch.full((n_systems,), PATIENCE if cautious else 0, dtype=torch.long, device=like.device),
            fire=FireState.fresh(n_atoms, n_systems, like),
        )

    def select(self, atoms: Tensor, systems: Tensor) -> LBFGSState:
        """Keep the given atoms (mask) and systems (mask)."""
        return LBFGSState(
            moves=self.moves.select(atoms, systems),
            changes=self.changes.select(atoms, systems),
            n_pairs=self.n_pairs[systems],
            force=self.force.select(atoms, systems),
            move=self.move.select(atoms, systems),
            started=self.started[systems],
            best=self.best[systems],
            waited=self.waited[systems],
            fire=self.fire.select(atoms, systems),
        )

    def append(self, other: LBFGSState) -> LBFGSState:
        """Put other systems behind these."""
        return LBFGSState(
            moves=self.moves.append(other.moves),
            changes=self.changes.append(other.changes),
            n_pairs=torch.cat([self.n_pairs, other.n_pairs]),
            force=self.force.append(other.force),
            move=self.move.append(other.move),
            started=torch.cat([self.started, other.started]),
            best=torch.cat([self.best, other.best]),
            waited=torch.cat([self.waited, other.waited]),
            fire=self.fire.append(other.fire),
        )

    def step(self, atom_force: Tensor, cell_force: Tensor, system: Tensor) -> tuple[LBFGSState, Tensor, Tensor]:
        """One step; arguments and results as for ``FireState.step``."""
        force = Motion(atom_force, cell_force)
        moves, changes, n_pairs = self._remember(force, system)
        move = _direction(force, moves, changes, n_pairs, system)
        downhill = move.dot(force, system) > 0.0
        move = move.or_else(downhill, Motion(atom_force / STIFFNESS, cell_force / STIFFNESS), system)
        move = move.times(MAX_MOVE / move.longest(system).clamp_min(MAX_MOVE), system)

        residual = force.longest(system)
        waited = torch.where((residual < self.best) & (self.waited < PATIENCE), 0, self.waited + 1)
        stuck = waited >= PATIENCE
        fire = self.fire
        if stuck.is_cuda or bool(stuck.any()):  # a GPU would wait longer for the answer than for FIRE
            fire, *fire_move = fire.resting(~stuck, system).step(atom_force, cell_force, system)
            move = Motion(*fire_move).or_else(stuck, move, system)
        state = LBFGSState(
            moves=moves,
            changes=changes,
            n_pairs=torch.where(downhill, n_pairs, 0),
            force=force,
            move=move,
            started=torch.ones_like(self.started),
            best=torch.minimum(residual, self.best),
            waited=waited,
            fire=fire,
        )
        return state, move.atoms, move.cell

    def _remember(self, force: Motion, system: Tensor) -> tuple[Motion, Motion, Tensor]:
        """The moves and changes with the last one; where the energy did not curve upwards along it, none count."""
        change = self.force.minus(force)
        curved = change.dot(self.move, system) > MIN_CURVATURE * self.move.dot(self.move, system)
        n_pairs = torch.where(curved & self.started, (self.n_pairs + 1).clamp_max(MEMORY), 0)
        return self.moves.pushed(self.move), self.changes.pushed(change), n_pairs


def _direction(force: Motion, moves: Motion, changes: Motion, n_pairs: Tensor, system: Tensor) -> Motion:
    """The inverse Hessian of the remembered pairs times the force: Nocedal and Wright, algorithm 7.4.

    The first guess is γ = s·y / y·y of the newest pair (eq. 7.20), 1 / STIFFNESS where there is none.
    """
    curvature = moves.dot(changes, system)  # (M, B)
    counts = torch.arange(MEMORY, device=n_pairs.device)[:, None] < n_pairs
    inverse = torch.where(counts, 1.0 / torch.where(counts, curvature, 1.0), 0.0)
    newest = changes.at(0)
    gamma = torch.where(counts[0], curvature[0] / newest.dot(newest, system).clamp_min(1e-30), 1.0 / STIFFNESS)
    weights = []
    for i in range(MEMORY):
        weights.append(inverse[i] * moves.at(i).dot(force, system))
        force = force.minus(changes.at(i).times(weights[i], system))
    move = force.times(gamma, system)
    for i in reversed(range(MEMORY)):
        weight = weights[i] - inverse[i] * changes.at(i).dot(move, system)
        move = move.plus(moves.at(i).times(weight, system))
    return move
