"""The systems that are moved together, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from uniscreen.relaxation.geometry import Geometry
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ase import Atoms
    from torch import Tensor

    from uniscreen.relaxation.optimisers import OptimiserState


@dataclass(frozen=True, eq=False)
class System:
    """One system: what the caller knows it by, its atoms as given, the work of evaluating it, and its steps.

    ``initial_energy`` is its energy (eV) as given; ``cautious``: it broke a guard on a first way, and is on its second.
    """

    key: int
    atoms: Atoms
    work: float
    initial_energy: float | None = None
    n_steps: int = 0
    cautious: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """Systems, where they are, and what the optimiser remembers of them."""

    systems: tuple[System, ...]
    geometry: Geometry
    optimiser: OptimiserState

    @classmethod
    def of(cls, systems: Sequence[System], optimiser: type[OptimiserState], device: torch.device) -> Batch:
        """Systems as they are given, all on their first way or all cautious."""
        geometry = Geometry.of([system.atoms for system in systems], device)
        n_atoms = len(geometry.system)
        fresh = optimiser.fresh(n_atoms, len(systems), geometry.reference, cautious=systems[0].cautious)
        return cls(tuple(systems), geometry, fresh)

    def __len__(self) -> int:
        return len(self.systems)

    @property
    def work(self) -> float:
        """What one evaluation takes; see ``Potential.cost``."""
        return sum(system.work for system in self.systems)

    def select(self, keep: Sequence[bool]) -> Batch:
        """Only some of the systems, at least one."""
        assert any(keep)
        if all(keep):
            return self
        systems = torch.tensor(keep, device=self.geometry.system.device)
        atoms = systems[self.geometry.system]
        return Batch(
            tuple(system for system, kept in zip(self.systems, keep, strict=True) if kept),
            self.geometry.select(atoms, systems),
            self.optimiser.select(atoms, systems),
        )

    def one_by_one(self) -> Iterator[Batch]:
        """Each system as a batch of its own."""
        for i in range(len(self)):
            yield self.select([i == j for j in range(len(self))])

    def append(self, other: Batch) -> Batch:
        """Put other systems behind these."""
        return Batch(
            self.systems + other.systems,
            self.geometry.append(other.geometry),
            self.optimiser.append(other.optimiser),
        )

    def with_systems(self, change: Callable[[int, System], System]) -> Batch:
        """The same with every system changed."""
        return replace(self, systems=tuple(change(i, system) for i, system in enumerate(self.systems)))

    def graph(self, positions: Tensor, cells: Tensor, cutoff: float) -> AtomicGraph:
        """The neighbours of the systems at positions (N, 3) Å in cells (B, 3, 3) Å."""
        geometry = self.geometry
        ptr = torch.cat([geometry.system.new_zeros(1), torch.cumsum(geometry.n_atoms, 0)])
        return AtomicGraph.build(positions, cells, geometry.pbc, geometry.numbers, ptr, cutoff)
