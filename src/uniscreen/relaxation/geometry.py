"""Where the systems of a batch are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from uniscreen.relaxation.cell import deformation
from uniscreen.structures.graph import complete_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where B systems with N atoms are.

    x0 (N, 3) Å in the undeformed frame, U (B, 3, 3), and what does not change: the cells at the start (B, 3, 3),
    their volumes (B,), the atomic numbers (N,), the periodic directions (B, 3) and the atoms' systems (N,).
    """

    reference: Tensor
    log_strain: Tensor
    cells0: Tensor
    volumes0: Tensor
    numbers: Tensor
    pbc: Tensor
    system: Tensor

    @classmethod
    def of(cls, structures: Sequence[Atoms], device: torch.device) -> Geometry:
        """Structures as they are given, those without a cell in a box that they do not feel."""
        cells = torch.as_tensor(np.stack([complete_cell(a) for a in structures]), device=device)
        system = np.repeat(np.arange(len(structures)), [len(a) for a in structures])
        return cls(
            reference=torch.as_tensor(np.concatenate([a.positions for a in structures]), device=device),
            log_strain=torch.zeros_like(cells),
            cells0=cells,
            volumes0=torch.linalg.det(cells).abs(),
            numbers=torch.as_tensor(np.concatenate([a.numbers for a in structures]), device=device),
            pbc=torch.as_tensor(np.stack([a.pbc for a in structures]), device=device),
            system=torch.as_tensor(system, device=device),
        )

    def select(self, atoms: Tensor, systems: Tensor) -> Geometry:
        """Keep the given atoms (mask) and systems (mask)."""
        return Geometry(
            reference=self.reference[atoms],
            log_strain=self.log_strain[systems],
            cells0=self.cells0[systems],
            volumes0=self.volumes0[systems],
            numbers=self.numbers[atoms],
            pbc=self.pbc[systems],
            system=(torch.cumsum(systems, 0) - 1)[self.system[atoms]],
        )

    def append(self, other: Geometry) -> Geometry:
        """Put other systems behind these."""
        return Geometry(
            reference=torch.cat([self.reference, other.reference]),
            log_strain=torch.cat([self.log_strain, other.log_strain]),
            cells0=torch.cat([self.cells0, other.cells0]),
            volumes0=torch.cat([self.volumes0, other.volumes0]),
            numbers=torch.cat([self.numbers, other.numbers]),
            pbc=torch.cat([self.pbc, other.pbc]),
            system=torch.cat([self.system, other.system + len(self.cells0)]),
        )

    @property
    def n_atoms(self) -> Tensor:
        """(B,)."""
        return torch.bincount(self.system, minlength=len(self.cells0))

    def deformed(self) -> tuple[Tensor, Tensor, Tensor]:
        """F (B, 3, 3), positions (N, 3) Å and cells (B, 3, 3) Å as they are now."""
        gradient = deformation(self.log_strain)
        positions = torch.einsum("ni,nji->nj", self.reference, gradient[self.system])
        return gradient, positions, self.cells0 @ gradient.transpose(1, 2)
