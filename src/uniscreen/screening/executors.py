"""Where candidates are processed: in the worker's own process, or in helper processes beside it.

On a CPU the model is what takes the time. On a GPU an evaluation is over sooner than what is done for a candidate
before and after it (14 ms for one of 8 atoms, most of it space groups), so helper processes do that.
"""

from __future__ import annotations

import pickle
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from uniscreen.errors import ProcessEndedError, UniscreenError
from uniscreen.machine import usable_cores
from uniscreen.processes import Process
from uniscreen.screening.processing import CandidateProcessor, Prepared
from uniscreen.screening.protocol import MAX_CRASHES
from uniscreen.screening.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.processes import Parent
    from uniscreen.relaxation.result import Relaxation
    from uniscreen.screening.record import Steps
    from uniscreen.structures.candidate import Candidate

MAX_HELPERS = 8
"""Enough for some 500 candidates of 8 atoms a second; each holds some 400 MB of imported packages."""

Outcome = Prepared | Record


class ProcessingExecutor(Protocol):
    """Candidates are handed in one by one; ``collect`` gives what has come of them by now, in any order."""

    prepare_ahead: int
    """How many candidates should be prepared, or on the way to it, before there is room to relax them."""

    def prepare(self, index: int, candidate: Candidate) -> None:
        """Have a candidate prepared."""

    def finish(self, prepared: Prepared, relaxation: Relaxation, steps: Steps | None) -> None:
        """Have the record of a relaxed candidate made."""

    def collect(self, *, wait: bool) -> list[Outcome]:
        """What is done; with ``wait``, at least one outcome of what was handed in."""

    def close(self) -> None:
        """Nothing more will be handed in."""


class InProcessExecutor:
    """Processes each candidate at once, in this process."""

    prepare_ahead = 0

    def __init__(self, processor: CandidateProcessor) -> None:
        self._processor = processor
        self._done: list[Outcome] = []

    def prepare(self, index: int, candidate: Candidate) -> None:
        """Prepare it."""
        self._done.append(self._processor.prepare(index, candidate))

    def finish(self, prepared: Prepared, relaxation: Relaxation, steps: Steps | None) -> None:
        """Make its record."""
        self._done.append(self._processor.finish(prepared, relaxation, steps))

    def collect(self, *, wait: bool) -> list[Outcome]:  # noqa: ARG002  # nothing is ever under way
        """What was handed in since."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Nothing is held."""


class _Task(NamedTuple):
    """A call of the processor, the candidate that it is for, and how many processes have died of it."""

    place: int
    id: str
    call: str
    arguments: tuple[Any, ...]
    deaths: int = 0


class HelperProcessExecutor:
    """Has candidates processed in helper processes, each with a thread here that hands it one task at a time.

    One that dies is replaced, and what it was busy with is done again after all else that waits, until MAX_CRASHES
    have died of it. Those that cannot be started are done without while there is one.
    """

    prepare_ahead = 128

    def __init__(self, processor: CandidateProcessor, n_processes: int) -> None:
        self._pickled_processor = pickle.dumps(processor)
        self._left = n_processes
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome | Exception] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(n_processes)]
        for thread in self._threads:
            thread.start()

    def prepare(self, index: int, candidate: Candidate) -> None:
        """Have a candidate prepared."""
        self._tasks.put(_Task(index, candidate.id, "prepare", (index, candidate)))

    def finish(self, prepared: Prepared, relaxation: Relaxation, steps: Steps | None) -> None:
        """Have the record of a relaxed candidate made."""
        self._tasks.put(_Task(prepared.index, prepared.id, "finish", (prepared, relaxation, steps)))

    def collect(self, *, wait: bool) -> list[Outcome]:
        """What is done; with ``wait``, at least one outcome.

        Raises:
            UniscreenError: no process could be started.
        """
        done: list[Outcome] = []
        try:
            while True:
                outcome = self._done.get(block=wait and not done)
                if isinstance(outcome, Exception):
                    raise outcome
                done.append(outcome)
        except Empty:
            return done

    def close(self) -> None:
        """End the processes."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        """The thread of one process."""
        task: _Task | None = None
        try:
            process = self._start()
            while task := self._tasks.get():
                if process.ended:  # while it had nothing to do, so not of this task
                    process = self._start()
                process.send(task)
                try:
                    self._done.put(process.receive())
                except ProcessEndedError:
                    died_of, task = task, None
                    self._again(died_of._replace(deaths=died_of.deaths + 1))
                    process = self._start()
            process.close()
        except Exception as error:  # there is no caller that it could reach
            if task is not None:
                self._tasks.put(task)
            with self._lock:
                self._left -= 1
                if not self._left:
                    reason = f"No process that prepares candidates beside the worker can be started: {error}"
                    self._done.put(UniscreenError(reason))

    def _again(self, task: _Task) -> None:
        if task.deaths < MAX_CRASHES:
            self._tasks.put(task)
        else:
            reason = f"a process that worked on this candidate died {task.deaths} times"
            self._done.put(Record(task.place, task.id, "worker_crash", reason))

    def _start(self) -> Process:
        process = Process(_serve, {"CUDA_VISIBLE_DEVICES": ""})
        process.send(self._pickled_processor)
        process.receive()
        return process


def _serve(parent: Parent) -> None:
    """Process candidates in a process of its own until the parent wants nothing more."""
    processor: CandidateProcessor = pickle.loads(parent.receive())  # noqa: S301  # from our own parent
    calls: dict[str, Callable[..., Outcome]] = {"prepare": processor.prepare, "finish": processor.finish}
    parent.send(None)  # it is ready
    while True:
        task: _Task = parent.receive()
        parent.send(calls[task.call](*task.arguments))


def helpers_per_worker(n_workers: int, device: str) -> int:
    """How many each of the workers is to have: on a GPU the cores that the workers leave, on CPUs none."""
    if device == "cpu":
        return 0
    return min(MAX_HELPERS, max(0, usable_cores() - n_workers) // n_workers)
