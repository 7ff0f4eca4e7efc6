"""Parts of a MACE that do the work of mace's own with less arithmetic, on the same parameters.

They are for batches of crystals of many elements on CPUs. What they leave out: products with the zeros of one-hot
species; the zeros and the symmetry of the coupling coefficients of the product basis; the messages, which are summed
as they are made; and one of the two directions of an edge, whose radial weights are the same.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Module

if TYPE_CHECKING:
    from torch import Tensor

_RADIAL_WEIGHTS_ONLY = (
    "RealAgnosticInteractionBlock",
    "RealAgnosticResidualInteractionBlock",
    "RealAgnosticDensityInteractionBlock",
    "RealAgnosticDensityResidualInteractionBlock",
)
"""mace's interactions whose weights of an edge depend on its length and its unordered pair of species alone."""


def streamlined(model: Any) -> Any:
    """A copy of mace's model on the same parameters, with the parts replaced that are known here.

    It takes batches in which edges k and k + E/2 are one pair.
    """
    model = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    for interaction in model.interactions:
        if type(interaction).__name__ not in _RADIAL_WEIGHTS_ONLY:
            continue
        interaction.conv_tp_weights = _OncePerPair(interaction.conv_tp_weights)
        if SpeciesLinear.replaces(interaction.skip_tp):
            interaction.skip_tp = SpeciesLinear(interaction.skip_tp)
        if ScalarConvolution.replaces(interaction.conv_tp):
            interaction.conv_tp = ScalarConvolution(interaction.conv_tp)
            interaction.conv_fusion = True  # by which mace has messages made and summed at once
    for product in model.products:
        contractions = getattr(product.symmetric_contractions, "contractions", [])
        for i, contraction in enumerate(contractions):
            contractions[i] = PolynomialContraction(contraction)
    return model


