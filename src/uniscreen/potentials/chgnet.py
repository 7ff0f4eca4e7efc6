"""CHGNet (Deng et al. 2023): the weights of the chgnet package, evaluated on uniscreen's batched graphs."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from uniscreen.potentials import chgnet_network
from uniscreen.potentials.base import Prediction
from uniscreen.potentials.chgnet_export import CHGNetExporter
from uniscreen.potentials.chgnet_graph import BondGraph
from uniscreen.potentials.cost import Cost
from uniscreen.potentials.trainable import TrainablePotential, by_atomic_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.structures.graph import AtomicGraph


WORK_OF_ANGLE = 2
"""In a fit to the times of batches of WBM crystals on a CPU, 0.0157 ms an angle and 0.0084 ms an edge."""


class CHGNetPotential(TrainablePotential):
    """CHGNet behind the contract: total energy in eV and the magnitude of each atom's magnetic moment in μ_B."""

    blocks: ClassVar = {
        "embedding": (
            "atom_embedding",
            "bond_basis_expansion",
            "bond_embedding",
            "bond_weights_ag",
            "bond_weights_bg",
            "angle_basis_expansion",
            "angle_embedding",
        ),
        "interaction": ("atom_conv_layers", "bond_conv_layers", "angle_layers"),
        "readout": ("site_wise", "readout_norm", "pooling", "mlp"),
    }

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(card, weights, device, dtype)
        self.bond_cutoff = float(self.model.graph_converter.bond_graph_cutoff)

    @classmethod
    def read(cls, card: ModelCard, weights: Path) -> tuple[Any, Tensor]:
        """The network in a file of the chgnet package; its composition model is the reference energies."""
        content = torch.load(weights, map_location="cpu", weights_only=True)["model"]
        state = dict(content["state_dict"])
        energies = state.pop("composition_model.fc.weight")[0].tolist()
        # 0.2.0 was trained with a bias in its output layers, which later versions dropped.
        model = cls.build(content["model_args"] | {"mlp_out_bias": card.name == "chgnet-0.2.0"})
        model.load_state_dict(state)
        return model, by_atomic_number(dict(enumerate(energies, start=1)))

    @staticmethod
    def build(architecture: Mapping[str, Any]) -> Any:
        """A network by the arguments of chgnet's constructor, without a composition model."""
        with contextlib.redirect_stdout(io.StringIO()):  # the constructor prints
            from chgnet.model import CHGNet

            return CHGNet(**{**architecture, "composition_model": None})

    def architecture(self) -> dict[str, Any]:
        """The arguments that chgnet's constructor was given."""
        return dict(self.model.model_args)

    def exporter(self) -> CHGNetExporter:
        """What writes it for chgnet."""
        return CHGNetExporter(self.model, self._references)

    @property
    def cost(self) -> Cost:
        """Edges and angles."""
        return Cost(angle=WORK_OF_ANGLE, angle_cutoff=self.bond_cutoff)

    def predict(self, graph: AtomicGraph) -> Prediction:
        """Evaluate CHGNet's layers on the batch."""
        atoms = chgnet_network.predict(self.model, graph.numbers, BondGraph.of(graph, self.bond_cutoff))
        energy = self.reference_energy(graph).index_add(0, graph.system, atoms.energy.double())
        return Prediction(energy=energy, magnetic_moments=atoms.magnetic_moment)
