"""Energy, forces and stress per second on one CPU thread (or CUDA): ours against the model's own package.

    python benchmarks/evaluate_throughput.py [wbm-972.json.gz] [--size 64] [--model chgnet-0.3.0] [--device cpu]

The packages: chgnet's predict_structure with its best batch size, matgl's PESCalculator, mace's MACECalculator. Each
repeat runs both, one after the other. The last line is the median time of the package over ours.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from perturbed import perturbed

import uniscreen
from uniscreen.potentials import find_card
from uniscreen.potentials.loading import resolve_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms


def main() -> None:
    """Time both in turns and print what each needs for a structure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="chgnet-0.3.0")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch-size", type=int, default=8, help="ours; the package's best of 1, 4 and 16 is taken")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    crystals = perturbed(arguments.file, arguments.size)
    potential = uniscreen.load_potential(arguments.model, device=arguments.device)
    runs: dict[str, Callable[[], np.ndarray]] = {
        "uniscreen": lambda: np.array([r.energy for r in potential.evaluate(crystals, batch_size=arguments.batch_size)])
    }
    runs |= _package(arguments.model, arguments.device, crystals)
    times: dict[str, list[float]] = {name: [] for name in runs}
    energies = {}
    for _ in range(arguments.repeats + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            energies[name] = run()
            times[name].append(time.perf_counter() - started)
    atoms = np.array([len(crystal) for crystal in crystals])
    print(f"{len(crystals)} crystals, {atoms.sum()} atoms, {arguments.model}, {arguments.device}")
    print(f"{'':32} {'ms/structure':>12} {'structures/s':>12}  largest difference from ours, meV/atom")
    medians = {}
    for name in runs:
        medians[name] = float(np.median(times[name][1:])) / len(crystals)  # the first is for warming up
        difference = 1000 * abs((energies[name] - energies["uniscreen"]) / atoms).max()
        print(f"{name:32} {1000 * medians[name]:12.2f} {1 / medians[name]:12.1f}  {difference:.4f}")
    ours = medians.pop("uniscreen")
    print(f"ratio={min(medians.values()) / ours:.2f}")


def _package(model: str, device: str, crystals: list[Atoms]) -> dict[str, Callable[[], np.ndarray]]:
    """The model's own package, as its documentation says to use it."""
    card = find_card(model)
    if card.architecture == "CHGNet":
        return _chgnet(model.removeprefix("chgnet-"), device, crystals)
    _, weights = resolve_model(model)
    if card.architecture == "M3GNet":
        import matgl
        from matgl.ext.ase import PESCalculator

        calculator = PESCalculator(matgl.load_model(weights), stress_unit="eV/A3")
    else:
        from mace.calculators import MACECalculator

        calculator = MACECalculator(model_paths=str(weights), device=device, default_dtype=card.dtype)
    return {type(calculator).__name__: lambda: np.array([_calculated(calculator, atoms) for atoms in crystals])}


def _chgnet(version: str, device: str, crystals: list[Atoms]) -> dict[str, Callable[[], np.ndarray]]:
    from chgnet.model import CHGNet
    from pymatgen.io.ase import AseAtomsAdaptor

    with contextlib.redirect_stdout(io.StringIO()):
        theirs = CHGNet.load(model_name=version, use_device=device, verbose=False)
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in crystals]
    atoms = np.array([len(structure) for structure in structures])

    def run(batch_size: int) -> np.ndarray:
        results = theirs.predict_structure(structures, task="efs", batch_size=batch_size)
        return np.array([result["e"] for result in results]) * atoms

    return {f"chgnet, batch size {size}": lambda size=size: run(size) for size in (1, 4, 16)}


def _calculated(calculator, atoms: Atoms) -> float:
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    return calculator.results["energy"]


if __name__ == "__main__":
    main()
