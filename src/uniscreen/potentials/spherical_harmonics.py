"""Real spherical harmonics of any degree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def spherical_harmonics(directions: Tensor, l_max: int) -> Tensor:
    """(n, l_max²) Y_lm of unit vectors (n, 3) for l < l_max, ordered by l and then by m from -l to l.

    They are scaled such that Σ_m Y_lm(a) Y_lm(b) = P_l(a · b), the Legendre polynomial (Racah's normalisation). As
    polynomials of x, y and z they can be differentiated at the poles too.
    """
    x, y, z = directions.unbind(1)
    cosines, sines = [torch.ones_like(x)], [torch.zeros_like(x)]  # times sin^m θ
    for _ in range(1, l_max):
        cosine, sine = cosines[-1], sines[-1]
        cosines.append(x * cosine - y * sine)
        sines.append(x * sine + y * cosine)
    legendre: dict[tuple[int, int], Tensor] = {}  # over sin^m θ
    columns = []
    for degree in range(l_max):
        for m in range(degree + 1):
            legendre[degree, m] = _associated_legendre(legendre, degree, m, z)
        scaled = [
            legendre[degree, m] * math.sqrt(2 * math.factorial(degree - m) / math.factorial(degree + m))
            for m in range(1, degree + 1)
        ]
        columns += [value * sines[m] for m, value in reversed(list(enumerate(scaled, start=1)))]
        columns += [legendre[degree, 0]]
        columns += [value * cosines[m] for m, value in enumerate(scaled, start=1)]
    return torch.stack(columns, dim=1)


def _associated_legendre(lower: dict[tuple[int, int], Tensor], degree: int, m: int, z: Tensor) -> Tensor:
    """P_lm(z) / sin^m θ without the Condon-Shortley phase, from those of lower degrees."""
    if degree == m:
        return torch.full_like(z, math.prod(range(1, 2 * m, 2)))
    below = (2 * degree - 1) * z * lower[degree - 1, m]
    if degree == m + 1:
        return below
    return (below - (degree + m - 1) * lower[degree - 2, m]) / (degree - m)
