"""The cell's degrees of freedom: the logarithm of the deformation (Fréchet cell filter), for a batch.

A cell h0 (rows are lattice vectors) deforms as h = h0 Fᵀ with F = exp(U), and positions as x = x0 Fᵀ. The
optimiser moves x0 and U. This is the parametrisation of ASE's FrechetCellFilter, whose gradients are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def deformation(log_strain: Tensor) -> Tensor:
    """F = exp(U), (B, 3, 3)."""
    return torch.linalg.matrix_exp(log_strain)


def log_strain_force(log_strain: Tensor, deformation: Tensor, stress: Tensor, volumes: Tensor) -> Tensor:
    """-dE/dU (B, 3, 3) in eV from the stress (B, 3, 3) in eV/Å³ and the volumes (B,) in Å³.

    With the force on F, G = -V σ F⁻ᵀ, it is the adjoint of exp's Fréchet derivative, L(Uᵀ, G), which is the upper
    right block of exp([[Uᵀ, G], [0, Uᵀ]]): Higham, Functions of Matrices (SIAM, 2008), eq. 3.16.
    """
    force_on_deformation = -volumes[:, None, None] * stress @ torch.linalg.inv(deformation).transpose(1, 2)
    block = log_strain.new_zeros((len(log_strain), 6, 6))
    block[:, :3, :3] = block[:, 3:, 3:] = log_strain.transpose(1, 2)
    block[:, :3, 3:] = force_on_deformation
    return torch.linalg.matrix_exp(block)[:, :3, 3:]
