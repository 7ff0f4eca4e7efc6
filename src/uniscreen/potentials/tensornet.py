"""TensorNet (Simeon and De Fabritiis 2023): the layers of the matgl package on uniscreen's batched graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from uniscreen.potentials.matgl_model import MatglPotential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


class TensorNetPotential(MatglPotential):
    """TensorNet as matgl runs it since its version 3: messages are summed into the atom at the start of their edge."""

    network: ClassVar[str] = "TensorNet"

    def build(self, arguments: Mapping[str, Any]) -> Any:
        """The network in plain torch: matgl's compiled kernels are an option of the machine, not of the model."""
        from matgl.models import TensorNet

        fixed = {"use_warp": False, "dtype": torch.float32}  # model.json holds the precision as text
        return TensorNet(**{**arguments, **fixed})

    def atomic_energies(self, graph: AtomicGraph, species: Tensor) -> Tensor:
        """Run TensorNet's layers. Radial functions are expanded in float64 and then rounded."""
        from matgl.utils.maths import decompose_tensor, tensor_norm

        vectors = graph.edge_vectors
        lengths = vectors.norm(dim=1)
        radial = self.model.bond_expansion(lengths).to(self.dtype)
        directions = (vectors / lengths[:, None]).to(self.dtype)
        lengths = lengths.to(self.dtype)
        features, _ = self.model.tensor_embedding(species, graph.edge_index, radial, lengths, directions)
        for layer in self.model.layers:
            features = layer(graph.edge_index, lengths, radial, features)
        norms = torch.cat([tensor_norm(part) for part in decompose_tensor(features)], dim=-1)
        atoms: Tensor = self.model.final_layer(self.model.linear(self.model.out_norm(norms)))
        return atoms[:, 0]
