"""A MACE with random weights and the architecture of MACE-MP-0, to time it where the published weights are not at hand.

    python benchmarks/random_mace.py file.model [--hidden 128x0e]

89 elements, spherical harmonics to l = 3, correlation 3, a cutoff of 6 Å; ``--hidden`` 128x0e is that of the small
model, 128x0e+128x1o that of the medium one: Batatia et al., arXiv:2401.00096 (2023).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

NUMBERS = [*range(1, 84), *range(89, 95)]


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--hidden", default="128x0e")
    arguments = parser.parse_args()

    import mace.modules
    from e3nn import o3

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    interaction = mace.modules.RealAgnosticResidualInteractionBlock
    model = mace.modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=interaction,
        interaction_cls_first=interaction,
        num_interactions=2,
        num_elements=len(NUMBERS),
        hidden_irreps=o3.Irreps(arguments.hidden),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(NUMBERS)),
        avg_num_neighbors=60.0,
        atomic_numbers=NUMBERS,
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=0.8,
        atomic_inter_shift=0.1,
    )
    torch.save(model, arguments.file)


if __name__ == "__main__":
    main()
