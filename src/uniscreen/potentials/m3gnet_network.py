"""M3GNet evaluated on a batch, with the modules and weights of matgl's M3GNet.

The numbers are those of matgl's ``M3GNet.forward`` from less arithmetic. A linear map of concatenated features is a sum
of linear maps, so the parts of atoms are multiplied once an atom, and gathered afterwards. The halves of a gated MLP
share a product, and what depends on a length is expanded once for both directions of an edge.

Pairs of edges are not listed. What an edge ij receives from the other edges ik of its atom,

    Σ_k P_l(cos θ_jik) h_ik = Σ_m Y_lm(ij) Σ_k Y_lm(ik) h_ik,

is a sum over edges by the addition theorem of the spherical harmonics; the term k = j is taken out afterwards.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import silu

from uniscreen.potentials.incidence import Incidence
from uniscreen.potentials.spherical_harmonics import spherical_harmonics

if TYPE_CHECKING:
    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


class _Edges(NamedTuple):
    """A batch of N atoms and E = 2P edges, S of them within the three-body cutoff; edges k and k + P are one pair.

    There are C = n_max l_max² channels of moments for A = n_max l_max channels of three-body sums.

    =============== ========= ====================================================================
    field           shape     what
    =============== ========= ====================================================================
    radial          (P, R)    the expanded lengths
    ends            (E, 2N)   gathers rows 2i and 2j + 1 for the edge from atom i to j
    to_receiver     (N, E)    sums over the edges whose message an atom receives
    short           (S,)      the short edges among all
    short_centre    (S, N)    gathers the atoms at their start
    short_neighbour (S, N)    gathers the atoms at their end
    envelope        (S, 1)    zero at the three-body cutoff
    waves           (S, A)    radial functions times the envelope and the normalisation of P_l
    harmonics       (S, C)    Y_lm by channel of the moments
    to_moments      (A, C)    ones where a channel of the moments belongs to one of the sums
    =============== ========= ====================================================================
    """

    radial: Tensor
    ends: Incidence
    to_receiver: Incidence
    short: Tensor
    short_centre: Incidence
    short_neighbour: Incidence
    envelope: Tensor
    waves: Tensor
    harmonics: Tensor
    to_moments: Tensor


def predict(model: Any, species: Tensor, graph: AtomicGraph, receiver: int, dtype: torch.dtype) -> Tensor:
    """(N,) the output of matgl's M3GNet ``model`` for atoms of the species (N,).

    ``receiver`` is the end of an edge that receives its message: its start (0) or its end (1).
    """
    edges = _expand(model, graph, receiver, dtype)
    atoms, pairs, _ = model.embedding(species, edges.radial, None)
    features = pairs.repeat(2, 1)
    for three_body, block in zip(model.three_body_interactions, model.graph_layers, strict=True):
        update = three_body.update_network_bond(_three_body_sums(three_body, edges, atoms))
        features = features.index_add(0, edges.short, update)  # without a bias, nothing is added to the other edges
        atoms, features = _convolve(block.conv, edges, atoms, features)
    output: Tensor = model.final_layer(atoms)
    return output[:, 0]


def _expand(model: Any, graph: AtomicGraph, receiver: int, dtype: torch.dtype) -> _Edges:
    """Expand lengths and directions.

    This is done in float64 and then rounded, as the Bessel functions and the cutoff polynomial cancel large terms.
    """
    from matgl.utils.cutoff import polynomial_cutoff

    centre, neighbour = graph.edge_index
    n_atoms, n_pairs = len(graph.numbers), graph.edge_index.shape[1] // 2
    lengths = graph.edge_vectors[:n_pairs].norm(dim=1)
    short_pairs = torch.nonzero(lengths.detach() < model.threebody_cutoff).flatten()
    short = torch.cat([short_pairs, short_pairs + n_pairs])
    short_lengths = lengths[short_pairs]
    directions = graph.edge_vectors[short_pairs] / short_lengths[:, None]
    envelope = polynomial_cutoff(short_lengths, model.threebody_cutoff)[:, None]

    basis = model.basis_expansion
    degrees = torch.arange(basis.max_l, device=lengths.device)
    normalisation = torch.sqrt((2 * degrees + 1) / (4 * math.pi)).repeat_interleave(basis.max_n)
    waves = basis.sbf(short_lengths) * envelope * normalisation
    harmonics = spherical_harmonics(directions, basis.max_l)
    columns, to_moments = _moment_channels(basis.max_n, basis.max_l, lengths.device)
    parity = torch.where(degrees % 2 == 0, 1.0, -1.0).repeat_interleave(2 * degrees + 1)  # of the opposite direction
    return _Edges(
        radial=model.bond_expansion(lengths).to(dtype),
        ends=Incidence.gather(torch.stack([2 * centre, 2 * neighbour + 1], dim=1), 2 * n_atoms),
        to_receiver=Incidence.gather(graph.edge_index[receiver, :, None], n_atoms).transposed,
        short=short,
        short_centre=Incidence.gather(centre[short, None], n_atoms),
        short_neighbour=Incidence.gather(neighbour[short, None], n_atoms),
        envelope=envelope.to(dtype).repeat(2, 1),
        waves=waves.to(dtype).repeat(2, 1),
        harmonics=torch.cat([harmonics, harmonics * parity]).to(dtype)[:, columns],
        to_moments=to_moments.to(dtype),
    )


def _moment_channels(n_max: int, l_max: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The harmonic (C,) of each channel of the moments, and a map (A, C) from channel l n_max + n to those of l, n."""
    channels = [
        (degree * n_max + n, degree**2 + m)
        for degree in range(l_max)
        for n in range(n_max)
        for m in range(2 * degree + 1)
    ]
    sums, harmonics = torch.tensor(channels, device=device).T
    return harmonics, torch.nn.functional.one_hot(sums, n_max * l_max).T


