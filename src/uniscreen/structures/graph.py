"""A batch of atomic systems as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.neighbours import half_neighbour_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class AtomicGraph:
    """A batch of B systems with N atoms and E directed edges in all.

    ============== ========= ======= ====================================================
    field          shape     unit    what
    ============== ========= ======= ====================================================
    positions      (N, 3)    Å       Cartesian; atoms of one system are consecutive
    cells          (B, 3, 3) Å       rows are lattice vectors
    pbc            (B, 3)            periodic directions
    numbers        (N,)              atomic numbers
    system         (N,)              the system that an atom belongs to
    ptr            (B + 1,)          first atom of each system
    edge_index     (2, E)            centre and neighbour
    edge_shift     (E, 3)            whole numbers; see ``edge_vectors``
    cutoff                   Å       every pair within it is an edge
    ============== ========= ======= ====================================================

    Edge ``k`` of the first half and edge ``k + E/2`` are one pair seen from its two ends.
    Geometry is float64; a potential casts to its own precision.
    """

    positions: Tensor
    cells: Tensor
    pbc: Tensor
    numbers: Tensor
    system: Tensor
    ptr: Tensor
    edge_index: Tensor
    edge_shift: Tensor
    cutoff: float

    @classmethod
    def build(
        cls, positions: Tensor, cells: Tensor, pbc: Tensor, numbers: Tensor, ptr: Tensor, cutoff: float
    ) -> AtomicGraph:
        """Build the edges of a batch on the device where the tensors are; shapes as in the class."""
        centre, neighbour, shift = half_neighbour_list(positions.detach(), cells.detach(), pbc, ptr, cutoff)
        return cls(
            positions=positions,
            cells=cells,
            pbc=pbc,
            numbers=numbers,
            system=torch.repeat_interleave(ptr[1:] - ptr[:-1]),
            ptr=ptr,
            edge_index=torch.stack([torch.cat([centre, neighbour]), torch.cat([neighbour, centre])]),
            edge_shift=torch.cat([shift, -shift]),
            cutoff=cutoff,
        )

    @classmethod
    def from_atoms(cls, structures: Sequence[Atoms], cutoff: float, device: torch.device | str = "cpu") -> AtomicGraph:
        """Build a batch from ASE Atoms. A system without a cell is put into a box that it does not feel."""
        counts = np.array([len(atoms) for atoms in structures])
        cells = np.stack([complete_cell(atoms) for atoms in structures])
        return cls.build(
            positions=torch.as_tensor(np.concatenate([a.positions for a in structures]), device=device),
            cells=torch.as_tensor(cells, device=device),
            pbc=torch.as_tensor(np.stack([a.pbc for a in structures]), device=device),
            numbers=torch.as_tensor(np.concatenate([a.numbers for a in structures]), device=device),
            ptr=torch.as_tensor(np.concatenate([[0], np.cumsum(counts)]), device=device),
            cutoff=cutoff,
        )

    @property
    def n_systems(self) -> int:
        """B, the number of systems."""
        return len(self.cells)

    @property
    def n_atoms(self) -> Tensor:
        """(B,) atoms of each system."""
        return self.ptr[1:] - self.ptr[:-1]

    @property
    def volumes(self) -> Tensor:
        """(B,) Å³."""
        return torch.linalg.det(self.cells).abs()

    @cached_property
    def edge_vectors(self) -> Tensor:
        """(E, 3) Å from centre to neighbour; differentiable with respect to positions and cells."""
        centre, neighbour = self.edge_index
        offset = torch.einsum("ei,eij->ej", self.edge_shift, self.cells[self.system[centre]])
        return self.positions[neighbour] + offset - self.positions[centre]

    def strained(self, positions: Tensor, strain: Tensor) -> AtomicGraph:
        """The same edges with positions (N, 3) Å and cells deformed by I + strain (B, 3, 3), made symmetric."""
        symmetric = 0.5 * (strain + strain.transpose(1, 2))
        deformation = torch.eye(3, dtype=strain.dtype, device=strain.device) + symmetric
        return replace(
            self,
            positions=torch.einsum("ni,nij->nj", positions, deformation[self.system]),
            cells=self.cells @ deformation,
        )

    def within(self, cutoff: float) -> AtomicGraph:
        """The same systems with only the edges up to a smaller cutoff (Å)."""
        assert cutoff <= self.cutoff
        if cutoff == self.cutoff:
            return self
        n_pairs = self.edge_index.shape[1] // 2
        # Judged from one end: rounding must not tear the two edges of a pair apart.
        short = (self.edge_vectors[:n_pairs].detach().norm(dim=1) < cutoff).repeat(2)
        return replace(self, edge_index=self.edge_index[:, short], edge_shift=self.edge_shift[short], cutoff=cutoff)

    def isolated_atoms(self) -> Tensor:
        """(N,) bool: atoms with no neighbour within the cutoff."""
        degree = torch.bincount(self.edge_index[0], minlength=len(self.numbers))
        return degree == 0

    def shortest_distances(self) -> Tensor:
        """(B,) Å, the shortest distance between two atoms of each system; infinite where there is no edge."""
        lengths = self.edge_vectors.detach().norm(dim=1)
        shortest = lengths.new_full((self.n_systems,), torch.inf)
        return shortest.scatter_reduce_(0, self.system[self.edge_index[0]], lengths, "amin")


def complete_cell(atoms: Atoms) -> np.ndarray:
    """(3, 3) Å, the cell with unit vectors in place of missing non-periodic directions.

    Raises:
        InvalidStructureError: a periodic direction has no lattice vector.
    """
    missing = atoms.pbc & ~atoms.cell.any(1)
    if missing.any():
        raise InvalidStructureError(
            f"{atoms.get_chemical_formula()} is periodic along lattice vector {np.argmax(missing) + 1}, which is zero"
        )
    return np.asarray(atoms.cell.complete().array, dtype=np.float64)
