"""Label structures with worker processes; every finished one is on the disk, and the same call continues."""

from __future__ import annotations

import queue
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.durable import LineWriter, keep_manifest, locked, read_lines
from uniscreen.errors import InputError, StructureError
from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.training.labelling.outputs import LabelRow, write_outputs
from uniscreen.training.labelling.processes import LabelWorker, WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms

    from uniscreen.structures import CandidateTable
    from uniscreen.training.labelling.settings import LabelSettings

MAX_DEATHS = 2
"""A structure on which this many processes have died is set aside as failed."""


@dataclass(frozen=True)
class LabelRun:
    """What a run left: the labelled structures' file, its folder of records, and one row a structure."""

    out: Path
    folder: Path
    rows: Sequence[LabelRow]

    @property
    def failed(self) -> list[LabelRow]:
        """The structures that have no label, each with its reason."""
        return [row for row in self.rows if row.status != "ok"]


def run_labelling(
    structures: Path,
    settings: LabelSettings,
    out: Path,
    *,
    python: Path | None = None,
    workers: int = 1,
    retry_failed: bool = False,
    restart: bool = False,
    on_progress: Callable[[LabelRow, int, int], None] | None = None,
) -> LabelRun:
    """Label every structure of a file or folder that ``read_candidates`` reads, and write ``out``.

    Records, logs, the table of rows and the provenance are kept in the folder ``<out without suffix>-label``. A call
    with the same structures and settings does only what is not recorded there, with ``retry_failed`` also what failed,
    and with ``restart`` everything. ``python`` is the interpreter that has the calculator. ``on_progress`` gets each
    new row, and how many of all are done.

    Raises:
        InputError: the structures cannot be read at all, or the calculator cannot be started.
        ResumeError: the folder holds the labels of other structures or settings, or is in use.
    """
    if workers < 1:
        raise InputError(f"--workers is {workers}, expected at least 1.")
    if out.suffix != ".extxyz":
        raise InputError(f"--out is {out}, expected a name that ends in .extxyz.")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder, expected a file to write.")
    folder = out.with_name(f"{out.stem}-label").resolve()
    if out.resolve() == structures.resolve() or out.resolve().parent == structures.resolve():
        raise InputError(f"--out {out} is among the structures to label, or would be. Give another place.")
    if out.exists() and not (folder / "manifest.json").exists():
        raise InputError(f"--out {out} is there, and this labelling did not write it. Give another name, or move it.")
    if python is not None and python.is_file():
        python = python.absolute()  # the workers have folders of their own; a bare name is looked for in PATH
    table = read_candidates(structures)
    folder.mkdir(parents=True, exist_ok=True)
    lock = locked(folder / "lock", folder)
    try:
        if restart:
            _clear(folder)
        job = _Job(table, settings, python or Path(sys.executable), folder, on_progress)
        rows = job.run(workers, retry_failed=retry_failed)
        provenance = {**job.manifest, "structures": table.name, "n_ok": sum(row.status == "ok" for row in rows)}
        write_outputs(out, folder, rows, job.atoms, provenance)
    finally:
        lock.close()
    return LabelRun(out, folder, rows)


