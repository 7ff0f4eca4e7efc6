"""Run a benchmark: every cell in a process of its own, several at once, each recorded when it is done.

The folder of a benchmark holds ``spec.yaml`` (with its defaults), ``data`` (test structures that were split off),
``cells`` (one folder each: what it is, its log, its potential, its rows), ``results.parquet``, ``results.csv`` and
``provenance.json``. A cell's folder is named after everything that decides what it trains and tests, its file of rows
after what else is measured, so the same call continues, and a spec that was added to runs only what is new.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.benchmarking.cell import CELL
from uniscreen.benchmarking.cells import cells
from uniscreen.benchmarking.datasets import read_datasets
from uniscreen.benchmarking.result_rows import PROVENANCE, RESULTS
from uniscreen.benchmarking.results import failed_row, results_table
from uniscreen.durable import locked, write_atomically, write_json
from uniscreen.errors import InputError
from uniscreen.machine import usable_cores, versions
from uniscreen.potentials import resolve_device
from uniscreen.processes import threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from uniscreen.benchmarking.cells import Cell
    from uniscreen.benchmarking.spec import BenchmarkSpec
    from uniscreen.potentials.loading import Device

LOG = "log.txt"
TAIL = 2000
"""Bytes of a log that are looked through for what ended a cell."""

PACKAGES = ("uniscreen", "torch", "numpy", "ase", "pymatgen", "chgnet", "matgl", "mace-torch")


@dataclass(frozen=True)
class BenchmarkRun:
    """What a benchmark came to: its folder, its rows, and how many cells failed of how many."""

    folder: Path
    rows: pd.DataFrame
    failed: int
    total: int


def plan(spec: BenchmarkSpec, out: Path) -> list[tuple[Cell, bool]]:
    """The cells of a benchmark, and whether each is done; nothing is written. Errors as for ``run_benchmark``."""
    return [(cell, _is_done(out, cell)) for cell in cells(spec, read_datasets(spec, out / "data"))]


def run_benchmark(
    spec: BenchmarkSpec,
    out: Path,
    *,
    workers: int | None = None,
    device: Device = "auto",
    trust_model_file: bool = False,
    retry_failed: bool = False,
    on_cell: Callable[[Cell, int, int], None] = lambda *_: None,
) -> BenchmarkRun:
    """Run the cells that are not done, and write the results of all; results so far are there after every cell.

    ``workers`` cells at once, one a core by default (one on CUDA). ``retry_failed`` runs those once more in which
    anything failed; what they have trained is kept. ``on_cell`` is told of a cell that is done, how many are, and of
    how many.

    Raises:
        InputError: data, a recipe, a hyperparameter or the device is wrong, before anything runs.
        ResumeError: another process is at this folder.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}, expected at least 1.")
    on_gpu = resolve_device(device) == "cuda"  # whose memory cells would share, so one at a time
    datasets = read_datasets(spec, out / "data")
    planned = cells(spec, datasets)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", out):
        write_atomically(out / "spec.yaml", spec.as_yaml().encode())
        for path, content in ((path, content) for dataset in datasets for path, content in dataset.files.items()):
            write_atomically(path, content)
        if retry_failed:
            for cell in planned:
                if any(one["status"] == "failed" for one in _rows(out, cell)):
                    (out / "cells" / cell.name / cell.rows_name).unlink()
        waiting = [cell for cell in planned if not _is_done(out, cell)]
        n_done = len(planned) - len(waiting)
        processes = _Processes([device, "trust" if trust_model_file else "-"])
        with ThreadPoolExecutor(workers or (1 if on_gpu else usable_cores())) as pool:
            futures = {pool.submit(processes.run, cell, out / "cells" / cell.name): cell for cell in waiting}
            try:
                for future in as_completed(futures):
                    future.result()
                    n_done += 1
                    _write(out, spec, planned)
                    on_cell(futures[future], n_done, len(planned))
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                processes.stop()
                raise
        return _write(out, spec, planned)


class _Processes:
    """The processes of the cells that run now, each the leader of a session: all it starts can be ended with it."""

    def __init__(self, options: list[str]) -> None:
        self._options = options
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, cell: Cell, folder: Path) -> None:
        """Run a cell; one that dies or takes too long is a row with what its log says last."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CELL, cell.model_dump_json(indent=1).encode())
        start = time.perf_counter()
        process = self._start(folder)
        if process is None:
            return
        try:
            code = process.wait(3600 * cell.hours)
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            reason = f"its process ended with {how}: {_last_line(folder / LOG)}"
        except subprocess.TimeoutExpired:
            _end(process)
            reason = f"it was not done after {cell.hours:g} hours (cell_hours)"
        self._running.discard(process)
        if not self._stopped and not (folder / cell.rows_name).is_file():
            rows = [failed_row(cell, reason, round(time.perf_counter() - start, 1))]
            write_json(folder / cell.rows_name, rows)

    def stop(self) -> None:
        """End all, and start no more; their cells are to be run again."""
        with self._lock:
            self._stopped = True
        for process in list(self._running):
            _end(process)

    def _start(self, folder: Path) -> subprocess.Popen[bytes] | None:
        arguments = [str(folder), str(os.getpid()), *self._options]
        command = [sys.executable, "-P", "-m", "uniscreen.benchmarking.cell", *arguments]
        with self._lock:
            if self._stopped:
                return None
            with (folder / LOG).open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | threads(1),
                    start_new_session=True,
                )
            self._running.add(process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all in its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_bytes()[-TAIL:].decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it printed nothing"


def _is_done(out: Path, cell: Cell) -> bool:
    return (out / "cells" / cell.name / cell.rows_name).is_file()


def _rows(out: Path, cell: Cell) -> list[dict[str, Any]]:
    """The rows of a cell that is done, under the names that it has now; none of one that is not."""
    path = out / "cells" / cell.name / cell.rows_name
    found = json.loads(path.read_bytes()) if path.is_file() else []
    return [one | {"benchmark": cell.benchmark, "source": cell.source} for one in found]


def _write(out: Path, spec: BenchmarkSpec, planned: list[Cell]) -> BenchmarkRun:
    """Write the results of the cells that are done."""
    found = [_rows(out, cell) for cell in planned]
    table = results_table([row for rows in found for row in rows])
    write_atomically(out / RESULTS, table.to_parquet(index=False))
    write_atomically(out / "results.csv", table.to_csv(index=False, lineterminator="\n").encode())
    sums = {cell.dataset: cell.data_sha256 for cell in planned}
    counts = Counter("failed" if rows[0]["metric"] == "" else "done" for rows in found if rows)
    provenance = {
        "benchmark": spec.benchmark,
        "cells": {"total": len(planned), **counts},
        "data_sha256": sums,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": versions(PACKAGES),
    }
    write_json(out / PROVENANCE, provenance)
    return BenchmarkRun(out, table, failed=counts["failed"], total=len(planned))
