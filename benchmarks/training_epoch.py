"""Wall-clock time of an epoch of training CHGNet: ours, on one core and on all, against chgnet's Trainer, in turns.

    python benchmarks/training_epoch.py [data/sic/sic.extxyz] [--size 24] [--batch-size 4] [--repeats 3]

An epoch is one pass over so many labelled frames, with gradients of a loss of energies, forces and stresses. chgnet's
graphs are made beforehand, ours within the epoch. Its Trainer is run with one thread and with as many as torch takes by
itself. The last line is its faster time over ours on all cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from chgnet.data.dataset import StructureData, collate_graphs
from chgnet.model import CHGNet
from chgnet.trainer import Trainer
from pymatgen.io.ase import AseAtomsAdaptor
from torch.utils.data import DataLoader

from uniscreen.machine import usable_cores
from uniscreen.training.assignment import adapted
from uniscreen.training.finetuning import prepare
from uniscreen.training.recipe_file import checked
from uniscreen.training.sharing import SharedObjective
from uniscreen.training.strategies import Adaptation
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from uniscreen.training.assignment import Assignment
    from uniscreen.training.objective import Objective


def epoch_of_ours(objective: Objective, batch_size: int) -> float:
    """Seconds in which all frames have been differentiated."""
    started = time.perf_counter()
    for first in range(0, len(objective.train), batch_size):
        objective.backward(objective.train[first : first + batch_size])
    return time.perf_counter() - started


def loader_of(assignment: Assignment, batch_size: int) -> DataLoader:
    """The same frames for chgnet, with stresses as it takes them: kbar, with compression positive."""
    frames = assignment.material.train
    data = StructureData(
        structures=[AseAtomsAdaptor.get_structure(one.atoms) for one in frames],
        energies=[one.energy / len(one.atoms) for one in frames],
        forces=[one.forces for one in frames],
        stresses=[-10 * EV_PER_CUBIC_ANGSTROM_TO_GPA * one.stress for one in frames],
        shuffle=False,
    )
    graphs = [data[k] for k in range(len(frames))]
    return DataLoader(graphs, batch_size=batch_size, collate_fn=collate_graphs)


def epoch_of_chgnet(trainer: Trainer, loader: DataLoader, threads: int) -> float:
    """Seconds of an epoch of its Trainer, with so many threads of torch."""
    torch.set_num_threads(threads)
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        trainer._train(loader, 0)
    seconds = time.perf_counter() - started
    torch.set_num_threads(1)
    return seconds


def main() -> None:
    """Time them in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?", type=Path, default=Path("data/sic/sic.extxyz"))
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    threads = torch.get_num_threads()
    cores = usable_cores()
    torch.set_num_threads(1)
    split = {"by": "frame", "validation": 1 / given.size}
    data = {"train": str(given.train), "n_train": given.size + 1, "split": split}
    recipe = checked(
        {"model": "chgnet-0.3.0", "data": data, "optimiser": {"batch_size": given.batch_size}}, "benchmark"
    )
    prepared = prepare(recipe, device="cpu")

    def objective(processes: int) -> SharedObjective:
        assignment = prepared.assignments(Path(), processes)[0]
        potential = adapted(assignment)
        return SharedObjective(assignment, potential, Adaptation(potential, recipe.strategy, 0))

    assignment = prepared.assignments(Path(), 1)[0]
    loader = loader_of(assignment, given.batch_size)
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(model=CHGNet.load(), targets="efs", use_device="cpu", learning_rate=1e-5)
    with closing(objective(1)) as alone, closing(objective(cores)) as shared:
        ways = {
            "uniscreen, one core": lambda: epoch_of_ours(alone, given.batch_size),
            f"uniscreen, {cores} cores": lambda: epoch_of_ours(shared, given.batch_size),
            "chgnet's Trainer, one thread": lambda: epoch_of_chgnet(trainer, loader, 1),
            f"chgnet's Trainer, {threads} threads": lambda: epoch_of_chgnet(trainer, loader, threads),
        }
        for way in ways.values():
            way()  # warms up, and waits until the other processes are there
        times = {name: [] for name in ways}
        for _ in range(given.repeats):
            for name, way in ways.items():
                times[name].append(way())
    n_atoms = sum(len(one.atoms) for one in assignment.material.train)
    print(f"{len(assignment.material.train)} frames, {n_atoms} atoms, batches of {given.batch_size}")
    medians = {name: float(np.median(found)) for name, found in times.items()}
    for name, seconds in medians.items():
        print(f"{name:32} {seconds:8.2f} s")
    ours, theirs = [*medians.values()][:2], [*medians.values()][2:]
    print(f"one core over all ratio={ours[0] / ours[1]:.2f}")
    print(f"chgnet over uniscreen ratio={min(theirs) / ours[1]:.2f}")


if __name__ == "__main__":
    main()
