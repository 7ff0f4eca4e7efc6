"""An input file as a whole: its size, its checksum, and its content once decompressed."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tempfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from uniscreen.errors import InputError, InvalidStructureError, TooLargeError
from uniscreen.structures.formats import is_gz
from uniscreen.structures.sources import decompress, not_gzip, too_large

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

MAX_INPUT_BYTES = 1 << 30
"""Bytes of an input file, also after decompression; a million inline CIFs need about this."""


def input_bytes(path: Path, kinds: str) -> tuple[bytes, bytes]:
    """Return the bytes of an input file as they are, and decompressed if it is gzip; ``kinds`` says what is expected.

    Raises:
        InputError: it is not a regular file, larger than 1 GiB, or cannot be opened or decompressed.
    """
    _check(path, kinds)
    try:
        head = path.read_bytes()
        return head, decompress(head, MAX_INPUT_BYTES) if is_gz(path.name) else head
    except (InvalidStructureError, TooLargeError) as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from error


@contextmanager
def opened_input(path: Path, kinds: str) -> Iterator[tuple[hashlib._Hash, IO[bytes]]]:
    """Open an input file: the digest of its bytes as they are, and a file of its content that can be read repeatedly.

    What is compressed with gzip is decompressed to a temporary file. ``kinds`` says what is expected.

    Raises:
        InputError: as ``input_bytes``.
    """
    _check(path, kinds)
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from error
    with file:
        digest = hashlib.file_digest(file, "sha256")
        file.seek(0)
        if not is_gz(path.name):
            yield digest, file
            return
        with tempfile.TemporaryFile() as content:
            try:
                _decompress(file, content)
            except (InvalidStructureError, TooLargeError) as error:
                raise InputError(f"{path}: {error}") from error
            content.seek(0)
            yield digest, content


@contextmanager
def as_text(file: IO[bytes]) -> Iterator[TextIO]:
    """Read a binary file as ``decode`` does its bytes, a piece at a time; it stays open."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
    try:
        yield text
    finally:
        text.detach()


def _check(path: Path, kinds: str) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file; expected {kinds}.")
    if status.st_size > MAX_INPUT_BYTES:
        raise InputError(f"{path} has {status.st_size:,} bytes; at most {MAX_INPUT_BYTES:,} are read. Split it.")


def _decompress(file: IO[bytes], content: IO[bytes]) -> None:
    try:
        with gzip.GzipFile(fileobj=file) as decompressed:
            while chunk := decompressed.read(1 << 20):
                content.write(chunk)
                if content.tell() > MAX_INPUT_BYTES:
                    raise too_large(MAX_INPUT_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise not_gzip(error) from error
