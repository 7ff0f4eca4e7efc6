"""The three jobs as one call each, with the files and reports that their commands write."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.progress import screening_bar, training_bars, work_bars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.potentials.cards import Functional
    from uniscreen.potentials.loading import Device, Precision
    from uniscreen.relaxation.optimisers import Optimiser


def screen(
    candidates: Path | str | Sequence[Atoms | Structure],
    *,
    model: str | PathLike[str] | Sequence[str | PathLike[str]] = "chgnet-0.3.0",
    out: Path | str | None = None,
    references: Path | str = "elements",
    self_consistent: bool = False,
    relax: bool = True,
    fmax: float = 0.05,
    max_steps: int = 500,
    optimiser: Optimiser = "lbfgs",
    max_atoms: int = 1000,
    limit: int | None = None,
    prescreen: bool = False,
    keep_below: float | None = None,
    head: str = "",
    trust_model_file: bool = False,
    functional: Functional | None = None,
    dtype: Precision | None = None,
    device: Device = "auto",
    deterministic: bool = False,
    workers: int | None = None,
    restart: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Relax candidates, rank them by their distance to the convex hull, and write the results to a folder.

    The same call continues a run that was stopped.

    Args:
        candidates: a file or folder as of ``uniscreen screen``, or a list of ASE Atoms or pymatgen Structures.
        model: a name or path as of ``load_potential``; several are a committee, the first of which leads.
        out: the folder of the results; ``NAME-screen`` in the working directory unless given.
        references: a file of competing entries; ``mp``, those of the Materials Project; or ``elements``, DFT
            energies of the elements, and the candidates compete with each other.
        self_consistent: evaluate the references with the model too, and give the distance to their hull as well.
        relax: relax positions and cell, or evaluate the structures as they are.
        fmax: the largest force that relaxing leaves, eV/Å, cell included.
        max_steps: the most relaxation steps of a candidate; one that needs more is ``not_converged``.
        optimiser: what relaxes.
        max_atoms: larger structures are not evaluated.
        limit: only the first so many candidates.
        prescreen: stop relaxing what is not expected to come to within ``keep_below`` of the references' hull.
        keep_below: eV/atom above the hull; needed with ``prescreen``.
        head: which output to use of a model that has several.
        trust_model_file: run the code of a calculator, or in a pickled model that no card vouches for.
        functional: that of the training labels of a model that does not tell.
        dtype: the precision; the model's own unless given.
        device: ``auto`` takes CUDA where there is one.
        deterministic: the same numbers to the last bit on every run on one machine.
        workers: processes; one a core on CPUs and one on a GPU unless given.
        restart: begin anew, even where the folder holds a run.
        progress: show a progress bar on stderr.

    Returns:
        The table of ``results.csv``, one row a candidate, the best first. README.md describes its columns.

    Raises:
        InputError: the candidates, a setting, a model, the references or the folder are wrong as a whole. A single
            candidate that cannot be evaluated is a row with its reason instead.
    """
    from uniscreen.reports import write_screen_report
    from uniscreen.screening import run_models

    settings = {
        "relax": relax,
        "fmax": fmax,
        "max_steps": max_steps,
        "optimiser": optimiser,
        "max_atoms": max_atoms,
        "limit": limit,
        "prescreen": prescreen,
        "keep_below": keep_below,
        "head": head,
        "trust_model_file": trust_model_file,
        "functional": functional,
        "dtype": dtype,
        "device": device,
        "deterministic": deterministic,
    }
    with screening_bar(show=progress) as (on_progress, on_fetch):
        run = run_models(
            candidates,
            [fspath(one) for one in ([model] if isinstance(model, str | PathLike) else model)],
            out=out,
            references=references,
            self_consistent=self_consistent,
            workers=workers,
            restart=restart,
            on_progress=on_progress,
            on_fetch=on_fetch,
            **_plain(settings),
        )
    write_screen_report(run.folder, run.competition.references)
    return run.table


def finetune(
    recipe: Path | str,
    out: Path | str,
    *,
    train: Path | str | None = None,
    validation: Path | str | None = None,
    test: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: Device = "auto",
    trust_model_file: bool = False,
    workers: int | None = None,
    restart: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Train a universal potential further on a system's own calculations; the folder ``out`` is a potential then.

    ``recipe`` is a file or the name of one that ships, ``train``, ``validation`` and ``test`` stand in for its files of
    labelled structures, and ``settings`` for its other values: ``{"optimiser.steps": 500}``. ``workers`` processes
    train, one a core by default; the weights do not depend on it. ``progress`` shows progress bars on stderr. What
    ``summary.json`` holds is returned, such as the ``errors`` of each stage on each set. The same call continues a run
    that was stopped.

    Raises:
        InputError: the recipe or the data are wrong, or the model cannot be trained.
        ResumeError: ``out`` holds a run of another recipe or other data.
    """
    import torch

    from uniscreen.reports import write_training_report
    from uniscreen.training import finetuning
    from uniscreen.training.recipe_file import read_recipe
    from uniscreen.training.shipped import find_recipe

    files = {"train": train, "validation": validation, "test": test}
    values = _plain(dict(settings or {}))
    chosen = read_recipe(
        find_recipe(Path(recipe)),
        [f"{key}={_in_a_line(value)}" for key, value in values.items()],
        **{key: Path(file) for key, file in files.items() if file is not None},
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a step on two takes longer
    try:
        with training_bars(show=progress) as (on_epoch, on_check):
            summary = finetuning.finetune(
                chosen,
                Path(out),
                device=device,
                trust_model_file=trust_model_file,
                workers=workers,
                restart=restart,
                on_epoch=on_epoch,
                on_check=on_check,
            )
    finally:
        torch.set_num_threads(threads)
    write_training_report(Path(out))
    return summary


def benchmark(
    spec: Path | str,
    out: Path | str | None = None,
    *,
    seeds: int | None = None,
    n_train: Sequence[int | str] | None = None,
    workers: int | None = None,
    device: Device = "auto",
    trust_model_file: bool = False,
    retry_failed: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Run a benchmark in ``out`` (by default ``runs/NAME``) and return what ``uniscreen.leaderboard`` makes of it.

    ``seeds`` and ``n_train`` stand in for the spec's. ``progress`` shows a progress bar on stderr. The same call
    continues a run that was stopped.

    Raises:
        InputError: the spec, its data, a recipe or a hyperparameter is wrong, before anything runs.
        ResumeError: another process is at this folder.
    """
    from uniscreen.benchmarking.runner import run_benchmark
    from uniscreen.benchmarking.spec import read_spec
    from uniscreen.reports.leaderboard_report import write_run_leaderboard

    chosen = read_spec(Path(spec), seeds=_plain(seeds), n_train=_plain(n_train))
    with work_bars(show=progress) as update:
        run = run_benchmark(
            chosen,
            Path(out) if out is not None else Path("runs") / chosen.benchmark,
            workers=workers,
            device=device,
            trust_model_file=trust_model_file,
            retry_failed=retry_failed,
            on_cell=lambda _, done, total: update("cells", done, total),
        )
    content, _ = write_run_leaderboard(run.folder)
    return content.board


def _in_a_line(value: Any) -> str:
    """The value as YAML, as it would be given on a command line."""
    import yaml

    text = str(yaml.safe_dump(value, default_flow_style=True, width=float("inf")))
    return text.removesuffix("...\n").rstrip("\n")


def _plain(value: Any) -> Any:
    """The value with Python's own numbers for those of NumPy, and text for paths: what JSON and YAML hold."""
    import numpy as np

    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return fspath(value) if isinstance(value, PathLike) else value
