"""The optimisers of a batch, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from uniscreen.relaxation.fire import FireState
from uniscreen.relaxation.lbfgs import LBFGSState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Optimiser = Literal["lbfgs", "fire"]


class OptimiserState(Protocol):
    """What an optimiser remembers of the systems in flight; see ``FireState`` for shapes and units."""

    has_cautious_way: ClassVar[bool]
    """Whether it is worth trying ``cautious`` where a relaxation has gone wrong."""

    @classmethod
    def fresh(cls, n_atoms: int, n_systems: int, like: Tensor, *, cautious: bool = False) -> Self:
        """Systems that have not moved, to be moved with more care if ``cautious``."""

    def select(self, atoms: Tensor, systems: Tensor) -> Self:
        """Keep the given atoms (mask) and systems (mask)."""

    def append(self, other: Self) -> Self:
        """Put other systems behind these."""

    def step(self, atom_force: Tensor, cell_force: Tensor, system: Tensor) -> tuple[Self, Tensor, Tensor]:
        """The state after a step along generalised forces, and the moves of atoms and scaled log-strain."""


OPTIMISERS: Mapping[Optimiser, type[OptimiserState]] = {"lbfgs": LBFGSState, "fire": FireState}
