"""How units of work are shared among workers; here threads that only receive them and say that they are done."""

from __future__ import annotations

import itertools
import threading
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest

from uniscreen.screening.pool import WorkerPool, _Worker
from uniscreen.screening.protocol import Done, Ready, Unit
from uniscreen.screening.settings import ScreenSettings
from uniscreen.screening.store import RunStore
from uniscreen.structures.candidate import Candidate
from uniscreen.structures.sources import TextSource


class TwoThreads(WorkerPool):
    """The second worker is ready once the first has a unit. Each is busy with a unit until the other has one too."""

    def __init__(self, folder):
        super().__init__(RunStore.open(folder, {}, restart=False), ScreenSettings(model="chgnet"), 2, "cpu")
        self.numbers = itertools.count()
        self.has_one = [threading.Event(), threading.Event()]
        self.n_done = [0, 0]
        self.waited_in_vain = False

    def _start(self):
        number = next(self.numbers)
        ours, theirs = Pipe()
        thread = threading.Thread(target=self.work, args=(number, theirs), daemon=True)
        thread.start()
        return _Worker(SimpleNamespace(wait=lambda timeout=None: thread.join(timeout)), ours, None, None)

    def work(self, number, connection):
        with connection:
            connection.recv()  # Start
            if number == 1:
                self.has_one[0].wait(5)
            connection.send(Ready())
            try:
                while True:
                    unit = connection.recv()
                    self.has_one[number].set()
                    self.waited_in_vain |= not self.has_one[1 - number].wait(0 if self.waited_in_vain else 5)
                    self.n_done[number] += 1
                    connection.send(Done(unit.number, ("ok",)))
            except (EOFError, ConnectionError):
                return


def units(n, text):
    return [Unit(((k, Candidate(f"c{k}", TextSource(text, "cif"))),)) for k in range(n)]


@pytest.mark.parametrize(("n", "text"), [(6, "short"), (2, "short"), (16, 60_000 * "long"), (16, 20_000 * "long")])
def test_no_worker_waits_for_another(tmp_path, n, text):
    """Neither since the first that is ready took all, nor since long texts are not yet read by one that is busy."""
    pool = TwoThreads(tmp_path / "run")
    statuses = []
    pool.run(units(n, text), statuses.extend)
    assert statuses == n * ["ok"]
    assert not pool.waited_in_vain
    assert min(pool.n_done) > 0
    assert sum(pool.n_done) == n
