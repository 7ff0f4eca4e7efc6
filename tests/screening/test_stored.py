"""Records read from the disk one by one."""

import resource
from collections import Counter
from pathlib import Path

from uniscreen.screening.record import Record
from uniscreen.screening.store import RecordWriter
from uniscreen.screening.stored import MOST_OPEN, RecordsById, StoredRecords


def record(index, status="failed", reason="boom"):
    return Record(index, f"c{index}", status, reason)


def parts(folder, *contents):
    """Files with units, each a list of records."""
    paths = [folder / f"part-{k:05d}.jsonl" for k in range(len(contents))]
    for path, units in zip(paths, contents, strict=True):
        writer = RecordWriter(path)
        writer.commit_units(units)
        writer.close()
    return paths


def test_units_of_several_files_by_place(tmp_path):
    stored = StoredRecords(parts(tmp_path, [[record(3), record(1)], [record(0, "ok")]], [[record(2)]], []))
    assert list(stored) == [3, 1, 0, 2]
    assert [one.index for one in stored.in_input_order()] == [0, 1, 2, 3]
    assert stored[1] == record(1)
    assert 2 in stored
    assert 4 not in stored
    assert stored.count_statuses() == Counter(failed=3, ok=1)
    assert [one.id for one in stored.in_input_order()[1:3]] == ["c1", "c2"]


def test_the_first_record_of_a_candidate_counts(tmp_path):
    stored = StoredRecords(parts(tmp_path, [[record(0, reason="first")]], [[record(0, "ok")], [record(1)]]))
    assert stored[0].reason == "first"
    assert stored.count_statuses() == Counter(failed=2)


def test_more_files_than_a_process_may_open(tmp_path):
    few = len(list(Path("/proc/self/fd").iterdir())) + MOST_OPEN + 10
    written = parts(tmp_path, *([[record(k)]] for k in range(2 * few)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, limits[1]))
    try:
        records = StoredRecords(written)
        assert [one.index for _ in range(2) for one in records.in_input_order()] == 2 * list(range(2 * few))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_damaged_line_between_others_is_none(tmp_path):
    (path,) = parts(tmp_path, [[record(0)], [record(1)], [record(2)]])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:-9] + b"\n" + lines[2] + lines[1][:20])
    stored = StoredRecords([path])
    assert dict(stored) == {0: record(0), 2: record(2)}


def test_by_id(tmp_path):
    stored = StoredRecords(parts(tmp_path, [[record(1)], [record(0)]]))
    by_id = RecordsById(["c0", "c1"], stored.in_input_order())
    assert by_id["c1"] == record(1)
    assert list(by_id) == ["c0", "c1"]


def test_none_at_all():
    assert StoredRecords([]) == {}
    assert StoredRecords([]).count_statuses() == Counter()