class _Job:
    """The structures of one run, what is recorded of them, and the threads that each feed one worker process."""

    def __init__(
        self,
        table: CandidateTable,
        settings: LabelSettings,
        python: Path,
        folder: Path,
        on_progress: Callable[[LabelRow, int, int], None] | None,
    ) -> None:
        self.settings, self.python, self.folder, self.on_progress = settings, python, folder, on_progress
        self.ids = [candidate.id for candidate in table]
        self.groups = table.groups
        self.atoms: dict[int, Atoms] = {}
        self.unreadable: dict[int, str] = {}
        for index, candidate in enumerate(table):
            try:
                self.atoms[index] = candidate.source.load(ReadLimits())
            except StructureError as error:
                self.unreadable[index] = str(error)
        probe = LabelWorker(python, settings, folder / "worker-0")
        probe.close()
        self.manifest = {
            "structures_sha256": table.sha256,
            "n_structures": len(table),
            "settings": settings.model_dump(),
            "settings_sha256": settings.sha256(),
            "versions": probe.versions,
        }
        keep_manifest(folder / "manifest.json", self.manifest)
        self.rows: dict[int, LabelRow] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._workers: list[LabelWorker] = []
        self._errors: list[BaseException] = []

    def run(self, workers: int, *, retry_failed: bool) -> list[LabelRow]:
        """Label what is not recorded yet, and return all rows in the order of the input."""
        self._recall(retry_failed=retry_failed)
        tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
        todo = [index for index in range(len(self.ids)) if index not in self.rows]
        for index in todo:
            tasks.put(index)
        if todo:
            self._work(tasks, min(workers, len(todo)))
        return [self.rows[index] for index in range(len(self.ids))]

    def _work(self, tasks: queue.SimpleQueue[int], n_workers: int) -> None:
        """Feed the workers, each from a thread of its own, until nothing is left."""
        self._writer = LineWriter(self._new_part())
        threads = [threading.Thread(target=self._serve, args=(tasks, n), daemon=True) for n in range(n_workers)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)  # in steps, so that Ctrl-C is heard
        finally:
            self._stop.set()
            for worker in list(self._workers):
                worker.close()
            self._writer.close()
        if self._errors:
            raise self._errors[0]

    def _recall(self, *, retry_failed: bool) -> None:
        """Take up the recorded rows; a later record of a structure stands for an earlier one."""
        for part in sorted(self.folder.glob("part-*.jsonl")):
            for line in read_lines(part):
                self.rows[line["index"]] = LabelRow(**line)
        if retry_failed:
            self.rows = {index: row for index, row in self.rows.items() if row.status == "ok"}

    def _new_part(self) -> Path:
        return self.folder / f"part-{len(list(self.folder.glob('part-*.jsonl'))):05d}.jsonl"

    def _serve(self, tasks: queue.SimpleQueue[int], number: int) -> None:
        """Feed one worker process until there is nothing left."""
        try:
            worker = self._hire(number)
            with suppress(queue.Empty):
                while not self._stop.is_set():
                    worker = self._label(worker, number, tasks.get_nowait())
        except BaseException as error:  # raised again by ``run``
            if not self._stop.is_set():
                self._errors.append(error)
                self._stop.set()

    def _hire(self, number: int) -> LabelWorker:
        worker = LabelWorker(self.python, self.settings, self.folder / f"worker-{number}")
        with self._lock:
            self._workers.append(worker)
        return worker

    def _label(self, worker: LabelWorker, number: int, index: int) -> LabelWorker:
        """Record the row of one structure; return the worker to go on with, since this one may have died."""
        if index in self.unreadable:
            self._record(index, {"status": "failed", "reason": self.unreadable[index], "seconds": 0.0, "labels": None})
            return worker
        for _ in range(MAX_DEATHS):
            try:
                answer = worker.label(_task(index, self.atoms[index]))
            except WorkerDiedError as error:
                if self._stop.is_set():
                    raise
                reason = str(error)
                worker = self._hire(number)
                continue
            self._record(index, answer)
            return worker
        died = f"worker died {MAX_DEATHS} times on this structure: {reason}"
        self._record(index, {"status": "failed", "reason": died, "seconds": 0.0, "labels": None})
        return worker

    def _record(self, index: int, answer: dict[str, Any]) -> None:
        row = LabelRow(
            index=index,
            id=self.ids[index],
            group=self.groups[index],
            **{name: answer[name] for name in ("status", "reason", "seconds", "labels")},
        )
        with self._lock:
            self._writer.commit(row.as_dict())
            self.rows[index] = row
            if self.on_progress is not None:
                self.on_progress(row, len(self.rows), len(self.ids))


def _clear(folder: Path) -> None:
    """Remove the records of a run, not what its calculators left."""
    for path in (folder / "manifest.json", *folder.glob("part-*.jsonl")):
        path.unlink(missing_ok=True)


def _task(index: int, atoms: Atoms) -> dict[str, Any]:
    magmoms = atoms.get_initial_magnetic_moments().tolist() if atoms.has("initial_magmoms") else None
    return {
        "index": index,
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
        "magmoms": magmoms,
    }
