"""CPU time of relaxing many crystals with one MACE: ours against torch-sim's, in turns in one process with one thread.

    pip install -e ".[mace]" torch-sim-atomistic==0.6.2 vesin-torch==0.6.2 -c constraints.txt  # with Python 3.12
    python benchmarks/relax_torch_sim.py H2Cu_MACE_model_swa.model [crystals.json.gz] [--size 60] [--dtype float64]

The crystals are those of the file, of elements that the model knows; without one, copper of 2 to 8 atoms with hydrogen
in some of its holes, for a model of H and Cu. They are strained by up to 3 % and rattled by 0.1 Å, and both move
positions and cell, by Fréchet's filter, until no force on an atom (eV/Å) and no row of the log-strain's gradient
divided by the number of atoms (eV) is above 0.05. Ours bounds the atoms' forces in the undeformed frame too. Both
evaluate in ``--dtype``, in which torch-sim also keeps positions and cells; ours are float64. torch-sim is given vesin's
neighbour list: the one that it takes otherwise holds at most 112 neighbours an atom here, which some crystals exceed.

torch-sim refills its batch as crystals end: ``--atoms`` are the sizes of batches to try, ``--swaps`` the steps between
two looks for what has ended. Evaluations are counted crystal by crystal, of ours those of the path that was kept. The
last two lines are ratios of median CPU time: its fastest with FIRE over ours with it, and its fastest over our default.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch_sim as ts
from ase import Atoms
from ase.build import bulk
from perturbed import moved, perturbed
from torch_sim.models.mace import MaceModel
from torch_sim.neighbors import vesin_nl_ts

import uniscreen
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.optimisers import OPTIMISERS
from uniscreen.relaxation.result import RelaxationSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Potential

FMAX = 0.05
MAX_STEPS = 500

COPPER = (
    (bulk("Cu", "fcc", a=3.63), [(1 / 2, 1 / 2, 1 / 2), (1 / 4, 1 / 4, 1 / 4), (3 / 4, 3 / 4, 3 / 4)]),
    (bulk("Cu", "hcp", a=2.57, c=4.20), [(2 / 3, 1 / 3, 1 / 4), (2 / 3, 1 / 3, 3 / 4)]),
    (bulk("Cu", "bcc", a=2.89), [(1 / 2, 1 / 2, 0), (1 / 2, 0, 1 / 2), (0, 1 / 2, 1 / 2)]),
)
"""Primitive cells (Å) and, in fractions of them, octahedral holes; of fcc the tetrahedral ones too."""


class Relaxed(NamedTuple):
    """Where B crystals ended: energies (B,) eV, which converged (B,); and how many evaluations of one it took."""

    energies: np.ndarray
    converged: np.ndarray
    evaluations: int


def main() -> None:
    """Relax the same crystals each way, in turns, and compare times and ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a MACE .model file")
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--atoms", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--swaps", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    crystals = perturbed(arguments.file, arguments.size) if arguments.file else _hydrides(arguments.size)
    ways = _ways(arguments)
    for way in ways.values():
        way(crystals[:2])  # the first call of a model compiles
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    ends = {}
    for _, (name, way) in product(range(arguments.repeats), ways.items()):
        started = time.process_time(), time.perf_counter()
        ends[name] = way(crystals)
        times[name].append((time.process_time() - started[0], time.perf_counter() - started[1]))
    medians = {name: np.median(values, axis=0) for name, values in times.items()}
    print(f"{len(crystals)} crystals, {sum(map(len, crystals))} atoms, {arguments.model.name}, {arguments.dtype}")
    _print_table(medians, ends, np.array([len(atoms) for atoms in crystals]))
    cpu = {name: median[0] for name, median in medians.items()}
    fire = min(seconds for name, seconds in cpu.items() if name.startswith("torch-sim fire"))
    fastest = min(seconds for name, seconds in cpu.items() if name.startswith("torch-sim"))
    print(f"ratio_fire={fire / cpu['uniscreen fire']:.2f}")
    print(f"ratio={fastest / cpu['uniscreen lbfgs']:.2f}")


