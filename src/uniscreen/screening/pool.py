"""Local worker processes, one a core: hands out units of work, and survives workers that die."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from uniscreen.errors import InputError, UniscreenError
from uniscreen.processes import threads
from uniscreen.screening.executors import helpers_per_worker
from uniscreen.screening.prescreen import Watcher
from uniscreen.screening.protocol import MAX_CRASHES, Done, Failure, Ready, Start, Unit
from uniscreen.screening.record import Record
from uniscreen.screening.store import RECORDS, RecordWriter
from uniscreen.screening.stored import StoredRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    OnDone = Callable[[Iterable[str]], None]

    from uniscreen.screening.settings import ScreenSettings
    from uniscreen.screening.store import RunStore

WINDOW = {"cpu": 6, "cuda": 512}
"""Units that a worker may hold: enough to fill a batch. Where fewer are left, each worker has its share of them."""

ROOM = {"cpu": 1 << 16, "cuda": 1 << 24}
"""Bytes that these units may have, unless it is one: a worker on a CPU reads the next only when it needs it, and the
parent would wait for it with what a connection does not hold (some 200 kB), while others have nothing to do."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    part: Path
    log: Path
    ready: bool = False
    held: dict[int, Unit] = field(default_factory=dict)
    held_bytes: int = 0


