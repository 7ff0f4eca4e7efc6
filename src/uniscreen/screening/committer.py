"""Records put on the disk beside the evaluation, which does not wait for the disk."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.screening.record import Record
    from uniscreen.screening.store import RecordWriter

    Finished = tuple[int, list[Record]]

MOST_AT_ONCE = 256
"""Units that are synced together."""


class Committer:
    """Writes finished units of work in a thread of its own, all that wait with one sync, and then reports them.

    ``may_write`` is asked before each write; ``report`` is told of each unit, in order, once it is on the disk;
    ``fail`` is given, in the thread, what any of them raises, after which nothing is written any more.
    """

    def __init__(
        self,
        writer: RecordWriter,
        may_write: Callable[[], None],
        report: Callable[[int, list[Record]], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._writer = writer
        self._may_write = may_write
        self._report = report
        self._fail = fail
        self._waiting: SimpleQueue[Finished | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, unit: int, records: list[Record]) -> None:
        """Hand over the records of a finished unit."""
        self._waiting.put((unit, records))

    def close(self) -> None:
        """Wait until all that was handed over is on the disk."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while units := self._next():
                self._may_write()
                self._writer.commit_units(records for _, records in units)
                for unit, records in units:
                    self._report(unit, records)
        except Exception as error:  # there is no caller that it could reach
            self._fail(error)

    def _next(self) -> list[Finished]:
        """What waits to be written, at least one unit; none once all is written and nothing more will come."""
        units: list[Finished] = []
        while len(units) < MOST_AT_ONCE and (not units or not self._waiting.empty()):
            unit = self._waiting.get()
            if unit is None:
                self._waiting.put(None)
                break
            units.append(unit)
        return units
