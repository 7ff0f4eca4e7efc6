"""Structures given as text, kept on disk, so that memory does not grow with their number."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from uniscreen.structures.sources import TextSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uniscreen.structures.formats import StructureFormat


class SpooledTexts(Sequence[TextSource]):
    """Sources whose texts are in a temporary file; in memory are only the places where they end in it.

    Texts may be added until the first one is read back.
    """

    def __init__(self, kind: StructureFormat, texts: Iterable[str] = ()) -> None:
        self.kind = kind
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it is gone when this object is
        self._ends = array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Add one."""
        self._ends.append(self._ends[-1] + self._file.write(text.encode("utf-8", "surrogatepass")))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> TextSource: ...
    @overload
    def __getitem__(self, place: slice) -> list[TextSource]: ...
    def __getitem__(self, place: int | slice) -> TextSource | list[TextSource]:
        """Read one text back, or several."""
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        k = range(len(self))[place]
        self._file.seek(self._ends[k])
        text = self._file.read(self._ends[k + 1] - self._ends[k])
        return TextSource(text.decode("utf-8", "surrogatepass"), self.kind)
