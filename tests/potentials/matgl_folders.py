"""Small potentials of matgl with random weights, as matgl itself saves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

ELEMENTS = ("H", "O", "Na", "Al", "Si", "Cl", "Ti", "Ni", "Cu", "Sr")
REFERENCES = (-3.1, -4.7, -1.2, -3.4, -5.1, -2.2, -7.5, -5.6, -3.9, -1.7)
"""eV, one an element."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "M3GNet": ("M3GNet", {}),
    "M3GNet smooth": ("M3GNet", {"use_smooth": True}),
    "TensorNet": ("TensorNet", {"num_rbf": 8}),
    "TensorNet SO(3)": ("TensorNet", {"num_rbf": 8, "equivariance_invariance_group": "SO(3)"}),
    "TensorNet Bessel": ("TensorNet", {"rbf_type": "SphericalBessel", "use_smooth": True}),
}


def save(folder: Path, variant: str, **options: Any) -> Any:
    """Save a potential of a variant to a folder; returns it."""
    network, changes = VARIANTS[variant]
    dataset = options.pop("dataset", "MatPES-PBE-2025.2")
    potential = build(network, changes, **options)
    potential.save(folder, metadata=None if dataset is None else {"dataset": dataset})
    return potential


def build(network: str, changes: dict[str, Any], **options: Any) -> Any:
    """A potential whose energies are scaled, shifted and referenced, so that none of these can be left out."""
    from matgl import models
    from matgl.apps.pes import Potential

    with torch.random.fork_rng():
        torch.manual_seed(0)
        arguments = {"element_types": ELEMENTS, "is_intensive": False, "units": 16, "cutoff": 5.0, "nblocks": 2}
        model = getattr(models, network)(**arguments | changes)
        scales = {"data_mean": 0.7, "data_std": 2.5, "element_refs": torch.tensor(REFERENCES)}
        return Potential(model, **scales | options)
