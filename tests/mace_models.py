"""A MACE model that is small enough to be made for a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

SPECIES = [8, 13, 29]


def small_mace(**changes: Any) -> Any:
    """A small MACE of oxygen, aluminium and copper with random weights, in float64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # which importing mace would leave set
        import mace.modules
        from e3nn import o3

    settings: dict[str, Any] = {
        "atomic_inter_scale": 5.0,
        "atomic_inter_shift": 0.1,
        "r_max": 4.7,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": mace.modules.RealAgnosticResidualInteractionBlock,
        "interaction_cls_first": mace.modules.RealAgnosticInteractionBlock,
        "num_interactions": 2,
        "num_elements": len(SPECIES),
        "hidden_irreps": o3.Irreps("8x0e + 8x1o"),
        "MLP_irreps": o3.Irreps("4x0e"),
        "atomic_energies": np.array([-432.1, -3.5, -1.25]),
        "avg_num_neighbors": 3.0,
        "atomic_numbers": SPECIES,
        "correlation": 2,
        "gate": torch.nn.functional.silu,
        "pair_repulsion": True,
        "distance_transform": "Agnesi",
    }
    kind = changes.pop("kind", mace.modules.ScaleShiftMACE)
    settings |= changes
    if kind is mace.modules.MACE:
        del settings["atomic_inter_scale"], settings["atomic_inter_shift"]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return kind(**settings)
    finally:
        torch.set_default_dtype(before)
