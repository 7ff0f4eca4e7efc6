"""FIRE (Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)) on positions and cells of many systems at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from torch import Tensor

# The constants are those of ASE's FIRE, so that a single system follows the same path.
TIME_STEP = 0.1
MAX_TIME_STEP = 1.0
MAX_MOVE = 0.2
STEPS_BEFORE_GROWTH = 5
TIME_STEP_GROWTH = 1.1
TIME_STEP_CUT = 0.5
MIXING = 0.1
MIXING_DECAY = 0.99


@dataclass(frozen=True, eq=False)
class FireState:
    """FIRE's memory of B systems with N atoms.

    Velocities of atoms (N, 3) and of the scaled log-strain (B, 3, 3), time step (B,), mixing (B,), steps downhill since
    the last stop (B,), and whether the system has moved at all (B,).
    """

    atom_velocity: Tensor
    cell_velocity: Tensor
    time_step: Tensor
    mixing: Tensor
    downhill: Tensor
    started: Tensor

    has_cautious_way: ClassVar[bool] = False
    """This is the cautious way."""

    @classmethod
    def fresh(cls, n_atoms: int, n_systems: int, like: Tensor, *, cautious: bool = False) -> FireState:  # noqa: ARG003
        """Systems at rest."""
        return cls(
            atom_velocity=like.new_zeros((n_atoms, 3)),
            cell_velocity=like.new_zeros((n_systems, 3, 3)),
            time_step=like.new_full((n_systems,), TIME_STEP),
            mixing=like.new_full((n_systems,), MIXING),
            downhill=like.new_zeros((n_systems,)),
            started=torch.zeros(n_systems, dtype=torch.bool, device=like.device),
        )

    def select(self, atoms: Tensor, systems: Tensor) -> FireState:
        """Keep the given atoms (mask) and systems (mask)."""
        return FireState(self.atom_velocity[atoms], *(getattr(self, f.name)[systems] for f in fields(self)[1:]))

    def append(self, other: FireState) -> FireState:
        """Put other systems behind these."""
        return FireState(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def resting(self, rest: Tensor, system: Tensor) -> FireState:
        """The same with the given systems (mask) at rest, as if they had not begun."""
        fresh = FireState.fresh(len(self.atom_velocity), len(self.cell_velocity), self.atom_velocity)
        return FireState(
            torch.where(rest[system, None], fresh.atom_velocity, self.atom_velocity),
            torch.where(rest[:, None, None], fresh.cell_velocity, self.cell_velocity),
            *(torch.where(rest, getattr(fresh, f.name), getattr(self, f.name)) for f in fields(self)[2:]),
        )

    def step(self, atom_force: Tensor, cell_force: Tensor, system: Tensor) -> tuple[FireState, Tensor, Tensor]:
        """One step along generalised forces.

        Args:
            atom_force: (N, 3) eV/Å, in the undeformed frame.
            cell_force: (B, 3, 3) eV, already divided by the number of atoms.
            system: (N,) the system of each atom.

        Returns:
            the new state and the moves of the atoms (N, 3) and of the scaled log-strain (B, 3, 3).
        """

        def dot(a: Tensor, b: Tensor, cell_a: Tensor, cell_b: Tensor) -> Tensor:
            return (cell_a * cell_b).sum(dim=(1, 2)).index_add(0, system, (a * b).sum(dim=1))

        v, w = self.atom_velocity, self.cell_velocity
        downhill = dot(atom_force, v, cell_force, w) > 0.0
        force_norm = dot(atom_force, atom_force, cell_force, cell_force).sqrt().clamp_min(1e-30)
        pull = self.mixing * dot(v, v, w, w).sqrt() / force_norm
        keep = torch.where(downhill, 1.0 - self.mixing, 0.0)
        pull = torch.where(downhill, pull, 0.0)
        grow = downhill & (self.downhill > STEPS_BEFORE_GROWTH)
        stop = ~downhill & self.started  # a system at rest has nothing to stop

        time_step = torch.where(grow, (self.time_step * TIME_STEP_GROWTH).clamp_max(MAX_TIME_STEP), self.time_step)
        time_step = torch.where(stop, self.time_step * TIME_STEP_CUT, time_step)
        mixing = torch.where(grow, self.mixing * MIXING_DECAY, self.mixing)
        mixing = torch.where(stop, MIXING, mixing)

        atom_gain, cell_gain = pull + time_step, (pull + time_step)[:, None, None]
        v = keep[system, None] * v + atom_gain[system, None] * atom_force
        w = keep[:, None, None] * w + cell_gain * cell_force
        move = time_step * dot(v, v, w, w).sqrt()
        scale = time_step * (MAX_MOVE / move.clamp_min(MAX_MOVE))
        state = FireState(
            atom_velocity=v,
            cell_velocity=w,
            time_step=time_step,
            mixing=mixing,
            downhill=torch.where(downhill, self.downhill + 1, 0.0),
            started=torch.ones_like(self.started),
        )
        return state, scale[system, None] * v, scale[:, None, None] * w
