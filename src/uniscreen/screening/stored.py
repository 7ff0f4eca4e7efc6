"""The records of a run as they lie on the disk: only their places are in memory, whatever their number."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, overload

import numpy as np

from uniscreen.durable import read_lines_with_places
from uniscreen.screening.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


MOST_OPEN = 64
"""Files that are kept open; a run that is continued often has more than the 1024 that a process may have."""


class StoredRecords(Mapping[int, Record]):
    """Records by the candidate's place in the input, in the order of the files; the first one of a candidate counts.

    A record is read when it is asked for. What is written to the files later is not among them.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        self._parts = list(parts)
        self._files: dict[int, IO[bytes]] = {}
        statuses: dict[str, int] = {}
        found = array("q")  # of each record: index, part, place of its line in that, place in the line, status
        for part, path in enumerate(self._parts):
            for place, line in read_lines_with_places(path):
                for n, values in enumerate(line["records"]):
                    status = statuses.setdefault(values["status"], len(statuses))
                    found.extend((values["index"], part, place, n, status))
        self._places = _first_of_each(np.array(found, dtype=np.int64).reshape(-1, 5))
        self._sorter = np.argsort(self._places[:, 0])
        self._sorted = self._places[self._sorter, 0]
        self._statuses = list(statuses)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[int]:
        return iter(self._places[:, 0].tolist())

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self._row(index) is not None

    def __getitem__(self, index: int) -> Record:
        """Read one record."""
        row = self._row(index)
        if row is None:
            raise KeyError(index)
        _, part, place, n, _ = self._places[row].tolist()
        file = self._file(part)
        file.seek(place)
        _, _, body = file.readline().partition(b" ")
        return Record.from_dict(json.loads(body)["records"][n])

    def _file(self, part: int) -> IO[bytes]:
        """An open file of records; of those that are, the one opened first makes room for another."""
        if part not in self._files:
            if len(self._files) == MOST_OPEN:
                self._files.pop(next(iter(self._files))).close()
            self._files[part] = self._parts[part].open("rb")
        return self._files[part]

    def count_statuses(self) -> Counter[str]:
        """How many records have each status."""
        counts = np.bincount(self._places[:, 4], minlength=len(self._statuses)).tolist()
        return Counter({status: n for status, n in zip(self._statuses, counts, strict=True) if n})

    def in_input_order(self) -> Sequence[Record]:
        """The records of a run that is complete."""
        return _InInputOrder(self)

    def _row(self, index: int) -> int | None:
        at = int(np.searchsorted(self._sorted, index))
        return int(self._sorter[at]) if at < len(self) and self._sorted[at] == index else None


class RecordsById(Mapping[str, Record]):
    """Records by the candidate's id; ``ids`` are in input order."""

    def __init__(self, ids: Sequence[str], records: Sequence[Record]) -> None:
        self._places = {name: place for place, name in enumerate(ids)}
        self._records = records

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, name: str) -> Record:
        return self._records[self._places[name]]


class _InInputOrder(Sequence[Record]):
    def __init__(self, records: StoredRecords) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return self._records[range(len(self))[index]]


def _first_of_each(found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out all but the first row of each index (the first column), in the order of the rows."""
    _, first = np.unique(found[:, 0], return_index=True)
    return found[np.sort(first)]
