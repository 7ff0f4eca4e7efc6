"""M3GNet (Chen and Ong 2022): the layers of the matgl package on uniscreen's batched graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from uniscreen.potentials.matgl_model import MatglPotential, prepared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


class M3GNetPotential(MatglPotential):
    """M3GNet as matgl runs it since its version 3: messages are summed into the atom at the start of their edge."""

    network: ClassVar[str] = "M3GNet"
    receiver: ClassVar[int] = 0
    """Which end of an edge receives its message: its start (0) or its end (1)."""

    blocks: ClassVar = {
        "embedding": ("bond_expansion", "basis_expansion", "embedding"),
        "interaction": ("three_body_interactions", "graph_layers"),
        "readout": ("final_layer",),
    }

    @staticmethod
    def build(architecture: Mapping[str, Any]) -> Any:
        """A network by the arguments of matgl's constructor."""
        from matgl.models import M3GNet

        return prepared(M3GNet(**architecture))

    @staticmethod
    def network_class() -> Any:
        """The M3GNet of matgl."""
        from matgl.models import M3GNet

        return M3GNet

    def atomic_energies(self, graph: AtomicGraph, species: Tensor) -> Tensor:
        """Run M3GNet's layers."""
        edges = self._edges(graph)
        node_features, edge_features, _ = self.model.embedding(species, edges.radial, None)
        for three_body, block in zip(self.model.three_body_interactions, self.model.graph_layers, strict=True):
            edge_features = three_body(
                edges.ends[1],
                edges.triplets,
                edges.n_triplets,
                edges.ends.shape[1],
                edges.angular,
                edges.envelope,
                node_features,
                edge_features,
            )
            node_features, edge_features = _convolve(block.conv, edges, node_features, edge_features, self.receiver)
        atoms: Tensor = self.model.final_layer(node_features)
        return atoms[:, 0]

    def _edges(self, graph: AtomicGraph) -> _Edges:
        """Expand lengths and angles.

        This is done in float64 and then rounded, as the Bessel functions and the cutoff polynomial cancel large terms.
        """
        from matgl.graph._compute import compute_theta_and_phi, create_line_graph_torch
        from matgl.layers._three_body import combine_sbf_shf
        from matgl.utils.cutoff import polynomial_cutoff

        order = torch.argsort(graph.edge_index[0], stable=True)  # matgl pairs edges that follow one another
        ends = graph.edge_index[:, order]
        vectors = graph.edge_vectors[order]
        lengths = vectors.norm(dim=1)
        cutoff = self.model.threebody_cutoff
        line_graph = create_line_graph_torch(ends, lengths.detach(), vectors.detach(), len(graph.numbers), cutoff)
        triplets = line_graph["line_edge_index"]

        expansion = self.model.basis_expansion
        cosine = compute_theta_and_phi(vectors, lengths, triplets)["cos_theta"]
        angular = combine_sbf_shf(
            expansion.sbf(lengths)[triplets[1]],
            expansion.shf(cosine),
            max_n=expansion.max_n,
            max_l=expansion.max_l,
            use_phi=False,
        )
        return _Edges(
            ends=ends,
            radial=self.model.bond_expansion(lengths).to(self.dtype),
            envelope=polynomial_cutoff(lengths, cutoff).to(self.dtype),
            triplets=triplets,
            n_triplets=line_graph["n_triple_ij"],
            angular=angular.to(self.dtype),
        )


class EarlyM3GNetPotential(M3GNetPotential):
    """M3GNet as the matgl ran it that the models before its version 3 were trained with.

    Messages are summed into the atom at the end of their edge. In the other one, they put rock salt 2 eV/atom too high.
    """

    receiver: ClassVar[int] = 1

    @staticmethod
    def network_class() -> Any:
        """An M3GNet of matgl's with this convention, which matgl does not have itself."""
        from uniscreen.potentials.early_m3gnet import EarlyM3GNet

        return EarlyM3GNet


class _Edges(NamedTuple):
    """M3GNet's inputs, for E edges sorted by their centre and T pairs of different short edges with the same centre.

    ``ends`` (2, E) centre and neighbour; ``radial`` (E, n_radial); ``envelope`` (E,), zero beyond the three-body
    cutoff; ``triplets`` (2, T), the edge that is changed and the one that it sees; ``n_triplets`` (E,), how often an
    edge is changed; ``angular`` (T, n_angular).
    """

    ends: Tensor
    radial: Tensor
    envelope: Tensor
    triplets: Tensor
    n_triplets: Tensor
    angular: Tensor


def _convolve(
    layer: Any, edges: _Edges, node_features: Tensor, edge_features: Tensor, receiver: int
) -> tuple[Tensor, Tensor]:
    """One M3GNetGraphConv of matgl, with messages summed into one end of each edge: Chen and Ong (2022), eqs. 4, 5."""
    centre, neighbour = edges.ends
    edge_features = edge_features + layer.edge_update_(edges.ends, edge_features, node_features, edges.radial, None)
    inputs = torch.hstack([node_features[centre], node_features[neighbour], edge_features])
    messages = layer.node_update_func(inputs) * layer.node_weight_func(edges.radial)
    return node_features.index_add(0, edges.ends[receiver], messages), edge_features