def _ways(arguments: argparse.Namespace) -> dict[str, Callable[[list[Atoms]], Relaxed]]:
    """How the crystals can be relaxed, by name; ours by default is the first."""
    file, dtype = arguments.model, arguments.dtype
    potential = uniscreen.load_potential(str(file), device="cpu", dtype=dtype, trust_model_file=True)
    model = MaceModel(file, torch.device("cpu"), dtype=getattr(torch, dtype), neighbor_list_fn=vesin_nl_ts)
    ways: dict[str, Callable[[list[Atoms]], Relaxed]] = {
        f"uniscreen {name}": partial(_uniscreen, potential, RelaxationSettings(FMAX, MAX_STEPS, name))
        for name in OPTIMISERS
    }
    for name, atoms, swaps in product(("lbfgs", "fire"), arguments.atoms, arguments.swaps):
        ways[f"torch-sim {name}, {atoms} atoms, {swaps} steps"] = partial(_torch_sim, model, name, atoms, swaps)
    return ways


def _hydrides(size: int, seed: int = 0) -> list[Atoms]:
    """Copper of 2 to 8 atoms with hydrogen in up to three tenths of its holes, strained and rattled."""
    rng = np.random.default_rng(seed)
    chosen: list[Atoms] = []
    while len(chosen) < size:
        cell, holes = COPPER[rng.integers(len(COPPER))]
        full = cell + Atoms(["H"] * len(holes), scaled_positions=holes, cell=cell.cell)
        atoms = full.repeat(rng.integers(1, 4, size=3))
        copper = atoms.symbols == "Cu"
        if 2 <= copper.sum() <= 8:
            chosen.append(moved(atoms[copper | (rng.random(len(atoms)) < rng.uniform(0, 0.3))], rng))
    return chosen


def _uniscreen(potential: Potential, settings: RelaxationSettings, crystals: list[Atoms]) -> Relaxed:
    results = relax(potential, crystals, settings)
    energies = np.array([np.nan if result.energy is None else result.energy for result in results])
    converged = np.array([result.status == "ok" for result in results])
    return Relaxed(energies, converged, sum(result.n_steps + 1 for result in results))


def _torch_sim(model: MaceModel, name: str, atoms: int, swaps: int, crystals: list[Atoms]) -> Relaxed:
    evaluations = 0

    def count(_module: Any, _inputs: Any, output: dict[str, torch.Tensor]) -> None:
        nonlocal evaluations
        evaluations += len(output["energy"])

    has_converged = ts.generate_force_convergence_fn(FMAX, include_cell_forces=True)
    with model.register_forward_hook(count):
        state = ts.optimize(
            crystals,
            model,
            optimizer=ts.Optimizer[name],
            convergence_fn=has_converged,
            max_steps=MAX_STEPS,
            steps_between_swaps=swaps,
            autobatcher=ts.InFlightAutoBatcher(model, memory_scales_with="n_atoms", max_memory_scaler=atoms),
            init_kwargs={"cell_filter": ts.CellFilter.frechet},
        )
    return Relaxed(state.energy.double().numpy(), has_converged(state).numpy(), evaluations)


def _print_table(medians: dict[str, np.ndarray], ends: dict[str, Relaxed], atoms: np.ndarray) -> None:
    print(f"{'':36} {'CPU s':>7} {'wall s':>7} {'evaluations':>11} {'converged':>9}  energy against ours (the first):")
    print(f"{'':36} {'':>7} {'':>7} {'':>11} {'':>9}  within 1 meV/atom, lower, higher")
    first = next(iter(ends.values())).energies
    for name, (cpu, wall) in medians.items():
        end = ends[name]
        difference = 1000 * (end.energies - first) / atoms
        kinds = abs(difference) <= 1, difference < -1, difference > 1
        counts = ", ".join(str(kind.sum()) for kind in kinds)
        print(f"{name:36} {cpu:7.1f} {wall:7.1f} {end.evaluations:11} {end.converged.sum():9}  {counts}")


if __name__ == "__main__":
    main()
