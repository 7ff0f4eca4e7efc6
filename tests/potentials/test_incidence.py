"""Sums of gathered rows against the dense matrix that they stand for."""

from __future__ import annotations

import pytest
import torch

from uniscreen.potentials.incidence import Incidence

INDEX = torch.tensor([[0, 3], [3, 3], [1, 0], [5, 3]])  # row 1 takes one row twice; rows 2 and 4 of x are in none


def dense(index: torch.Tensor, n: int) -> torch.Tensor:
    matrix = torch.zeros(len(index), n, dtype=torch.float64)
    for row, columns in enumerate(index.tolist()):
        for column in columns:
            matrix[row, column] += 1
    return matrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_matrix_and_its_transpose(dtype: torch.dtype) -> None:
    incidence, matrix = Incidence.gather(INDEX, 6), dense(INDEX, 6).to(dtype)
    x, y = torch.randn(6, 8, dtype=dtype), torch.randn(4, 8, dtype=dtype)
    torch.testing.assert_close(incidence @ x, matrix @ x)
    torch.testing.assert_close(incidence.transposed @ y, matrix.T @ y)


def test_derivatives() -> None:
    incidence = Incidence.gather(INDEX, 6)
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: (incidence @ x).sin(), x)
    assert torch.autograd.gradgradcheck(lambda x: (incidence @ x).sin(), x)


def test_nothing_to_gather() -> None:
    incidence = Incidence.gather(torch.zeros(0, 2, dtype=torch.long), 6)
    assert (incidence @ torch.randn(6, 4)).shape == (0, 4)
    assert (incidence.transposed @ torch.randn(0, 4)).tolist() == [[0.0] * 4] * 6
