"""A CSV file that is read a record at a time, as often as it is needed."""

from __future__ import annotations

import codecs
import csv
import io
import os
import tempfile
from array import array
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.structures.guard import describe, shorten
from uniscreen.structures.rows import ID_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd


ROWS_AT_A_TIME = 10_000
"""Rows whose numbers are in memory as text."""

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MAX_HEADER = 1 << 16
"""Bytes of the first line that are looked at for its separators."""


class CsvTable:
    """A CSV file in UTF-8, checked to be one; ``path`` is its name in messages.

    ``header``: the names of its columns; ``lines``: the line of the file on which each record begins. Blank lines are
    no records. The ``file`` must stay open.

    Raises:
        InputError: it is not comma-separated in UTF-8, is empty, or a record has more or fewer fields than the header.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._n_bytes = file.seek(0, os.SEEK_END)
        _check_utf8(path, file)
        _check_separator(path, file)
        self.header: list[str] = []
        self.lines = array("q")
        self._check_records()

    def values(self, name: str) -> Iterator[str]:
        """The fields of one column."""
        place = self.header.index(name)
        return (record[place] for _, record in self._records())

    def frame(self, places: Sequence[int]) -> pd.DataFrame:
        """The columns at the given places, with the types that pandas finds for them.

        In a column of text only an empty field is missing: NA or None may be a word like others there. Numbers with
        leading zeros, and those of more digits than a float has, are names: they stay text. Whole numbers stay whole
        where some are missing.

        Raises:
            InputError: pandas cannot read them.
        """
        import pandas as pd

        if not places:
            return pd.DataFrame(index=pd.RangeIndex(len(self.lines)))
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            writer.writerow([self.header[k] for k in places])
            writer.writerows([record[k] for k in places] for _, record in self._records())
            how: dict[str, Any] = {"low_memory": False, "skip_blank_lines": False}
            text.seek(0)
            try:
                columns = pd.read_csv(text, **how)
                words = [name for name in columns if pd.api.types.infer_dtype(columns[name]) == "string"]
                if words and columns[words].isna().any(axis=None):
                    text.seek(0)
                    columns[words] = pd.read_csv(text, usecols=words, keep_default_na=False, na_values=[""], **how)
                if numbers := [name for name, kind in columns.dtypes.items() if kind.kind in "iuf"]:
                    columns = _as_written(columns, numbers, text, how)
            except (ValueError, OverflowError) as error:
                raise InputError(f"{self.path} cannot be read as CSV: {shorten(describe(error))}") from error
        assert len(columns) == len(self.lines)
        return columns

    def _check_records(self) -> None:
        wrong = ""
        for line, record in self._all_records():
            if not self.header:
                self.header = [name.strip() for name in record]
                continue
            self.lines.append(line)
            if len(record) != len(self.header) and not wrong:
                wrong = f"line {line} has {len(record)} fields; the header has {len(self.header)}."
        if not self.header:
            raise InputError(f"{self.path} is empty; expected a header line and one line a candidate.")
        if wrong:
            raise InputError(f"{self.path}: {wrong}")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The records after the header."""
        records = self._all_records()
        next(records)
        return records

    def _all_records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with the line on which it begins, the header first."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8-sig", newline="")
        try:
            with _long_fields(self._n_bytes):
                reader = csv.reader(text, strict=True)
                begin = 1
                try:
                    for record in reader:
                        if any(record) if len(record) > 1 else record and record[0].strip():
                            yield begin, record
                        begin = reader.line_num + 1
                except csv.Error as error:
                    raise InputError(
                        f"{self.path}: the record that begins on line {begin} is not CSV: {error}"
                    ) from error
        finally:
            text.detach()  # so that the file stays open


_NAME_OF_DIGITS = r"[+-]?(?:0\d.*|\d{16,}(?:\.0*)?)"
"""What no number gives back as it is written: 007, 0012345, 9007199254740993."""


def _as_written(columns: pd.DataFrame, numbers: list[Any], text: IO[str], how: dict[str, Any]) -> pd.DataFrame:
    """The columns, whole numbers whole where some are missing, and text where numbers do not give the fields back.

    The fields of ``numbers`` are read anew, of some rows at a time: as text they take many times the memory.
    """
    import pandas as pd

    names, whole = set(), {name for name in numbers if columns[name].dtype.kind == "f" and columns[name].notna().any()}
    text.seek(0)
    for part in pd.read_csv(text, usecols=numbers, dtype=str, chunksize=ROWS_AT_A_TIME, **how):
        for name, fields in part.items():
            there = fields.dropna().str.strip()
            if there.str.fullmatch(_NAME_OF_DIGITS).any():
                names.add(name)
            elif name in whole and not there.str.fullmatch(r"[+-]?\d+").all():
                whole.remove(name)
    if names:
        text.seek(0)
        fields = pd.read_csv(text, usecols=list(names), dtype=str, **how)
        columns[fields.columns] = fields
    return columns.astype(dict.fromkeys(whole - names, "Int64"))


def _check_separator(path: Path, file: IO[bytes]) -> None:
    """Refuse a table whose header has an id only where it is split at something else than commas."""
    file.seek(0)
    text = file.read(MAX_HEADER).decode("utf-8-sig", errors="replace").lstrip()
    line = text.splitlines()[0] if text else ""
    if _has_id(line.split(",")):
        return
    for separator, name in OTHER_SEPARATORS.items():
        if _has_id(line.split(separator)) or line.lower().startswith(f"sep={separator}"):
            raise InputError(
                f"{path} is separated by {name}; expected commas, and points in decimal numbers. Save it so, with "
                f"pandas for example: pandas.read_csv(FILE, sep={separator!r}) and to_csv(FILE, index=False)."
            )


def _has_id(names: list[str]) -> bool:
    return not {name.strip(' "') for name in names}.isdisjoint(ID_NAMES)


def _check_utf8(path: Path, file: IO[bytes]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    file.seek(0)
    before = 0
    while chunk := file.read(1 << 20):
        undecoded = len(decoder.getstate()[0])
        _decode(path, decoder, chunk, before - undecoded)
        before += len(chunk)
    _decode(path, decoder, b"", before - len(decoder.getstate()[0]), final=True)


def _decode(path: Path, decoder: codecs.IncrementalDecoder, chunk: bytes, at: int, *, final: bool = False) -> None:
    """Decode one piece, whose first byte that is not decoded yet is at place ``at`` of the file."""
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {at + error.start}); save it as CSV UTF-8.") from error


@contextmanager
def _long_fields(length: int) -> Iterator[None]:
    """Let the csv module read fields as long as an inline CIF; its limit is global, so it is put back."""
    previous = csv.field_size_limit(max(length, 1))
    try:
        yield
    finally:
        csv.field_size_limit(previous)
