"""Spherical harmonics against SciPy's and their addition theorem."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre, sph_harm_y

from uniscreen.potentials.spherical_harmonics import spherical_harmonics

L_MAX = 6
POLES = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)


def directions() -> torch.Tensor:
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 3)))
    return torch.cat([vectors / vectors.norm(dim=1, keepdim=True), POLES])


def test_they_are_those_of_scipy() -> None:
    """Up to the scale and the Condon-Shortley phase: Y_l,±m = √2 (-1)^m Re, Im Y_l^m."""
    x = directions()
    theta, phi = np.arccos(x[:, 2].numpy()), np.arctan2(x[:, 1].numpy(), x[:, 0].numpy())
    ours = spherical_harmonics(x, L_MAX)
    for degree in range(L_MAX):
        for m in range(-degree, degree + 1):
            theirs = sph_harm_y(degree, abs(m), theta, phi) * np.sqrt(4 * np.pi / (2 * degree + 1)) * (-1) ** m
            expected = theirs.real if m == 0 else np.sqrt(2) * (theirs.real if m > 0 else theirs.imag)
            np.testing.assert_allclose(ours[:, degree**2 + degree + m], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", range(L_MAX))
def test_addition_theorem(degree: int) -> None:
    x = directions()
    y = spherical_harmonics(x, L_MAX)[:, degree**2 : (degree + 1) ** 2]
    np.testing.assert_allclose(y @ y.T, eval_legendre(degree, (x @ x.T).numpy()), rtol=0, atol=1e-12)


def test_derivatives_also_at_the_poles() -> None:
    x = directions()[-5:].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: spherical_harmonics(x, 4), x)
    assert torch.autograd.gradgradcheck(lambda x: spherical_harmonics(x, 4), x)
