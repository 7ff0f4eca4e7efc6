"""The durable store: what survives, what is refused."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from uniscreen.durable import write_atomically
from uniscreen.errors import InputError, ResumeError
from uniscreen.screening.record import Crystal, Record
from uniscreen.screening.store import RecordWriter, RunStore

MANIFEST = {"format": 1, "settings": {"fmax": 0.05, "model": "chgnet-0.3.0"}, "input": {"sha256": "a" * 64}}


def record(index: int, energy: float = -1.0) -> Record:
    crystal = Crystal([11, 17], [[0.1, 0.2, 0.3], [1 / 3, 2.0, 3.0]], [[4.0, 0, 0], [0, 4, 0], [0, 0, 4]], [0.0, 1e-17])
    return Record(index, f"c{index}", "ok", energy=energy, n_atoms=2, crystal=crystal)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def open_store(folder, manifest=MANIFEST, restart=False):
    return RunStore.open(folder, manifest, restart=restart)


def write(store, *units):
    path = store.writer_path()
    writer = RecordWriter(path, reserved=True)
    for unit in units:
        writer.commit_records(unit)
    writer.close()
    return path


def test_a_name_taken_meanwhile_is_not_given_again(folder):
    """By a worker that outlived its parent, and opens its file only after the run has been continued."""
    store = open_store(folder)
    (folder / "records" / "part-00000.jsonl").touch()
    assert [write(store, [record(0, 1.0)]).name for _ in range(2)] == ["part-00001.jsonl", "part-00002.jsonl"]
    store.close()


def test_records_survive_to_the_last_bit(folder):
    store = open_store(folder)
    written = [record(0, -1 / 3), record(1, 1e-300)]
    write(store, written)
    store.close()
    assert list(open_store(folder).records().values()) == written


@pytest.mark.parametrize("cut", [1, 5, 40, -1])
def test_a_torn_last_line_is_no_record_and_its_unit_is_whole_or_absent(folder, cut):
    store = open_store(folder)
    path = write(store, [record(0)], [record(1), record(2)])
    content = path.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(content[: last + cut] if cut > 0 else content[:cut])
    assert set(store.records()) == {0}


def test_a_damaged_byte_loses_only_its_own_line(folder):
    store = open_store(folder)
    path = write(store, [record(0)], [record(1)], [record(2)])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"-1.0", b"-2.0")
    path.write_bytes(b"".join(lines))
    assert set(store.records()) == {0, 2}


def test_the_first_record_of_a_candidate_counts(folder):
    store = open_store(folder)
    write(store, [record(0, -1.0)])
    write(store, [record(0, -2.0)])
    assert store.records()[0].energy == -1.0


def test_a_resumed_run_opens_new_files(folder):
    store = open_store(folder)
    first = write(store, [record(0)])
    store.close()
    again = open_store(folder)
    assert write(again, [record(1)]) != first
    assert set(again.records()) == {0, 1}


def test_other_settings_are_refused_and_named(folder):
    open_store(folder).close()
    other = {**MANIFEST, "settings": {"fmax": 0.1, "model": "chgnet-0.3.0"}}
    with pytest.raises(ResumeError, match=r"settings\.fmax was 0\.05, now 0\.1") as caught:
        open_store(folder, other)
    assert "model" not in str(caught.value)
    assert "--restart" in str(caught.value)


def test_restart_discards_the_run_and_nothing_else(folder):
    store = open_store(folder)
    write(store, [record(0)])
    (folder / "results.csv").write_text("old")
    (folder / "notes.txt").write_text("mine")
    store.close()
    again = open_store(folder, {**MANIFEST, "format": 2}, restart=True)
    assert again.records() == {}
    assert not (folder / "results.csv").exists()
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("n_removed", range(6))
def test_a_restart_that_is_killed_can_be_repeated(folder, monkeypatch, n_removed):
    """Wherever it was killed: the folder is known for a run until nothing of it is left."""
    store = open_store(folder)
    store.crash_writer().close()
    store.writer_path()
    for name in ("results.csv", "run.json"):
        (folder / name).touch()
    store.close()
    unlink, left = Path.unlink, iter(range(n_removed))

    def unlink_some(path, **options):
        if path.exists() and next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink_some)
        with pytest.raises(KeyboardInterrupt) if n_removed < 5 else nullcontext():
            open_store(folder, restart=True)
    assert open_store(folder, restart=True).records() == {}


def test_a_folder_of_something_else_is_refused(folder):
    folder.mkdir()
    (folder / "results.csv").write_text("precious")
    with pytest.raises(ResumeError, match="holds no run of uniscreen"):
        open_store(folder, restart=True)
    assert (folder / "results.csv").read_text() == "precious"


def test_a_file_as_output_folder_is_refused(folder):
    folder.write_text("")
    with pytest.raises(InputError, match="is a file"):
        open_store(folder)


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(folder):
    folder.write_text("")
    with pytest.raises(InputError, match=r"run/below cannot be written to \(Not a directory\)"):
        open_store(folder / "below")


@pytest.mark.parametrize("half_written", [[], [".manifest.json.4711.tmp"]], ids=["before", "while-written"])
def test_a_run_interrupted_before_its_manifest_is_begun_anew(folder, half_written):
    (folder / "records").mkdir(parents=True)
    (folder / "records" / "lock").touch()
    for name in half_written:
        (folder / name).write_text("{")
    assert open_store(folder).records() == {}


def test_a_second_process_is_refused_while_the_first_works(folder):
    store = open_store(folder)
    code = (
        "import sys, json; from pathlib import Path; from uniscreen.screening.store import RunStore\n"
        "RunStore.open(Path(sys.argv[1]), json.loads(sys.argv[2]), restart=False)"
    )
    command = [sys.executable, "-c", code, str(folder), json.dumps(MANIFEST)]
    second = subprocess.run(command, capture_output=True, text=True)
    assert "Another process is writing" in second.stderr
    store.close()
    assert subprocess.run(command).returncode == 0


def test_crashes_are_counted_over_files(folder):
    store = open_store(folder)
    for crashed in ([3, 4], [4]):
        writer = store.crash_writer()
        writer.commit({"crashed": crashed})
        writer.close()
    assert store.crashes() == {3: 1, 4: 2}


def test_atomic_write_keeps_the_old_file_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    path.write_bytes(b"old")

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
