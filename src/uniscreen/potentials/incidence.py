"""Sums of gathered rows, and their adjoint, without atomic additions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class _Rows(NamedTuple):
    """The ones of a binary matrix by row: those of row r are at columns[offsets[r] : offsets[r + 1]]."""

    columns: Tensor
    offsets: Tensor


class Incidence(NamedTuple):
    """A sparse binary matrix S (m, n), held by rows and by columns.

    ``S @ x`` is, for x (n, f), the (m, f) sums of the rows of x that belong together. It is one pass over the data in
    both directions, in a fixed order on every device, and can be differentiated any number of times.
    """

    rows: _Rows
    transposed_rows: _Rows

    @classmethod
    def gather(cls, index: Tensor, n: int) -> Incidence:
        """S (m, n) that sums the k rows named by each row of index (m, k)."""
        m, k = index.shape
        columns = index.flatten()
        order = torch.argsort(columns, stable=True)
        counts = torch.bincount(columns, minlength=n)
        return cls(
            _Rows(columns, torch.arange(0, m * k + 1, k, device=index.device)),
            _Rows(order // k, torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])),
        )

    @property
    def transposed(self) -> Incidence:
        """Sᵀ (n, m)."""
        return Incidence(self.transposed_rows, self.rows)

    def __matmul__(self, x: Tensor) -> Tensor:
        return _SumRows.apply(x, self)  # type: ignore[no-untyped-call]


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, incidence: Incidence) -> Tensor:
        ctx.incidence = incidence
        columns, offsets = incidence.rows
        return torch.embedding_bag(x.contiguous(), columns, offsets, include_last_offset=True)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.incidence.transposed @ gradient, None
