"""The durable store of a run: an immutable manifest and append-only records, one file a writer.

A line of a record file holds one committed unit of work: all of it is there or none (see ``uniscreen.durable``). The
files are never rewritten; a resumed run opens new ones.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from uniscreen.durable import LineWriter, keep_manifest, locked, read_lines
from uniscreen.errors import InputError, ResumeError
from uniscreen.screening.stored import StoredRecords

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from uniscreen.screening.record import Record

MANIFEST = "manifest.json"
RECORDS = "records"
MODELS = "models"
"""A committee's folder holds the runs of its members in here."""
CRASHES = "crashes"
OUTPUTS = (
    "results.csv",
    "results.parquet",
    "relaxed.extxyz",
    "report.html",
    "run.json",
    "references.json.gz",
    "structures.json.gz",
)


class RecordWriter(LineWriter):
    """Appends committed units to one file of its own."""

    def commit_units(self, units: Iterable[Iterable[Record]]) -> None:
        """Append the records of each unit of work as a line of its own."""
        self.commit(*({"records": [record.as_dict() for record in records]} for records in units))

    def commit_records(self, records: Iterable[Record]) -> None:
        """Append the records of one unit of work."""
        self.commit_units([records])


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
            InputError: it is a file, or cannot be written to.
        """
        try:
            _require_ours(folder)
            (folder / RECORDS).mkdir(parents=True, exist_ok=True)
            lock = locked(folder / RECORDS / "lock", folder)
        except OSError as error:
            raise InputError(
                f"{folder} cannot be written to ({error.strerror}). Give another folder with --out."
            ) from error
        try:
            if restart:
                _clear(folder)
            keep_manifest(folder / MANIFEST, manifest)
            return cls(folder, lock)
        except BaseException:
            lock.close()
            raise

    def writer_path(self) -> Path:
        """Reserve a new record file, for one writer.

        It is there at once: a worker that outlived an earlier parent may begin a file of its own only now.
        """
        while True:
            path = self.folder / RECORDS / f"part-{self._next_part:05d}.jsonl"
            self._next_part += 1
            with suppress(FileExistsError):
                path.touch(exist_ok=False)
                return path

    def crash_writer(self) -> RecordWriter:
        """Open a new file for what is known of workers that died."""
        number = len(list(self._parts(CRASHES)))
        return RecordWriter(self.folder / RECORDS / f"{CRASHES}-{number:05d}.jsonl")

    def records(self) -> StoredRecords:
        """All records by the candidate's place in the input; the first one counts."""
        return StoredRecords(self._parts("part"))

    def crashes(self) -> dict[int, int]:
        """How often each candidate was under way when its worker died."""
        counts: dict[int, int] = {}
        for part in self._parts(CRASHES):
            for line in read_lines(part):
                for index in line["crashed"]:
                    counts[index] = counts.get(index, 0) + 1
        return counts

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()

    def _parts(self, kind: str) -> list[Path]:
        return sorted((self.folder / RECORDS).glob(f"{kind}-*.jsonl"))


def _require_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file, expected a folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists() and not _only_ours(folder):
        raise ResumeError(f"{folder} is not empty and holds no run of uniscreen. Give another folder with --out.")


def _only_ours(folder: Path) -> bool:
    """Nothing but the beginning of a store: the run was interrupted before its manifest was written."""
    unwritten = {path.name for path in folder.glob(f".{MANIFEST}.*.tmp")}
    return {path.name for path in folder.iterdir()} == {RECORDS, *unwritten} and not any(
        path.suffix == ".jsonl" for path in (folder / RECORDS).iterdir()
    )


def _clear(folder: Path) -> None:
    """Remove a run, and those of a committee's members: only files that uniscreen writes.

    The manifest goes last: without it, what an interruption leaves would not be known for a run.
    """
    for found in sorted((folder / MODELS).glob(f"*/{MANIFEST}")):
        _remove_member(found.parent)
    for name in OUTPUTS:
        (folder / name).unlink(missing_ok=True)
    for path in (folder / RECORDS).iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / MANIFEST).unlink(missing_ok=True)


def _remove_member(folder: Path) -> None:
    """Remove the run of a committee's member, with its folder unless something else is in there."""
    with locked(folder / RECORDS / "lock", folder):
        _clear(folder)
        shutil.rmtree(folder / RECORDS)
        with suppress(OSError):
            folder.rmdir()
