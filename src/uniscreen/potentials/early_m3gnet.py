"""M3GNet as the models before matgl's version 3 were trained with, for the matgl of today.

A folder that is exported from such a model names this module, and matgl imports it. Without uniscreen, matgl refuses to
load that folder; as its own M3GNet, it would load the weights and give wrong energies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from matgl.layers._graph_convolution import M3GNetGraphConv
from matgl.models import M3GNet

if TYPE_CHECKING:
    from torch import Tensor


class EarlyM3GNet(M3GNet):
    """matgl's M3GNet, but for the atom that a message is summed into: the one at the end of its edge.

    No M3GNet of today's matgl has other weights that make it the same function: there, an atom's messages see the
    angles at that atom, while here they see those at the neighbours that they come from.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._init_args = arguments  # which matgl saves, and looks for in the signature
        for block in self.graph_layers:
            own = block.conv
            block.conv = _IntoTheEnd(
                include_state=own.include_state,
                edge_update_func=own.edge_update_func,
                edge_weight_func=own.edge_weight_func,
                node_update_func=own.node_update_func,
                node_weight_func=own.node_weight_func,
                state_update_func=own.state_update_func,
            )


class _IntoTheEnd(M3GNetGraphConv):
    """A layer whose messages are summed into the atom at the end of their edge."""

    def node_update_(
        self,
        edge_index: Tensor,
        edge_feat: Tensor,
        node_feat: Tensor,
        rbf: Tensor,
        u_per_edge: Tensor | None,
        num_nodes: int,
    ) -> Tensor:
        """(N, F) the sum of the messages to each atom: Chen and Ong (2022), eq. 5."""
        assert u_per_edge is None, "no published M3GNet has a state"
        start, end = edge_index
        inputs = torch.hstack([node_feat[start], node_feat[end], edge_feat])
        messages = self.node_update_func(inputs) * self.node_weight_func(rbf)
        return messages.new_zeros(num_nodes, messages.shape[1]).index_add(0, end, messages)
