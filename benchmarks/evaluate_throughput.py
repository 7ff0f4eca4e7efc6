"""Energy, forces and stress per second on one CPU thread (or CUDA): ours against the model's own package.

    python benchmarks/evaluate_throughput.py [wbm-972.json.gz] [--size 64] [--model chgnet-0.3.0] [--device cpu]

The packages: chgnet's predict_structure; matgl's PESCalculator and its potential on batches; mace's MACECalculator and
its model on batches. Each repeat runs all, one after the other. The last line is the median time of the package's
fastest over that of our fastest; on a CPU it is CPU time, which feels least what else the machine does.

``--model`` may be a file that benchmarks/random_mace.py writes. Where a crystal has elements that the model does not
know, the model's own take their places.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from packages import package_runs
from perturbed import perturbed

import uniscreen

if TYPE_CHECKING:
    from ase import Atoms
    from packages import Run

    from uniscreen.potentials.base import Potential


def main() -> None:
    """Time both in turns and print what each needs for a structure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="chgnet-0.3.0")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 8, 16])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    potential = uniscreen.load_potential(arguments.model, device=arguments.device, trust_model_file=True)
    crystals = [_known(atoms, potential) for atoms in perturbed(arguments.file, arguments.size)]
    ours: dict[str, Run] = {
        f"uniscreen, batch size {size}": lambda size=size: _evaluated(potential, crystals, size)
        for size in arguments.batch_sizes
    }
    runs = ours | package_runs(arguments.model, arguments.device, crystals, arguments.batch_sizes)
    clock = time.process_time if arguments.device == "cpu" else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    results = {}
    for _ in range(arguments.repeats + 1):
        for name, run in runs.items():
            started = clock()
            results[name] = run()
            times[name].append(clock() - started)
    atoms = np.array([len(crystal) for crystal in crystals])
    print(f"{len(crystals)} crystals, {atoms.sum()} atoms, {potential.card.name}, {arguments.device}")
    print(f"{'':32} {'ms/structure':>12} {'structures/s':>12}  largest difference from ours: meV/atom, eV/Å")
    medians = {
        name: float(np.median(values[1:])) / len(crystals) for name, values in times.items()
    }  # the first warms up
    energies, forces = results[next(iter(ours))]
    for name, median in medians.items():
        difference = 1000 * abs((results[name][0] - energies) / atoms).max(), abs(results[name][1] - forces).max()
        print(f"{name:32} {1000 * median:12.2f} {1 / median:12.1f}  {difference[0]:.4f}, {difference[1]:.1e}")
    print(f"ratio={min(medians[name] for name in runs if name not in ours) / min(medians[name] for name in ours):.2f}")


def _known(atoms: Atoms, potential: Potential) -> Atoms:
    """The crystal, of elements that the model knows."""
    elements = sorted(potential.card.elements)
    symbols = sorted(set(atoms.symbols))
    if not set(symbols) <= set(elements):
        atoms.symbols[:] = [elements[symbols.index(symbol) % len(elements)] for symbol in atoms.symbols]
    return atoms


def _evaluated(potential: Potential, crystals: list[Atoms], size: int) -> tuple[np.ndarray, np.ndarray]:
    results = potential.evaluate(crystals, batch_size=size)
    return np.array([r.energy for r in results]), np.concatenate([r.forces for r in results])


if __name__ == "__main__":
    main()
