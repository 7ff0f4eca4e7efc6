"""From candidates to records, with one potential: processed before and after, and relaxed in flight."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from uniscreen.relaxation.inflight import InFlightRelaxer
from uniscreen.relaxation.result import RelaxationSettings
from uniscreen.screening.executors import HelperProcessExecutor, InProcessExecutor
from uniscreen.screening.prescreen import Watcher
from uniscreen.screening.processing import CandidateProcessor, Prepared

if TYPE_CHECKING:
    from uniscreen.potentials.base import Potential
    from uniscreen.screening.executors import ProcessingExecutor
    from uniscreen.screening.record import Record
    from uniscreen.screening.settings import ScreenSettings
    from uniscreen.structures.candidate import Candidate


class CandidateEvaluator:
    """Evaluates a stream of candidates; whatever one of them does, the others are not affected.

    ``n_helpers`` processes prepare candidates and make their records; without any it is done in this one.
    """

    def __init__(
        self,
        potential: Potential,
        settings: ScreenSettings,
        batch_limit: float | None = None,
        watcher: Watcher | None = None,
        n_helpers: int = 0,
    ) -> None:
        self.potential = potential
        relaxation = RelaxationSettings(settings.fmax, settings.max_steps if settings.relax else 0, settings.optimiser)
        self.watcher = watcher or Watcher()
        self.relaxer = InFlightRelaxer(potential, relaxation, batch_limit, self.watcher.watch)
        processor = CandidateProcessor.of(potential, settings, self.watcher)
        self._executor: ProcessingExecutor = (
            HelperProcessExecutor(processor, n_helpers) if n_helpers else InProcessExecutor(processor)
        )
        self._preparing: set[int] = set()
        self._finishing: set[int] = set()
        self._waiting: deque[Prepared] = deque()
        self._relaxing: dict[int, Prepared] = {}
        self._records: list[Record] = []

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not (self._preparing or self._waiting or self._relaxing or self._finishing or self._records)

    @property
    def wants_more(self) -> bool:
        """Another candidate may find room in the batch, or should be ready when there is."""
        prepared = len(self._waiting) + len(self._preparing)
        return prepared < self._executor.prepare_ahead or (not prepared and self.relaxer.has_room(1))

    @property
    def batch_limit(self) -> float:
        """The work that one batch may take, as far as is known by now."""
        return self.relaxer.limit

    @batch_limit.setter
    def batch_limit(self, limit: float) -> None:
        self.relaxer.limit = limit

    def close(self) -> None:
        """End the helper processes."""
        self._executor.close()

    def add(self, index: int, candidate: Candidate) -> None:
        """Take up a candidate; its record comes from ``done`` or a ``step``."""
        self._preparing.add(index)
        self._executor.prepare(index, candidate)
        self._collect(wait=False)

    def step(self) -> list[Record]:
        """Move all that is in flight by one step; returns the records of those that are done.

        Where nothing is in flight it waits for what is being prepared or recorded.
        """
        self._collect(wait=bool(self._preparing or self._finishing) and not (self._relaxing or self._records))
        for relaxation in self.relaxer.step():
            steps = self.watcher.end(relaxation.key)
            self._finishing.add(relaxation.key)
            self._executor.finish(self._relaxing.pop(relaxation.key), relaxation, steps)
        self._collect(wait=False)
        return self.done()

    def done(self) -> list[Record]:
        """The records that are there already, without a step."""
        records, self._records = self._records, []
        return records

    def _collect(self, *, wait: bool) -> None:
        """Take what the executor has done: records, and candidates that are relaxed where there is room."""
        for outcome in self._executor.collect(wait=wait):
            self._preparing.discard(outcome.index)
            self._finishing.discard(outcome.index)
            if isinstance(outcome, Prepared):
                self._waiting.append(outcome)
            else:
                self._records.append(outcome)
        while self._waiting and self.relaxer.has_room(self._waiting[0].work):
            prepared = self._waiting.popleft()
            self._relaxing[prepared.index] = prepared
            self.watcher.begin(prepared.index, prepared.outlook)
            self.relaxer.add(prepared.index, prepared.atoms, prepared.work)
