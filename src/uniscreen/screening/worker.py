"""A worker process: loads the model once, evaluates units of work, and records each one before it reports it.

Run as ``python -m uniscreen.screening.worker FD`` by the pool, which holds the other end of the connection FD.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections import deque
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from uniscreen.errors import InputError, UniscreenError
from uniscreen.relaxation.inflight import MAX_WORK
from uniscreen.screening.batch_limit import keep_limit, known_limit
from uniscreen.screening.committer import Committer
from uniscreen.screening.evaluator import CandidateEvaluator
from uniscreen.screening.protocol import Done, Failure, Ready, Start, Unit
from uniscreen.screening.store import RecordWriter

if TYPE_CHECKING:
    from uniscreen.potentials.base import Potential
    from uniscreen.screening.record import Record


class _Worker:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.parent = os.getppid()
        start: Start = connection.recv()
        self.deterministic = start.settings.deterministic
        potential = _load(start)
        self.records = start.part.parent
        limit = None if self.deterministic else known_limit(self.records, potential.device)
        self.evaluator = CandidateEvaluator(potential, start.settings, limit, start.watcher, start.n_helpers)
        writer = RecordWriter(start.part, reserved=True)
        self.committer = Committer(writer, self._leave_if_orphaned, self._report, self._end)
        self.unit_of: dict[int, int] = {}
        connection.send(Ready())

    def run(self) -> None:
        """Work until the parent closes the connection."""
        try:
            while True:
                if self.deterministic:
                    self._whole_unit(self.connection.recv())
                else:
                    self._in_flight()
        finally:
            self.committer.close()

    def _whole_unit(self, unit: Unit) -> None:
        """Its numbers depend on nothing else: it shares no batch with others, and no limit that they have lowered."""
        self.evaluator.batch_limit = MAX_WORK[self.evaluator.potential.device.type]
        waiting, records = deque(unit.candidates), []
        while waiting or not self.evaluator.idle:
            while waiting and self.evaluator.wants_more:
                self.evaluator.add(*waiting.popleft())
            records += self._step()
            self._leave_if_orphaned()
        self.committer.put(unit.number, sorted(records, key=lambda record: record.index))

    def _in_flight(self) -> None:
        """Take up what there is room for, then move everything by one step."""
        while self.evaluator.wants_more and (self.evaluator.idle or self.connection.poll()):
            unit: Unit = self.connection.recv()
            for index, candidate in unit.candidates:
                self.unit_of[index] = unit.number
                self.evaluator.add(index, candidate)
            self._put(self.evaluator.done())
        self._put(self._step())
        self._leave_if_orphaned()

    def _put(self, records: list[Record]) -> None:
        for record in records:
            self.committer.put(self.unit_of.pop(record.index), [record])

    def _step(self) -> list[Record]:
        """Move all by one step; what that taught of the memory of the device is kept with the run."""
        before = self.evaluator.batch_limit
        records = self.evaluator.step()
        if (limit := self.evaluator.batch_limit) < before:
            keep_limit(self.records, self.evaluator.potential.device, limit)
        return records

    def _report(self, unit: int, records: list[Record]) -> None:
        self.connection.send(Done(unit, tuple(record.status for record in records)))

    def _leave_if_orphaned(self) -> None:
        """A parent that was killed no longer holds the folder's lock: record nothing more."""
        if os.getppid() != self.parent:
            raise EOFError

    def _end(self, error: Exception) -> None:
        """End the process from a thread, with the reason in its log unless it is that the parent has gone.

        Where records cannot be written, the parent is told: it is nothing that the candidates have done, and the log
        is on the same full disk.
        """
        gone = isinstance(error, EOFError | BrokenPipeError | ConnectionResetError)
        try:
            if isinstance(error, OSError) and not gone:
                message = f"Records cannot be written to {self.records} ({error.strerror}). The same command continues."
                self.connection.send(Failure(message, expected=True))
            if not gone:
                traceback.print_exception(error)
        finally:
            os._exit(0 if gone else 1)


def _load(start: Start) -> Potential:
    """Load the potential, with one thread of torch: two were slower (2.5 times, CHGNet on 2 cores)."""
    import torch

    from uniscreen.potentials import load_potential

    settings = start.settings
    potential = load_potential(
        settings.model,
        device=settings.device,
        dtype=settings.dtype,
        head=settings.head,
        trust_model_file=settings.trust_model_file,
    )
    if potential.device.type == "cpu":
        torch.set_num_threads(1)
    if settings.deterministic:
        torch.use_deterministic_algorithms(mode=True)
    return potential


def main() -> int:
    """Serve one parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    connection = Connection(int(sys.argv[1]))
    try:
        worker = _Worker(connection)
    except (EOFError, BrokenPipeError):
        return 0
    except Exception as error:  # told to the parent, which ends the run
        expected = isinstance(error, UniscreenError)
        connection.send(Failure(str(error) if expected else f"{type(error).__name__}: {error}", expected))
        raise
    try:
        worker.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0
    except UniscreenError as error:  # no candidate can be evaluated any more
        connection.send(Failure(str(error), isinstance(error, InputError)))
        raise
    return 1


if __name__ == "__main__":
    sys.exit(main())
