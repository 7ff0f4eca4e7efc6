"""Files that survive a crash: checksummed append-only lines, atomic replacement, a manifest, locks.

A line is a CRC32 in hexadecimal, a space, and JSON. A torn or damaged line is no line, so what it stood for is done
again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from uniscreen.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class LineWriter:
    """Appends lines to a file of its own, which is new unless its name was ``reserved`` for it."""

    def __init__(self, path: Path, *, reserved: bool = False) -> None:
        self._file: IO[bytes] = path.open("ab" if reserved else "xb")
        sync_folder(path.parent)

    def commit(self, *lines: dict[str, Any]) -> None:
        """Append lines, each of which is there whole or not at all, and return only when they are on the disk."""
        for values in lines:
            body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
            self._file.write(b"%08x %s\n" % (zlib.crc32(body), body))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; everything committed is already on the disk."""
        self._file.close()


def locked(path: Path, folder: Path) -> IO[bytes]:
    """Open the lock file of a folder, held by this process until it is closed.

    Raises:
        ResumeError: another process holds it.
    """
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ResumeError(f"Another process is writing to {folder}. Wait for it, or give another --out.") from None
    return lock


@contextmanager
def making(target: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Be the only process that makes the target; ``on_wait`` is called once if another one is at it.

    The lock is the kernel's: it ends with the process that holds it. Its file, beside the target, stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader sees the old or the new content, also after a crash."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, values: Any) -> None:
    """Replace a file by values in JSON that people can read, as ``write_atomically`` does."""
    text = json.dumps(values, indent=2, ensure_ascii=False)
    write_atomically(path, text.encode(errors="backslashreplace") + b"\n")  # what is no Unicode, as JSON escapes it


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write the new content of a file inside: it takes the place of the old one, whole, when the block is left.

    After an error nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename_durably(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say where it is
            error.filename = str(path)
        raise


def rename_durably(source: Path, target: Path) -> None:
    """Give a file that is on the disk its final name, such that the name is on the disk too."""
    source.replace(target)
    sync_folder(target.parent)


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The undamaged lines of a record file."""
    return (values for _, values in read_lines_with_places(path))


def read_lines_with_places(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The undamaged lines of a record file, each with the place of its first byte."""
    place = 0
    with path.open("rb") as file:
        for line in file:
            checksum, _, body = line.rstrip(b"\n").partition(b" ")
            if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(body):
                yield place, json.loads(body)
            place += len(line)


def keep_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a new run; compare it with that of an old one.

    Raises:
        ResumeError: the old one differs (each difference is named) or cannot be read.
    """
    if not path.exists():
        write_json(path, manifest)
        return
    try:
        old = json.loads(path.read_bytes())
    except ValueError as error:
        raise ResumeError(f"{path} cannot be read ({error}). Begin anew with --restart.") from None
    differences = list(_differences(old, json.loads(json.dumps(manifest))))
    if differences:
        raise ResumeError(
            f"{path.parent} holds a run that differs: {'; '.join(differences)}. "
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


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
