"""Where one structure comes from: a file, a text, an id, or arrays in memory; picklable, and read only on load."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from uniscreen.errors import InvalidStructureError, TooLargeError
from uniscreen.structures.crystal import check_count, crystal
from uniscreen.structures.formats import ACCEPTED, StructureFormat, is_gz, structure_format
from uniscreen.structures.guard import reading, shorten
from uniscreen.structures.parsing import parse

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.structures.candidate import ReadLimits

MATERIAL_ID = re.compile(r"(mp|mvc)-(\d+|[a-z]+)")
"""Ids of the Materials Project: mp-149, or the same in letters, mp-ft."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A structure file at ``path`` (relative, or absolute), which must lie inside the folder ``root``."""

    root: Path
    path: str

    def load(self, limits: ReadLimits) -> Atoms:
        """Read the file; see `StructureSource.load`."""
        with reading(f"structure file {shorten(self.path, 200)!r}", limits.seconds):
            with open_inside(self.root, self.path) as file:
                kind, _ = structure_format(self.path)
                if kind is None:
                    raise InvalidStructureError(f"its name says no known format; expected {ACCEPTED}.")
                size = os.fstat(file.fileno()).st_size
                if size > limits.max_bytes:
                    raise TooLargeError(f"the file has {size:,} bytes; at most {limits.max_bytes:,} are allowed.")
                data = file.read(limits.max_bytes + 1)
            if is_gz(self.path):
                data = decompress(data, limits.max_bytes)
            return parse(decode(data), kind, limits)

    def digest(self, max_bytes: int) -> bytes:
        """Return 32 bytes that stand for the path and the first ``max_bytes`` of the content.

        A file that is missing or refused stands for itself by its path alone.
        """
        digest = hashlib.sha256(self.path.encode("utf-8", "surrogatepass") + b"\0")
        try:
            with open_inside(self.root, self.path) as file:
                digest.update(f"{os.fstat(file.fileno()).st_size}\0".encode())
                left = max_bytes
                while left > 0 and (chunk := file.read(min(left, 1 << 20))):
                    digest.update(chunk)
                    left -= len(chunk)
        except (InvalidStructureError, OSError):
            digest.update(b"refused")
        return digest.digest()


@dataclass(frozen=True, slots=True)
class TextSource:
    """A structure given as text, in the named format."""

    text: str
    kind: StructureFormat

    def load(self, limits: ReadLimits) -> Atoms:
        """Read the text; see `StructureSource.load`."""
        with reading(f"{self.kind} text", limits.seconds):
            if not self.text.strip():
                raise InvalidStructureError("it is empty.")
            if len(self.text) > limits.max_bytes:
                raise TooLargeError(f"it has {len(self.text):,} characters; at most {limits.max_bytes:,} are allowed.")
            return parse(unix_lines(self.text), self.kind, limits)


@dataclass(frozen=True, slots=True)
class IdSource:
    """A structure named only by its id in the Materials Project, which has to be fetched before it can be read.

    ``reason`` says why there is no structure.
    """

    material_id: str
    reason: str = "its structure has not been fetched from the Materials Project."

    def load(self, limits: ReadLimits) -> Atoms:  # noqa: ARG002
        """Say why it cannot be read; see `StructureSource.load`."""
        raise InvalidStructureError(f"material {shorten(self.material_id, 80)!r}: {self.reason}")


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """A structure already in memory.

    ``numbers`` (n,) atomic numbers, ``positions`` (n, 3) Å, ``cell`` (3, 3) Å with the lattice vectors as
    rows, ``pbc`` (3,), ``magmoms`` (n,) μ_B or None.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: tuple[bool, bool, bool]
    magmoms: NDArray[np.float64] | None

    def load(self, limits: ReadLimits) -> Atoms:
        """Check the arrays and return them as new Atoms; see `StructureSource.load`."""
        with reading("structure in memory", limits.seconds):
            check_count(len(self.numbers), limits)
            if not all(self.pbc):
                raise InvalidStructureError(
                    f"is not a periodic crystal: pbc is {self.pbc}; expected true in all three directions."
                )
            return crystal(self.numbers, self.positions, self.cell, self.magmoms)


def open_inside(root: Path, path: str) -> BinaryIO:
    """Open a regular file that lies inside ``root`` once all symbolic links are followed.

    Raises:
        InvalidStructureError: the path is empty, a text, a URL or missing, leads out of ``root``, or is not a
            regular file.

    """
    if not path.strip():
        raise InvalidStructureError("no path is given.")
    if "\n" in path or path.lstrip().startswith("{"):
        raise InvalidStructureError(
            "it is the text of a structure; expected a file. Texts of CIFs and POSCARs go into a column called cif or "
            "poscar, and dicts of pymatgen into a JSON list."
        )
    if "://" in path:
        raise InvalidStructureError("it is a URL; expected a file. Download it next to the table first.")
    if "\0" in path:
        raise InvalidStructureError("the path holds a NUL character.")
    base = root.resolve()
    try:
        real = (base / path).resolve(strict=True)
        inside = real.is_relative_to(base)
        mode = real.stat().st_mode if inside else 0
    except FileNotFoundError:
        raise InvalidStructureError("there is no such file. Paths are relative to the table's folder.") from None
    except (OSError, RuntimeError) as error:
        raise InvalidStructureError(f"the path cannot be followed: {shorten(str(error), 100)}") from error
    if not inside:
        raise InvalidStructureError("it leads out of the table's folder. Copy the file into that folder.")
    if not stat.S_ISREG(mode):
        raise InvalidStructureError(f"it is {_kind_of(mode)}; expected a regular file.")
    return _open_regular(real)


def _open_regular(real: Path) -> BinaryIO:
    """Open the resolved path; it is checked again once open, since it may have been exchanged meanwhile."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(real, flags)
    except OSError as error:
        raise InvalidStructureError(f"it cannot be opened: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidStructureError("it changed while it was opened; expected a regular file.")
    return os.fdopen(descriptor, "rb")


def _kind_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a named pipe (FIFO)"
    return "a device or socket"


def decompress(data: bytes, max_bytes: int) -> bytes:
    """Decompress gzip data.

    Raises:
        InvalidStructureError: it is not gzip, or damaged.
        TooLargeError: it has more than ``max_bytes`` after decompression.

    """
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            text = file.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise not_gzip(error) from error
    if len(text) > max_bytes:
        raise too_large(max_bytes)
    return text


def not_gzip(error: Exception) -> InvalidStructureError:
    """What to say of data that cannot be decompressed."""
    return InvalidStructureError(f"it is not a valid gzip file: {shorten(str(error), 100)}")


def too_large(max_bytes: int) -> TooLargeError:
    """What to say of data that are too large once decompressed."""
    return TooLargeError(
        f"it has more than {max_bytes:,} bytes after decompression, which is the most that is allowed."
    )


def decode(data: bytes) -> str:
    """Return UTF-8 text with Unix line ends; a byte that is not UTF-8 (in a comment, say) becomes U+FFFD."""
    return unix_lines(data.decode("utf-8-sig", errors="replace"))


def unix_lines(text: str) -> str:
    """Return a text whose lines end in the way of Unix, not of Windows or of old Macintosh files."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