def _three_body_sums(layer: Any, edges: _Edges, atoms: Tensor) -> Tensor:
    """(S, A) what each short edge receives from the others of its atom: Chen and Ong (2022), eq. 2."""
    sent = edges.waves * (edges.short_neighbour @ layer.update_network_atom(atoms))
    moments = edges.short_centre.transposed @ ((sent @ edges.to_moments) * edges.harmonics)
    received = ((edges.short_centre @ moments) * edges.harmonics) @ edges.to_moments.T
    return (received - sent) * edges.envelope


def _convolve(conv: Any, edges: _Edges, atoms: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """The atoms and edges after one M3GNetGraphConv: Chen and Ong (2022), eqs. 4 and 5."""
    features = features + _at_edges(conv.edge_update_func, conv.edge_weight_func, edges, atoms, features)
    messages = _at_edges(conv.node_update_func, conv.node_weight_func, edges, atoms, features)
    return atoms + edges.to_receiver @ messages, features


def _at_edges(gated_mlp: Any, weight: Any, edges: _Edges, atoms: Tensor, features: Tensor) -> Tensor:
    """(E, F) a gated MLP of an edge and its two atoms, times a linear map of its expanded length."""
    (core, _, *cores), (gate, _, *gates) = gated_mlp.layers, gated_mlp.gates
    sizes = [atoms.shape[1], atoms.shape[1], features.shape[1]]
    centre, neighbour, edge = torch.split(torch.cat([core.weight, gate.weight]).T, sizes)
    bias = torch.cat([core.bias, gate.bias])
    ends = torch.addmm(torch.cat([bias, torch.zeros_like(bias)]), atoms, torch.cat([centre, neighbour], dim=1))
    hidden = torch.addmm(edges.ends @ ends.view(2 * len(atoms), -1), features, edge)
    halves = silu(hidden).chunk(2, dim=1)
    values, factors = (reduce(lambda x, layer: layer(x), *pair) for pair in zip((cores, gates), halves, strict=True))
    weights = weight(edges.radial)
    return ((values * factors).view(2, len(weights), -1) * weights).flatten(0, 1)
