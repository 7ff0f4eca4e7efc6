"""M3GNet (Chen and Ong 2022): the weights of the matgl package on uniscreen's batched graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from uniscreen.potentials import m3gnet_network
from uniscreen.potentials.cost import Cost
from uniscreen.potentials.matgl_model import MatglPotential, prepared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


WORK_OF_EDGE = 3
"""In batches of WBM crystals on a CPU, 0.027 ms, where one of CHGNet took 0.0084."""


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

    @property
    def cost(self) -> Cost:
        """Edges, in those of CHGNet."""
        return Cost(edge=WORK_OF_EDGE)

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
        """Run M3GNet."""
        return m3gnet_network.predict(self.model, species, graph, self.receiver, self.dtype)


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
