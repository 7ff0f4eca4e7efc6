"""The durable store of a run: an immutable manifest and append-only records, one file a writer.

A line of a record file is a CRC32 in hexadecimal, a space, and JSON. It holds one committed unit of work: all of it is
there or none. A torn or damaged line is not a record, so its unit is done again. The files are never rewritten; a
resumed run opens new ones.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import zlib
from typing import IO, TYPE_CHECKING, Any

from uniscreen.errors import InputError, ResumeError
from uniscreen.screening.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MANIFEST = "manifest.json"
RECORDS = "records"
CRASHES = "crashes"
OUTPUTS = ("results.csv", "results.parquet", "relaxed.extxyz", "report.html", "run.json")


class RecordWriter:
    """Appends committed units to one file of its own."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("xb")
        _sync_folder(path.parent)

    def commit(self, values: dict[str, Any]) -> None:
        """Append one line and return only when it is on the disk."""
        body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(body), body))
        self._file.flush()
        os.fsync(self._file.fileno())

    def commit_records(self, records: Iterable[Record]) -> None:
        """Append the records of one unit of work as one line."""
        self.commit({"records": [record.as_dict() for record in records]})

    def close(self) -> None:
        """Close the file; everything committed is already on the disk."""
        self._file.close()


class RunStore:
    """The folder of one run, locked for this process until ``close``."""

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self.folder = folder
        self._lock = lock
        self._next_part = 1 + max((int(p.stem.split("-")[1]) for p in self._parts("part")), default=-1)

    @classmethod
    def open(cls, folder: Path, manifest: dict[str, Any], *, restart: bool) -> RunStore:
        """Create the folder, or continue the run that it holds.

        Raises:
            ResumeError: it holds a run with another manifest (each difference is named), files of something else, or
                a run that another process is working on.
        """
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {folder} is a file, expected a folder.")
        if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists() and not _only_ours(folder):
            raise ResumeError(f"{folder} is not empty and holds no run of uniscreen. Give another folder with --out.")
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        lock = (folder / RECORDS / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ResumeError(f"Another process is writing to {folder}. Wait for it, or give another --out.") from None
        try:
            if restart:
                _clear(folder)
            _keep_manifest(folder, manifest)
            return cls(folder, lock)
        except BaseException:
            lock.close()
            raise

    def writer_path(self) -> Path:
        """Name a new record file, for one writer."""
        self._next_part += 1
        return self.folder / RECORDS / f"part-{self._next_part - 1:05d}.jsonl"

    def crash_writer(self) -> RecordWriter:
        """Open a new file for what is known of workers that died."""
        number = len(list(self._parts(CRASHES)))
        return RecordWriter(self.folder / RECORDS / f"{CRASHES}-{number:05d}.jsonl")

    def records(self) -> dict[int, Record]:
        """All records by the candidate's place in the input; the first one counts."""
        found: dict[int, Record] = {}
        for part in self._parts("part"):
            for line in _read_lines(part):
                for values in line["records"]:
                    record = Record.from_dict(values)
                    found.setdefault(record.index, record)
        return found

    def crashes(self) -> dict[int, int]:
        """How often each candidate was under way when its worker died."""
        counts: dict[int, int] = {}
        for part in self._parts(CRASHES):
            for line in _read_lines(part):
                for index in line["crashed"]:
                    counts[index] = counts.get(index, 0) + 1
        return counts

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()

    def _parts(self, kind: str) -> list[Path]:
        return sorted((self.folder / RECORDS).glob(f"{kind}-*.jsonl"))


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader sees the old or the new content, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The undamaged lines of a record file."""
    with path.open("rb") as file:
        for line in file:
            checksum, _, body = line.rstrip(b"\n").partition(b" ")
            if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(body):
                yield json.loads(body)


def _keep_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a new run; compare it with that of an old one."""
    path = folder / MANIFEST
    if not path.exists():
        write_atomically(path, json.dumps(manifest, indent=2).encode() + b"\n")
        return
    try:
        old = json.loads(path.read_bytes())
    except ValueError as error:
        raise ResumeError(f"{path} cannot be read ({error}). Begin anew with --restart.") from None
    differences = list(_differences(old, json.loads(json.dumps(manifest))))
    if differences:
        raise ResumeError(
            f"{folder} holds a run that differs: {'; '.join(differences)}. "
            "Repeat the command as it was to continue that run, begin anew with --restart, or give another --out."
        )


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Each value that differs, as ``name: old, now new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name} was {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 50 else text[:20] + "..." + text[-4:]


def _only_ours(folder: Path) -> bool:
    """Nothing but the beginning of a store: the run was interrupted before its manifest was written."""
    return {path.name for path in folder.iterdir()} == {RECORDS} and not any(
        path.suffix == ".jsonl" for path in (folder / RECORDS).iterdir()
    )


def _clear(folder: Path) -> None:
    """Remove a run: only files that uniscreen writes."""
    for name in (MANIFEST, *OUTPUTS):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / RECORDS).iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