class _OncePerPair(Module):
    """A network of the edges' lengths, run for one direction of each edge."""

    def __init__(self, network: Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.network(features[: len(features) // 2])
        return output.repeat(2, 1)


class SpeciesLinear(Module):
    """e3nn's fully connected product with one-hot species: a linear map for each species."""

    def __init__(self, product: Any) -> None:
        super().__init__()
        self.product = product

    @staticmethod
    def replaces(product: Any) -> bool:
        """Whether it is such a product, with one path to each of its outputs."""
        outputs = [instruction.i_out for instruction in product.instructions]
        return (
            len(product.irreps_in2) == 1
            and product.irreps_in2[0].ir.is_scalar()
            and all(i.connection_mode == "uvw" and i.has_weight for i in product.instructions)
            and sorted(outputs) == list(range(len(product.irreps_out)))
        )

    def forward(self, features: Tensor, one_hot: Tensor) -> Tensor:
        """(N, D) features of atoms to (N, D')."""
        product = self.product
        species = one_hot.argmax(dim=1)
        order = torch.argsort(species, stable=True)
        present, counts = torch.unique_consecutive(species[order], return_counts=True)
        sorted_parts = torch.split(features[order], [mul * ir.dim for mul, ir in product.irreps_in1], dim=1)
        outputs = {}
        for instruction, weight in zip(product.instructions, product.weight_views(), strict=True):
            mul, ir = product.irreps_in1[instruction.i_in1]
            part = sorted_parts[instruction.i_in1].view(-1, mul, ir.dim).transpose(1, 2)
            maps = weight.transpose(0, 1)[present] * (instruction.path_weight / math.sqrt(ir.dim))
            mapped = [rows @ matrix for rows, matrix in zip(part.split(counts.tolist()), maps, strict=True)]
            outputs[instruction.i_out] = torch.cat(mapped).transpose(1, 2).flatten(1)
        return torch.cat([outputs[i] for i in range(len(outputs))], dim=1)[torch.argsort(order)]


class ScalarConvolution(Module):
    """Messages of scalar features along edges, times spherical harmonics, and their sums at the receiving atoms."""

    def __init__(self, product: Any) -> None:
        super().__init__()
        (self.multiplicity, _), *_ = product.irreps_in1
        harmonics = product.irreps_in2.slices()
        by_output = sorted(enumerate(product.instructions), key=lambda path: path[1].i_out)
        self.paths = [
            (path, harmonics[i.i_in2], i.path_weight / math.sqrt(product.irreps_in2[i.i_in2].ir.dim))
            for path, i in by_output
        ]

    @staticmethod
    def replaces(product: Any) -> bool:
        """Whether it is a product of one kind of scalars with one of each harmonics, with one path to each output."""
        outputs = [instruction.i_out for instruction in product.instructions]
        return (
            len(product.irreps_in1) == 1
            and product.irreps_in1[0].ir.is_scalar()
            and all(mul == 1 for mul, _ in product.irreps_in2)
            and all(i.connection_mode == "uvu" and i.has_weight for i in product.instructions)
            and sorted(outputs) == list(range(len(product.irreps_out)))
        )

    def forward(self, features: Tensor, harmonics: Tensor, weights: Tensor, edge_index: Tensor) -> Tensor:
        """(N, D) sums from features (N, U), harmonics (E, L) and weights (E, n_paths U).

        The edges of an atom are laid out as the rows of a matrix, so that their sum is a matrix product.
        """
        sender, receiver = edge_index
        n_atoms = len(features)
        degree = torch.bincount(receiver, minlength=n_atoms)
        size = int(degree.max())
        order = torch.argsort(receiver, stable=True)
        place = torch.empty_like(receiver)
        place[order] = (
            torch.arange(len(order), device=order.device) - (torch.cumsum(degree, 0) - degree)[receiver[order]]
        )
        place = place + size * receiver

        sent = features.index_select(0, sender)[:, None] * weights.view(len(sender), -1, self.multiplicity)
        sent = sent.new_zeros(n_atoms * size, weights.shape[1]).index_copy(0, place, sent.flatten(1))
        waves = harmonics.new_zeros(n_atoms * size, harmonics.shape[1]).index_copy(0, place, harmonics)
        sums = waves.view(n_atoms, size, -1).transpose(1, 2) @ sent.view(n_atoms, size, -1)
        sums = sums.view(n_atoms, harmonics.shape[1], -1, self.multiplicity)  # of every path with every harmonic
        parts = [sums[:, part, path].transpose(1, 2).flatten(1) * scale for path, part, scale in self.paths]
        return torch.cat(parts, dim=1)


class PolynomialContraction(Module):
    """mace's Contraction of an atom's features with themselves, as the polynomial that it is.

    Monomials of equal factors in another order are one, and those without a coefficient are not made.
    """

    def __init__(self, contraction: Any) -> None:
        super().__init__()
        orders = range(1, contraction.correlation + 1)
        tensors = [contraction.U_tensors(order) for order in orders]
        terms = [_polynomial(tensor, order) for order, tensor in zip(orders, tensors, strict=True)]
        self.weights = [*reversed(list(contraction.weights)), contraction.weights_max]
        self.n_paths = [tensor.shape[-1] for tensor in tensors]
        needed = [set(monomials) for monomials, _ in terms]
        for lower, higher in reversed(list(pairwise(needed))):
            lower |= {monomial[:-1] for monomial in higher}
        rows = [{monomial: row for row, monomial in enumerate(sorted(monomials))} for monomials in needed]
        for order, (monomials, coefficients) in zip(orders, terms, strict=True):
            here = rows[order - 1]
            matrix = tensors[0].new_zeros(coefficients.shape[1], len(here))
            matrix[:, [here[monomial] for monomial in monomials]] = coefficients.T.to(matrix.dtype)
            self.register_buffer(f"coefficients_{order}", matrix)
            last = torch.tensor([monomial[-1] for monomial in here], dtype=torch.long)
            self.register_buffer(f"last_{order}", last.to(matrix.device))
            if order > 1:
                first = torch.tensor([rows[order - 2][monomial[:-1]] for monomial in here], dtype=torch.long)
                self.register_buffer(f"first_{order}", first.to(matrix.device))

    def forward(self, features: Tensor, one_hot: Tensor) -> Tensor:
        """(N, C (2 l + 1)) from features (N, C, D)."""
        n_atoms, n_channels, _ = features.shape
        species = one_hot.argmax(dim=1)
        factors = features.permute(2, 0, 1).flatten(1)
        monomials = factors
        total = None
        for order, (weights, n_paths) in enumerate(zip(self.weights, self.n_paths, strict=True), start=1):
            last = factors.index_select(0, self.get_buffer(f"last_{order}"))
            monomials = last if order == 1 else monomials.index_select(0, self.get_buffer(f"first_{order}")) * last
            values = (self.get_buffer(f"coefficients_{order}") @ monomials).view(-1, n_paths, n_atoms * n_channels)
            part = (values * weights[species].transpose(0, 1).flatten(1)).sum(dim=1)
            total = part if total is None else total + part
        assert total is not None
        return total.view(-1, n_atoms, n_channels).permute(1, 2, 0).flatten(1)


def _polynomial(tensor: Tensor, order: int) -> tuple[list[tuple[int, ...]], Tensor]:
    """The monomials of a coupling tensor ([m,] D, ..., D, k) and their coefficients (n, m k)."""
    tensor = tensor.double()
    if tensor.ndim == order + 1:
        tensor = tensor[None]
    entries = torch.nonzero(tensor.abs() > 1e-6 * tensor.abs().max())  # beyond the rounding of what should be zero
    monomials, which = torch.unique(entries[:, 1:-1].sort(dim=1).values, dim=0, return_inverse=True)
    n_outputs, n_paths = tensor.shape[0], tensor.shape[-1]
    coefficients = tensor.new_zeros(len(monomials), n_outputs * n_paths)
    coefficients.index_put_(
        (which, entries[:, 0] * n_paths + entries[:, -1]), tensor[tuple(entries.T)], accumulate=True
    )
    return [tuple(monomial) for monomial in monomials.tolist()], coefficients
