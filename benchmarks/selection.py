"""Fine-tune on structures that ``uniscreen data select`` chooses, where benchmarks/finetuning.yaml draws at random.

    python benchmarks/selection.py nacl sic --sizes 10 30

From the same structures to train on, with the same test set and the recipe ``chgnet-quick``. The seeds are those of the
training; what is chosen has none. Prints the errors on the test set, mean and sample standard deviation, and those of
the random draws from the results in this repository.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import uniscreen
from uniscreen.benchmarking.datasets import read_datasets
from uniscreen.benchmarking.spec import read_spec
from uniscreen.structures import candidates_from_structures
from uniscreen.structures.labels import labelled_extxyz
from uniscreen.training.selection import select

SPEC = Path(__file__).parent / "finetuning.yaml"
DRAWN = Path(__file__).parent / "results" / "finetuning.csv"
METRICS = {"energy_mae": "energy_mae_meV_per_atom", "force_mae": "force_mae_meV_per_A"}


def main() -> None:
    """Choose, train and test; one row a set and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=["nacl", "sic"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    potential = uniscreen.load_potential("chgnet-0.3.0", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        for dataset in read_datasets(read_spec(SPEC), Path(folder)):
            if dataset.name not in arguments.names:
                continue
            (Path(folder) / "test.extxyz").write_bytes(labelled_extxyz(dataset.test))
            table = candidates_from_structures([one.atoms for one in dataset.pool])
            for n in arguments.sizes:
                chosen = [dataset.pool[place] for place in select(table, n, potential).stands_for]
                (Path(folder) / "train.extxyz").write_bytes(labelled_extxyz(chosen))
                errors = [_trained(Path(folder), dataset.name, n, seed) for seed in range(arguments.seeds)]
                print(f"{dataset.name} {n}: chosen {_said(errors)}; drawn {_said(_drawn(dataset.name, n))}", flush=True)


def _trained(folder: Path, name: str, n: int, seed: int) -> list[float]:
    """The errors on the test set, in the order of METRICS."""
    summary = uniscreen.finetune(
        "chgnet-quick",
        folder / f"{name}-{n}-{seed}",
        train=folder / "train.extxyz",
        test=folder / "test.extxyz",
        settings={"seed": seed, "data.split.seed": seed, "checks.run": False},
    )
    return [summary["errors"]["test"]["trained"][key] for key in METRICS.values()]


def _drawn(name: str, n: int) -> list[list[float]]:
    """The same of the random draws, one row a seed."""
    results = pd.read_csv(DRAWN)
    ours = results[(results["dataset"] == name) & (results["model"] == "full") & (results["regime"] == "fine-tuned")]
    values = ours[ours["n_train"] == n].pivot_table(index="seed", columns="metric", values="value")
    return values[list(METRICS)].to_numpy().tolist()


def _said(errors: list[list[float]]) -> str:
    (energy, force), spread = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1)
    return f"{energy:.2f} ± {spread[0]:.2f} meV/atom and {force:.1f} ± {spread[1]:.1f} meV/Å"


if __name__ == "__main__":
    main()
