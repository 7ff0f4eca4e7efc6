"""TensorNet (Simeon and De Fabritiis 2023): the layers of the matgl package on uniscreen's batched graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from uniscreen.potentials.matgl_model import MatglPotential, prepared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


_FIXED = {"use_warp": False, "dtype": torch.float32}
"""Arguments that are an option of the machine, as are matgl's compiled kernels, or that ``.to`` changes."""


class TensorNetPotential(MatglPotential):
    """TensorNet as matgl runs it since its version 3: messages are summed into the atom at the start of their edge."""

    network: ClassVar[str] = "TensorNet"

    blocks: ClassVar = {
        "embedding": ("bond_expansion", "tensor_embedding"),
        "interaction": ("layers",),
        "readout": ("out_norm", "linear", "final_layer"),
    }

    @staticmethod
    def build(architecture: Mapping[str, Any]) -> Any:
        """A network by the arguments of matgl's constructor, in plain torch."""
        from matgl.models import TensorNet

        return prepared(TensorNet(**{**architecture, **_FIXED}))

    def architecture(self) -> dict[str, Any]:
        """The arguments that matgl's constructor was given, without those that are not of the model."""
        return {name: value for name, value in super().architecture().items() if name not in _FIXED}

    @staticmethod
    def network_class() -> Any:
        """The TensorNet of matgl."""
        from matgl.models import TensorNet

        return TensorNet

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
