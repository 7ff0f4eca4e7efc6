"""CHGNet's layers with less arithmetic: the same function of the same weights.

CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)) multiplies concatenated atom, bond and angle features by one
matrix at every edge or angle. A linear map of a concatenation is a sum of linear maps, so here the parts of atoms and
bonds are multiplied once an atom or bond, and gathered afterwards. The halves of a gated MLP share a product, bonds
that belong to no angle are not updated, and the last angle update, which nothing reads, is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import silu

if TYPE_CHECKING:
    from torch import Tensor

    from uniscreen.potentials.chgnet_graph import BondGraph


class Features(NamedTuple):
    """What a batch's layers pass on, F features each: atoms (N, F), pairs (P, F), angles (A, F)."""

    atoms: Tensor
    pairs: Tensor
    angles: Tensor


class AtomicPrediction(NamedTuple):
    """Energy without reference energies (eV) and magnetic moment (μ_B) of each atom, (N,)."""

    energy: Tensor
    magnetic_moment: Tensor


def predict(model: Any, numbers: Tensor, graph: BondGraph) -> AtomicPrediction:
    """Evaluate chgnet's CHGNet ``model`` for the atomic numbers (N,) and the graph of a batch."""
    assert model.mlp_first, "every published CHGNet sums atomic energies"
    dtype = model.bond_embedding.weight.dtype
    # Lengths are expanded in float64: the cutoff polynomial cancels large terms.
    bases = model.bond_basis_expansion
    basis = bases.rbf_expansion_ag(graph.lengths).to(dtype)
    short_basis = bases.rbf_expansion_bg(graph.lengths[graph.short]).to(dtype)
    angle_basis = model.angle_basis_expansion.fourier_expansion(graph.angles.to(dtype))
    weights, short_weights = model.bond_weights_ag(basis), model.bond_weights_bg(short_basis)
    x = Features(
        atoms=model.atom_embedding(numbers - 1),
        pairs=model.bond_embedding(basis),
        angles=model.angle_embedding(angle_basis).repeat(2, 1),
    )
    last = len(model.bond_conv_layers) - 1
    for i, (atom_conv, bond_conv, angle_update) in enumerate(
        zip(model.atom_conv_layers, model.bond_conv_layers, model.angle_layers, strict=False)
    ):
        x = x._replace(atoms=_convolve_atoms(atom_conv, x, weights, graph))
        x = x._replace(pairs=_convolve_bonds(bond_conv, x, short_weights, graph))
        if i < last:
            x = x._replace(angles=x.angles + _at_angles(angle_update.twoBody_bond, x, graph))
    moments = model.site_wise(x.atoms).abs().squeeze(1)
    atoms = _convolve_atoms(model.atom_conv_layers[-1], x, weights, graph)
    if model.readout_norm is not None:
        atoms = model.readout_norm(atoms)
    return AtomicPrediction(model.mlp(atoms).squeeze(1), moments)


def _convolve_atoms(layer: Any, x: Features, weights: Tensor, graph: BondGraph) -> Tensor:
    """AtomConv: weighted messages along the edges, weights (P, F), summed onto their first atom."""
    centre, pair, neighbour, bias = _first_map(layer.twoBody_atom, 3)
    n_pairs = len(x.pairs)
    ends = torch.addmm(torch.cat([bias, torch.zeros_like(bias)]), x.atoms, torch.cat([centre, neighbour], dim=1))
    hidden = graph.edge_ends @ ends.view(2 * len(x.atoms), -1)
    hidden = (hidden.view(2, n_pairs, -1) + x.pairs @ pair).flatten(0, 1)
    messages = _rest_of_gated_mlp(layer.twoBody_atom, hidden).view(2, n_pairs, -1) * weights
    return x.atoms + layer.mlp_out(graph.edges_of_atom @ messages.flatten(0, 1))


def _convolve_bonds(layer: Any, x: Features, weights: Tensor, graph: BondGraph) -> Tensor:
    """BondConv: weighted messages at the angles, weights (S, F), summed onto their first bond.

    The bias of 0.2.0's output layers acts on the pairs of systems that have angles, long ones too; chgnet skips this
    layer for a structure without angles, which the same structure in a batch must not feel.
    """
    messages = _at_angles(layer.twoBody_bond, x, graph) * (graph.second @ weights)
    output = layer.mlp_out.layers[-1]
    update = ((graph.angles_of_first @ messages) * weights) @ output.weight.T
    pairs = x.pairs.index_add(0, graph.short, update)
    return pairs if output.bias is None else pairs + output.bias * graph.with_angles[:, None]


def _at_angles(gated_mlp: Any, x: Features, graph: BondGraph) -> Tensor:
    """(A, F) a gated MLP of the two bonds, the angle and the atom."""
    first, second, angle, atom, bias = _first_map(gated_mlp, 4)
    of_atoms = torch.addmm(bias, x.atoms, atom)
    of_bonds = x.pairs[graph.short] @ torch.cat([first, second], dim=1)
    parts = torch.cat([of_atoms, of_bonds.view(2 * len(graph.short), of_atoms.shape[1])])
    return _rest_of_gated_mlp(gated_mlp, torch.addmm(graph.angle_parts @ parts, x.angles, angle))


def _first_map(gated_mlp: Any, n_parts: int) -> tuple[Tensor, ...]:
    """The first linear map of both halves side by side, cut by what it acts on, (F, 2H) each, and its bias (2H,)."""
    core, gate = _linear_maps(gated_mlp.mlp_core)[0], _linear_maps(gated_mlp.mlp_gate)[0]
    parts = torch.cat([core.weight, gate.weight]).T.chunk(n_parts)
    return *parts, torch.cat([core.bias, gate.bias])


def _rest_of_gated_mlp(gated_mlp: Any, hidden: Tensor) -> Tensor:
    """From what the first map gives (m, 2H) to the output (m, F)."""
    cores, gates = _linear_maps(gated_mlp.mlp_core)[1:], _linear_maps(gated_mlp.mlp_gate)[1:]
    core, gate = (silu(hidden) if cores else hidden).chunk(2, dim=1)
    for core_map, gate_map in zip(cores, gates, strict=True):
        core, gate = core_map(core), gate_map(gate)
    if gated_mlp.norm is not None:
        core, gate = gated_mlp.bn1(core), gated_mlp.bn2(gate)
    return silu(core) * torch.sigmoid(gate)


def _linear_maps(mlp: Any) -> list[Any]:
    """The one or two linear maps of a chgnet MLP."""
    maps = [module for module in mlp.layers if isinstance(module, torch.nn.Linear)]
    assert len(maps) <= 2, "more hidden layers would need activations between them"
    return maps