class WorkerPool:
    """Evaluates units of work in ``n_workers`` processes and records them in the store.

    A worker that dies is replaced. The units that it held are tried again, one at a time in a worker of their own,
    and the one that kills workers again and again becomes a ``worker_crash`` record.
    """

    def __init__(
        self, store: RunStore, settings: ScreenSettings, n_workers: int, device: str, watcher: Watcher | None = None
    ) -> None:
        self.store = store
        self.settings = settings
        self.watcher = watcher or Watcher()
        self.n_workers = n_workers
        self.window = 2 if settings.deterministic else WINDOW[device]
        self.room = ROOM[device]
        self.n_helpers = 0 if settings.deterministic else helpers_per_worker(n_workers, device)
        self.crashes = store.crashes()
        self._workers: list[_Worker] = []
        self._source: Iterator[Unit] = iter(())
        self._units: deque[Unit] = deque()
        self._suspects: deque[Unit] = deque()

    def run(self, units: Iterable[Unit], on_done: OnDone) -> None:
        """Evaluate all units; ``on_done`` is told the statuses of each unit that has been recorded.

        Raises:
            InputError: the model cannot be loaded.
        """
        self._source = iter(units)
        try:
            self._take_up()
            self._set_aside_killers(on_done)
            while self._units or self._suspects or any(worker.held for worker in self._workers):
                self._staff()
                self._hand_out()
                self._listen(on_done)
                self._take_up()
                self._set_aside_killers(on_done)
        finally:
            self._dismiss()

    def _take_up(self) -> None:
        """Have as many units at hand as the workers can be given, and no more: each holds its structures."""
        while len(self._units) < self.window * self.n_workers and (unit := next(self._source, None)) is not None:
            (self._suspects if self._crashes_of(unit) else self._units).append(unit)

    def _crashes_of(self, unit: Unit) -> int:
        return max(self.crashes.get(index, 0) for index in unit.indices)

    def _set_aside_killers(self, on_done: OnDone) -> None:
        """Record the candidates that have killed too many workers; split units that have killed some."""
        for _ in range(len(self._suspects)):
            unit = self._suspects.popleft()
            crashes = self._crashes_of(unit)
            if len(unit.candidates) == 1 and crashes >= MAX_CRASHES:
                writer = RecordWriter(self.store.writer_path(), reserved=True)
                ((index, candidate),) = unit.candidates
                reason = f"the worker process died {crashes} times while it worked on this candidate"
                writer.commit_records([Record(index, candidate.id, "worker_crash", reason)])
                writer.close()
                on_done(["worker_crash"])
            elif len(unit.candidates) > 1 and crashes > 1:
                self._suspects.extend(Unit((pair,)) for pair in unit.candidates)
            else:
                self._suspects.append(unit)

    def _staff(self) -> None:
        waiting = len(self._units) + len(self._suspects) + sum(bool(worker.held) for worker in self._workers)
        started = [self._start() for _ in range(min(self.n_workers, waiting) - len(self._workers))]
        self._workers += started
        for worker in started:  # when all are on their way: a large watcher is sent only as fast as it is read
            with suppress(BrokenPipeError, ConnectionResetError):
                worker.connection.send(Start(self.settings, worker.part, self.watcher, self.n_helpers))

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        part = self.store.writer_path()
        log = self.store.folder / RECORDS / part.name.replace(".jsonl", ".log")
        with log.open("wb") as stream:
            process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", "uniscreen.screening.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, **threads(1), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
            )
        theirs.close()
        return _Worker(process, ours, part, log)

    def _hand_out(self) -> None:
        """Give units to the workers that are ready; a suspect only to one that holds nothing, and nothing with it."""
        waiting = len(self._units) + sum(len(worker.held) for worker in self._workers)
        most = min(self.window, math.ceil(waiting / self.n_workers))
        for worker in self._workers:
            alone = any(self._crashes_of(unit) for unit in worker.held.values())
            while worker.ready and not alone and self._units and self._has_room(worker, most):
                self._send(worker, self._units.popleft())
            if worker.ready and not worker.held and self._suspects:
                self._send(worker, self._suspects.popleft())

    def _has_room(self, worker: _Worker, most: int) -> bool:
        """Whether a worker can be given the next unit and hold no more than ``most``, nor more bytes than are fit."""
        if not worker.held:
            return True
        return len(worker.held) < most and worker.held_bytes + _size(self._units[0]) <= self.room

    def _send(self, worker: _Worker, unit: Unit) -> None:
        worker.held[unit.number] = unit
        worker.held_bytes += _size(unit)
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it has died, as its connection will say when listened to
            worker.connection.send(unit)

    def _listen(self, on_done: OnDone) -> None:
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection)):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, ConnectionResetError):
                self._bury(worker, on_done)
                continue
            if isinstance(message, Ready):
                worker.ready = True
            elif isinstance(message, Done):
                worker.held_bytes -= _size(worker.held.pop(message.unit))
                on_done(message.statuses)
            elif isinstance(message, Failure):
                raise _cannot_start(worker, message)

    def _bury(self, worker: _Worker, on_done: OnDone) -> None:
        """A worker has died: note durably what it held, and put that aside to be tried alone."""
        worker.connection.close()
        code = worker.process.wait()
        self._workers.remove(worker)
        if not worker.ready:
            raise UniscreenError(f"A worker process ended with code {code} before it was ready; see {worker.log}.")
        if not worker.held:
            return
        recorded = StoredRecords([worker.part])
        lost = []
        for unit in worker.held.values():
            if recorded.keys() >= set(unit.indices):  # it died between recording the unit and saying so
                on_done([recorded[index].status for index in unit.indices])
            else:
                lost.append(unit)
        crashed = [index for unit in lost for index in unit.indices]
        writer = self.store.crash_writer()
        writer.commit({"crashed": crashed, "exit_code": code})
        writer.close()
        for index in crashed:
            self.crashes[index] = self.crashes.get(index, 0) + 1
        self._suspects.extend(lost)

    def _dismiss(self) -> None:
        """End all workers; what they have recorded is on the disk, what is in flight will be done again."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            try:
                worker.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()


def _size(unit: Unit) -> int:
    """Its bytes on the way to a worker."""
    return len(pickle.dumps(unit))


def _cannot_start(worker: _Worker, failure: Failure) -> UniscreenError:
    if failure.expected:
        return InputError(failure.message)
    return UniscreenError(
        f"A worker process could not {'go on' if worker.ready else 'start'} ({failure.message}); see {worker.log}."
    )
