"""Records reach the disk in order, and before they are reported."""

import threading

from uniscreen.screening.committer import Committer
from uniscreen.screening.record import Record
from uniscreen.screening.store import RecordWriter
from uniscreen.screening.stored import StoredRecords


def units(n):
    return [(k, [Record(k, f"c{k}", "failed", "boom")]) for k in range(n)]


def test_all_is_on_the_disk_before_it_is_reported(tmp_path):
    path = tmp_path / "part-00000.jsonl"
    seen = []

    def report(unit, _records):
        seen.append((unit, unit in StoredRecords([path])))

    committer = Committer(RecordWriter(path), lambda: None, report, fail=lambda error: seen.append(error))
    for unit in units(600):
        committer.put(*unit)
    committer.close()
    assert seen == [(k, True) for k in range(600)]


def test_what_waits_is_synced_together(tmp_path, monkeypatch):
    syncs, go_on = [], threading.Event()
    monkeypatch.setattr("uniscreen.durable.os.fsync", lambda descriptor: syncs.append(descriptor))
    writer = RecordWriter(tmp_path / "part-00000.jsonl")
    syncs.clear()
    committer = Committer(writer, go_on.wait, lambda *_: None, fail=lambda _: None)
    for unit in units(50):
        committer.put(*unit)
    go_on.set()
    committer.close()
    assert len(syncs) <= 2  # the first may have been taken up alone


def test_a_failure_is_told_and_nothing_is_written_after_it(tmp_path):
    path = tmp_path / "part-00000.jsonl"
    failures = []

    def refuse():
        raise EOFError

    committer = Committer(RecordWriter(path), refuse, lambda *_: None, failures.append)
    for unit in units(3):
        committer.put(*unit)
    committer.close()
    assert [type(failure) for failure in failures] == [EOFError]
    assert path.read_bytes() == b""
