"""The elements of a JSON list that may be too long for memory, decoded one after the other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

CHUNK = 1 << 20
"""Characters that are read at a time."""

BEHIND = frozenset(" \t\n\r,:]}")
"""What may stand behind a value."""

WHITE_SPACE = re.compile(r"[ \t\n\r]*")


class NoListError(Exception):
    """A JSON text holds something else than the list that is looked for."""


def list_elements(text: TextIO, key: str) -> Iterator[Any]:
    """Yield the elements of the list that the text is, or that its object has under ``key``.

    ``json`` decodes each of them, so that what it takes (NaN, say) is taken here too.

    Raises:
        ValueError: it is not JSON; perhaps after some elements.
        RecursionError: it is nested too deeply.
        NoListError: it is something else.

    """
    values = _Values(text)
    opening = values.peek()
    if opening == "[":
        yield from values.elements()
    elif opening == "{":
        yield from values.elements_under(key)
    else:
        values.next()
    if values.peek():
        raise ValueError(f"there is something behind its end: {values.peek()!r}")
    if opening not in ("[", "{"):
        raise NoListError


class _Values:
    """JSON values taken from a text; only what is being decoded is in memory."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._window = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no white space, nothing at the end."""
        while True:
            found = WHITE_SPACE.match(self._window, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._window) or not self._read_on():
                return self._window[self._at : self._at + 1]

    def next(self) -> Any:
        """Decode the value that comes next."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._at)
            except ValueError:
                if not self._read_on():
                    raise
                continue
            if self._window[end : end + 1] in BEHIND or not self._read_on():  # what looks like a number may be cut
                self._at = end
                return value

    def elements(self) -> Iterator[Any]:
        """Decode the elements of a list, from its bracket on."""
        self._take("[")
        ended = self.peek() == "]" and self._take("]") == "]"
        while not ended:
            yield self.next()
            ended = self._take(",", "]") == "]"

    def elements_under(self, key: str) -> Iterator[Any]:
        """Decode the elements of the list that an object has under ``key``, from its brace on; skip all else."""
        self._take("{")
        found = False
        ended = self.peek() == "}" and self._take("}") == "}"
        while not ended:
            name = self.next()
            if not isinstance(name, str):
                raise ValueError(f"expected the name of a value, found {name!r}")  # noqa: TRY004  # as json says it
            self._take(":")
            if name == key and self.peek() == "[":
                found = True
                yield from self.elements()
            else:
                self.next()
            ended = self._take(",", "}") == "}"
        if not found:
            raise NoListError

    def _take(self, *expected: str) -> str:
        found = self.peek()
        if found not in expected:
            raise ValueError(f"expected {' or '.join(expected)}, found {found or 'the end'}")
        self._at += 1
        return found

    def _read_on(self) -> bool:
        """Forget what is decoded, and read at least as much again as is left."""
        left = self._window[self._at :]
        more = self._text.read(max(CHUNK, len(left)))
        self._window, self._at = left + more, 0
        return bool(more)
