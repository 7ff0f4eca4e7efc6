"""CHGNet's bonds and angles of a batch, and which rows its layers gather and sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from uniscreen.potentials.incidence import Incidence

if TYPE_CHECKING:
    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


class BondGraph(NamedTuple):
    """A batch of N atoms, E edges and P = E/2 pairs, S of them short enough for angles, and A angles.

    Edges k and k + P are one pair. An angle belongs to an atom and to two short pairs in order, so angles k and
    k + A/2 are one, seen from its two sides.

    =============== ============ ====== ==================================================================
    field           shape        unit   what
    =============== ============ ====== ==================================================================
    lengths         (P,)         Å      of the pairs
    angles          (A/2,)       rad    between two short pairs at their common atom
    short           (S,)                the short pairs among all
    with_angles     (P,)                whether any two short pairs of the pair's system share an atom
    edge_ends       (E, 2N)             gathers rows 2i and 2j + 1 for the edge from atom i to j
    edges_of_atom   (N, E)              sums over the edges from each atom
    angle_parts     (A, N + 2S)         gathers atom a, first pair N + 2i and second pair N + 2j + 1
    angles_of_first (S, A)              sums over the angles of which a short pair is the first
    second          (A, S)              gathers the second pair of each angle
    =============== ============ ====== ==================================================================
    """

    lengths: Tensor
    angles: Tensor
    short: Tensor
    with_angles: Tensor
    edge_ends: Incidence
    edges_of_atom: Incidence
    angle_parts: Incidence
    angles_of_first: Incidence
    second: Incidence

    @classmethod
    def of(cls, graph: AtomicGraph, bond_cutoff: float) -> BondGraph:
        """Build it; lengths and angles are differentiable. ``bond_cutoff`` (Å) is that of the angles."""
        centre, neighbour = graph.edge_index
        n_atoms, n_pairs = len(graph.numbers), len(centre) // 2
        lengths = graph.edge_vectors.norm(dim=1)
        # Judged from one end: rounding must not tear the two edges of a pair apart.
        is_short = (lengths[:n_pairs].detach() < bond_cutoff).repeat(2)
        edge_a, edge_b = _edge_pairs(centre, is_short, n_atoms)
        directions = graph.edge_vectors / lengths[:, None]
        cosine = (directions[edge_a] * directions[edge_b]).sum(dim=1) * (1 - 1e-6)  # as chgnet's AngleEncoder

        short = torch.nonzero(is_short[:n_pairs]).flatten()
        n_short = len(short)
        rank = torch.empty_like(centre[:n_pairs])
        rank[short] = torch.arange(n_short, device=short.device)
        pair_a, pair_b = rank[edge_a % n_pairs], rank[edge_b % n_pairs]
        atom = centre[edge_a].repeat(2)
        first, second = torch.cat([pair_a, pair_b]), torch.cat([pair_b, pair_a])
        n_angles = torch.bincount(graph.system[atom], minlength=graph.n_systems)
        return cls(
            lengths=lengths[:n_pairs],
            angles=torch.acos(cosine),
            short=short,
            with_angles=(n_angles > 0)[graph.system[centre[:n_pairs]]],
            edge_ends=Incidence.gather(torch.stack([2 * centre, 2 * neighbour + 1], dim=1), 2 * n_atoms),
            edges_of_atom=Incidence.gather(centre[:, None], n_atoms).transposed,
            angle_parts=Incidence.gather(
                torch.stack([atom, n_atoms + 2 * first, n_atoms + 2 * second + 1], dim=1), n_atoms + 2 * n_short
            ),
            angles_of_first=Incidence.gather(first[:, None], n_short).transposed,
            second=Incidence.gather(second[:, None], n_short),
        )


def _edge_pairs(centre: Tensor, short: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    """All pairs of different short edges that share their centre, each once, as two lists of edge numbers."""
    edges = torch.nonzero(short).flatten()
    edges = edges[torch.argsort(centre[edges], stable=True)]
    degree = torch.bincount(centre[edges], minlength=n_atoms)
    first_of_centre = torch.cumsum(degree, 0) - degree
    position = torch.arange(len(edges), device=edges.device)
    partners = first_of_centre[centre[edges]] + degree[centre[edges]] - position - 1  # edges behind it at its centre
    a = torch.repeat_interleave(partners)
    b = a + 1 + torch.arange(len(a), device=a.device) - (torch.cumsum(partners, 0) - partners)[a]
    return edges[a], edges[b]
