"""Small MACE models with random weights, and crystals for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc100

SPECIES = [8, 13, 29]
LOAD_VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def import_mace() -> None:
    """Import mace, and keep what that sets in the environment from the other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOAD_VARIABLE, "1")
        import mace.calculators  # noqa: F401


def random_model(**changes: Any) -> Any:
    """A small MACE with random weights, in float64."""
    import_mace()
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


def structures_of(*symbols: str) -> dict[str, Atoms]:
    """From 1 to 64 atoms of the given species, off their equilibrium, also far from the origin and with open sides."""
    slab = fcc100("Cu", (2, 1, 3), a=3.6, vacuum=7.0)
    slab.pbc = True
    layer = fcc100("Cu", (1, 1, 2), a=3.7, vacuum=1.0)
    layer.pbc = [True, True, False]
    cell = [[4.1, 0.3, 0.0], [-0.2, 3.8, 0.4], [0.5, 0.1, 5.2]]
    sheared = Atoms("Cu4", [[0, 0, 0], [2, 0.2, 2.4], [0.3, 2.1, 2.5], [2.2, 1.9, 0.3]], cell=cell, pbc=True)
    molecule = Atoms("Cu3", [[0, 0, 0], [2.1, 0, 0], [0.2, 1.9, 0.4]])
    supercell = bulk("Cu", "fcc", a=3.5, cubic=True) * (2, 2, 4)
    structures = {"slab": slab, "layer": layer, "sheared": sheared, "molecule": molecule, "supercell": supercell}
    for seed, atoms in enumerate(structures.values()):
        atoms.symbols = [symbols[i % len(symbols)] for i in range(len(atoms))]
        atoms.rattle(0.05, seed=seed)
    sheared.positions += [300.0, -200.0, 100.0]
    return {"one atom": bulk("Cu", "fcc", a=3.55), "one atom, small cell": bulk("Cu", "sc", a=2.4), **structures}
