"""What one evaluation of CHGNet costs against the least that it could on this machine: arithmetic and bytes.

    python benchmarks/floor.py [wbm-972.json.gz] [--size 8]

For a batch of strained and rattled crystals, one thread: the floating-point operations of all matrix products of an
evaluation with forces and stress, as torch counts them, at the speed of a large matrix product on this machine; and the
bytes that would have to move if every tensor that a layer passes on were written once and read once in both directions,
at the speed of a copy that fits no cache. Both are measured in turns with the evaluation and with making the neighbour
lists of the batch. The last line is the time of the evaluation over the larger of the two.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from perturbed import perturbed
from torch.utils.flop_counter import FlopCounterMode

import uniscreen
from uniscreen.potentials.chgnet_graph import BondGraph
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Callable

MATRIX = 1024
COPIED = 16_000_000
"""Numbers in the copied array, 64 MB."""


def main() -> None:
    """Count, measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    potential: Any = uniscreen.load_potential("chgnet-0.3.0", device="cpu")
    crystals = perturbed(arguments.file, arguments.size)
    graph = potential.graph(crystals)
    with FlopCounterMode(display=False) as counter:
        potential.evaluate_graph(graph)
    operations, moved = counter.get_total_flops(), _passed_on(potential, graph)

    a, b = torch.randn(2, MATRIX, MATRIX)
    source, target = torch.randn(2, COPIED)
    speeds = {
        "evaluation": lambda: potential.evaluate_graph(graph),
        "neighbours": lambda: AtomicGraph.from_atoms(crystals, potential.card.cutoff),
        "product": lambda: a @ b,
        "copy": lambda: target.copy_(source),
    }
    seconds = _best(speeds, arguments.repeats)
    arithmetic = operations / (2 * MATRIX**3 / seconds["product"])
    memory = moved / (2 * 4 * COPIED / seconds["copy"])
    bonds = BondGraph.of(graph, potential.bond_cutoff)
    print(
        f"{arguments.size} crystals, {len(graph.numbers)} atoms, {graph.edge_index.shape[1]} edges, "
        f"{2 * len(bonds.angles)} angles"
    )
    print(f"matrix products  {operations / 1e9:8.3f} GFLOP at {operations / arithmetic / 1e9:6.1f} GFLOP/s")
    print(f"tensors passed on{moved / 1e9:8.3f} GB    at {moved / memory / 1e9:6.1f} GB/s")
    rows = {
        "arithmetic": arithmetic,
        "memory": memory,
        **{name: seconds[name] for name in ("evaluation", "neighbours")},
    }
    for name, value in rows.items():
        print(f"{name:16} {1000 * value:8.2f} ms, {1000 * value / arguments.size:6.2f} ms a crystal")
    print(f"ratio={seconds['evaluation'] / max(arithmetic, memory):.2f}")


def _best(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The shortest CPU time of each (s), run in turns; what else the machine does only makes them longer."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return {name: float(np.min(values)) for name, values in times.items()}


def _passed_on(potential: Any, graph: AtomicGraph) -> int:
    """Bytes: features and hidden rows of every layer, written and read, forwards and backwards.

    A convolution at m edges or angles makes 2 H hidden numbers a row and passes on F; see ``chgnet_network``.
    """
    model = potential.model
    bonds = BondGraph.of(graph, potential.bond_cutoff)
    n_edges, n_angles = graph.edge_index.shape[1], 2 * len(bonds.angles)
    n_numbers = 0
    for convolution in model.atom_conv_layers:
        n_numbers += n_edges * _row(convolution.twoBody_atom)
    for convolution in model.bond_conv_layers:
        n_numbers += n_angles * _row(convolution.twoBody_bond)
    for update in model.angle_layers[: len(model.bond_conv_layers) - 1]:
        n_numbers += n_angles * _row(update.twoBody_bond)
    return 4 * 2 * 2 * n_numbers


def _row(gated_mlp: Any) -> int:
    """Numbers that a gated MLP makes for a row: the outputs of its linear maps, and its own."""
    modules = [*gated_mlp.mlp_core.modules(), *gated_mlp.mlp_gate.modules()]
    maps = [module for module in modules if isinstance(module, torch.nn.Linear)]
    return sum(m.out_features for m in maps) + maps[-1].out_features


if __name__ == "__main__":
    main()
