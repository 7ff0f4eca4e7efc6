"""Vectors over the degrees of freedom of many systems at once: their atoms and their cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Motion(NamedTuple):
    """A move, force or change of B systems with N atoms in all, or M of them at once.

    ``atoms`` (..., N, 3) are the parts of the atoms and ``cell`` (..., B, 3, 3) those of the scaled log-strains.
    ``system`` (N,), an argument of the methods, is the system of each atom.
    """

    atoms: Tensor
    cell: Tensor

    def dot(self, other: Motion, system: Tensor) -> Tensor:
        """(..., B) scalar products, system by system."""
        of_atoms = (self.atoms * other.atoms).sum(dim=-1)
        return (self.cell * other.cell).sum(dim=(-2, -1)).index_add(-1, system, of_atoms)

    def times(self, factor: Tensor, system: Tensor) -> Motion:
        """Each system's part times its factor (B,)."""
        return Motion(self.atoms * factor[system, None], self.cell * factor[:, None, None])

    def plus(self, other: Motion) -> Motion:
        """The sum."""
        return Motion(self.atoms + other.atoms, self.cell + other.cell)

    def minus(self, other: Motion) -> Motion:
        """The difference."""
        return Motion(self.atoms - other.atoms, self.cell - other.cell)

    def or_else(self, use: Tensor, other: Motion, system: Tensor) -> Motion:
        """The systems where ``use`` (B,) is true from here, the rest from the other."""
        return Motion(
            torch.where(use[system, None], self.atoms, other.atoms),
            torch.where(use[:, None, None], self.cell, other.cell),
        )

    def longest(self, system: Tensor) -> Tensor:
        """(B,) the length of the longest row of each system."""
        of_cell = self.cell.norm(dim=-1).amax(dim=-1)
        return of_cell.scatter_reduce(0, system, self.atoms.norm(dim=-1), "amax")

    def pushed(self, newest: Motion) -> Motion:
        """M of them with one more in front and the last dropped."""
        return Motion(
            torch.cat([newest.atoms[None], self.atoms[:-1]]),
            torch.cat([newest.cell[None], self.cell[:-1]]),
        )

    def at(self, i: int) -> Motion:
        """The i-th of M."""
        return Motion(self.atoms[i], self.cell[i])

    def select(self, atoms: Tensor, systems: Tensor) -> Motion:
        """Keep the given atoms (mask) and systems (mask)."""
        return Motion(self.atoms[..., atoms, :], self.cell[..., systems, :, :])

    def append(self, other: Motion) -> Motion:
        """Put other systems behind these."""
        return Motion(torch.cat([self.atoms, other.atoms], dim=-2), torch.cat([self.cell, other.cell], dim=-3))
