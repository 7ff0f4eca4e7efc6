"""Evaluations to convergence by optimiser, on strained and rattled crystals: FIRE, as ASE has it, against L-BFGS.

    python benchmarks/relax_steps.py [wbm-972.json.gz] [--size 60] [--strain 0.03] [--rattle 0.1]

The last line is the mean number of evaluations with FIRE over that with L-BFGS.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from perturbed import perturbed

import uniscreen
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.optimisers import OPTIMISERS
from uniscreen.relaxation.result import RelaxationSettings


def main() -> None:
    """Relax the same crystals with each optimiser and compare steps, failures and energies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--strain", type=float, default=0.03)
    parser.add_argument("--rattle", type=float, default=0.1, help="Å")
    parser.add_argument("--model", default="chgnet-0.3.0")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    potential = uniscreen.load_potential(arguments.model, device="cpu")
    crystals = perturbed(arguments.file, arguments.size, strain=arguments.strain, rattle=arguments.rattle)
    print(f"{len(crystals)} crystals, {sum(map(len, crystals))} atoms, {arguments.model}, fmax 0.05 with the cell")
    print(f"{'optimiser':10} {'mean':>6} {'median':>6} {'p90':>5} {'max':>5} {'not ok':>6}")
    evaluations, energies = {}, {}
    for name in OPTIMISERS:
        results = relax(potential, crystals, RelaxationSettings(0.05, 500, name))
        n = evaluations[name] = np.array([result.n_steps + 1 for result in results])
        energies[name] = np.array([(result.energy or np.nan) / len(result.atoms) for result in results])
        bad = sum(result.status != "ok" for result in results)
        print(f"{name:10} {n.mean():6.1f} {np.median(n):6.0f} {np.percentile(n, 90):5.0f} {n.max():5} {bad:6}")
    difference = 1000 * (energies["lbfgs"] - energies["fire"])
    print(
        f"energy of lbfgs against fire: within 1 meV/atom for {(abs(difference) <= 1).sum()}, "
        f"lower for {(difference < -1).sum()} (by at most {-difference.min():.1f}), "
        f"higher for {(difference > 1).sum()} (by at most {max(difference.max(), 0):.1f})"
    )
    print(f"ratio={evaluations['fire'].mean() / evaluations['lbfgs'].mean():.2f}")


if __name__ == "__main__":
    main()
