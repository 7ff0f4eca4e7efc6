"""SevenNet (Park et al. 2024): a batch is one graph and one forward pass of the sevenn package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import sevenn._keys as key
import torch
from ase.data import chemical_symbols
from matscipy.neighbours import neighbour_list
from sevenn.checkpoint import SevenNetCheckpoint

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Batch

VOIGT = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]
"""Where sevenn puts the components of the stress: xx, yy, zz, xy, yz, zx."""


class SevenNet:
    """Energies in eV, raw as in the training labels."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.device = torch.device(settings["device"])
        self.dtype = getattr(torch, settings["dtype"])
        self.model = SevenNetCheckpoint(settings["weights"]).build_model().to(self.device, self.dtype).eval()
        self.model.set_is_batch_data(True)
        # sevenn encodes the species in float32, whatever the weights are in
        self.model.onehot_idx_to_onehot.register_forward_hook(
            lambda _module, _inputs, data: {name: self._cast(value) for name, value in data.items()}
        )
        self.elements = [chemical_symbols[z] for z in sorted(self.model.type_map)]
        self.cutoff = float(self.model.cutoff)

    def evaluate(self, batch: Batch) -> dict[str, np.ndarray]:
        """Distance vectors and sums over atoms in float64, the model in its own precision."""
        edges = [
            neighbour_list("ijD", positions=positions, cell=cell, pbc=pbc, cutoff=self.cutoff)
            for _, positions, cell, pbc in batch.systems()
        ]
        first = np.repeat(batch.ptr[:-1], [len(centre) for centre, _, _ in edges])
        index = np.stack([np.concatenate([edge[end] for edge in edges]) + first for end in (0, 1)])
        n_atoms = torch.as_tensor(np.diff(batch.ptr))
        system = torch.repeat_interleave(n_atoms)
        data = {
            key.ATOMIC_NUMBERS: torch.as_tensor(batch.numbers),
            key.NODE_FEATURE: torch.as_tensor(batch.numbers),
            key.EDGE_IDX: torch.as_tensor(index),
            key.EDGE_VEC: torch.as_tensor(np.concatenate([vectors for _, _, vectors in edges])),
            key.NUM_ATOMS: n_atoms,
            key.BATCH: system,
            key.CELL_VOLUME: torch.as_tensor(np.abs(np.linalg.det(batch.cells))),
        }
        out = self.model({name: self._cast(value).to(self.device) for name, value in data.items()})
        energies = out[key.ATOMIC_ENERGY].detach().cpu().double().ravel()
        return {
            "energy": energies.new_zeros(len(batch.cells)).index_add(0, system, energies).numpy(),
            "forces": out[key.PRED_FORCE].detach().cpu().double().numpy(),
            "stress": -out[key.PRED_STRESS].detach().cpu().double().numpy()[:, VOIGT],
        }

    def _cast(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.dtype) if value.is_floating_point() else value


def load(settings: dict[str, Any]) -> SevenNet:
    """The model of a checkpoint of sevenn's."""
    return SevenNet(settings)
