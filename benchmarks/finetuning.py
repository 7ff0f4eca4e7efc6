"""Fine-tuning by strategy and number of samples: errors on a test set, mean and spread over seeds.

    python benchmarks/finetuning.py --train data/nacl/nacl.extxyz --sizes 10 30 --out runs/nacl
    python benchmarks/finetuning.py --train Si-train.extxyz --test Si-test.extxyz --sizes 10 30 100 --out runs/si

A seed draws other training frames, and trains on them in another order. Frames of validation are among the samples.
Without --test, whole groups of the training file, about a third of its frames, are the test set and train nothing.
Every run is a folder in --out; a run that is there is not repeated, and one that was stopped is continued.
"""

from __future__ import annotations

import argparse
import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ase.io import read, write

from uniscreen.structures.labels import read_labelled
from uniscreen.training.finetuning import finetune
from uniscreen.training.recipe import read_recipe
from uniscreen.training.shipped import find_recipe
from uniscreen.training.splits import split

TEST_SHARE = 1 / 3

STRATEGIES = {
    "full": ("strategy={kind: full}",),
    "readout": ("strategy={kind: blocks, blocks: [readout]}",),
    "lora": ("strategy={kind: lora, rank: 4}",),
    "delta": ("strategy={kind: delta}",),
    "scratch": ("strategy={kind: scratch}",),
}
ERRORS = ("energy_mae_meV_per_atom", "force_mae_meV_per_A", "force_slope", "stress_mae_GPa")


def run(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Train one cell, and return its rows: re-referenced alone, and trained."""
    torch.set_num_threads(1)
    settings = [
        f"model={cell['model']}",
        f"data.n_train={cell['n']}",
        f"data.split.seed={cell['seed']}",
        f"seed={cell['seed']}",
        *STRATEGIES[cell["strategy"]],
        "checks.run=false",
        *cell["settings"],
    ]
    recipe = read_recipe(find_recipe(Path(cell["recipe"])), settings, train=cell["train"], test=cell["test"])
    summary = finetune(recipe, cell["out"])
    what = {name: cell[name] for name in ("model", "n", "seed")}
    stages = summary["errors"]["test"]
    rows = [("zero-shot", "pretrained"), ("re-referenced", "rereferenced"), (cell["strategy"], "trained")]
    return [
        what
        | {"regime": regime, "seconds": summary["seconds"] if stage == "trained" else 0.0}
        | {name: stages[stage][name] for name in ERRORS}
        for regime, stage in rows
    ]


def split_off(data: Path, out: Path) -> tuple[Path, Path]:
    """Write the frames of some groups, a third of them, to a file of their own, and the others to another."""
    chosen = split(read_labelled(data).structures, validation=TEST_SHARE)
    frames = read(data, ":")
    out.mkdir(parents=True, exist_ok=True)
    files = out / "train.extxyz", out / "test.extxyz"
    for path, places in zip(files, (chosen.train, chosen.validation), strict=True):
        write(path, [frames[k] for k in places])
    return files


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean and the sample standard deviation over seeds."""
    rows = rows.drop_duplicates(["model", "n", "seed", "regime"])
    groups = rows.groupby(["model", "regime", "n"], sort=False)
    shown = groups[list(ERRORS)].agg(_mean_and_spread)
    shown["seeds"] = groups["seed"].nunique()
    shown["seconds"] = groups["seconds"].mean().round(0).astype(int)
    return shown.reset_index()


def _mean_and_spread(values: pd.Series) -> str:
    numbers = values.to_numpy(dtype=float)
    if np.isnan(numbers).all():
        return "-"
    digits = 2 if abs(numbers.mean()) < 10 else 1
    spread = f" ± {numbers.std(ddof=1):.{digits}f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():.{digits}f}{spread}"


def main() -> None:
    """Run all cells, in processes, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--recipe", default="chgnet-careful", help="one that ships, or a file")
    parser.add_argument("--models", nargs="+", default=["chgnet-0.3.0"])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 30, 100])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--settings", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the recipe")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    train, test = options.train, options.test
    if test is None:
        train, test = split_off(train, options.out)
    cells = [
        {
            "model": model,
            "strategy": strategy,
            "n": n,
            "seed": seed,
            "recipe": options.recipe,
            "settings": options.settings,
            "train": train,
            "test": test,
            "out": options.out / f"{Path(model).name}-{strategy}-{n}-{seed}",
        }
        for seed, n, model, strategy in itertools.product(
            options.seeds, options.sizes, options.models, options.strategies
        )
    ]
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        for k, found in enumerate(pool.map(run, cells), start=1):
            rows += found
            print(f"{k}/{len(cells)}", found[-1], flush=True)
    print(table(pd.DataFrame(rows)).to_string(index=False))


if __name__ == "__main__":
    main()
