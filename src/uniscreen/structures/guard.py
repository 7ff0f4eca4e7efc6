"""The boundary around reading one structure: a time limit, no warnings, and only our own errors come out."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uniscreen.errors import InvalidStructureError, StructureError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

MAX_MESSAGE = 300
"""Characters kept of a foreign error message: parsers quote whole files in theirs."""


class ExpiredError(BaseException):
    """A ``time_limit`` has passed; no ``except Exception`` inside a parser can swallow it."""


@contextmanager
def reading(name: str, seconds: float) -> Iterator[None]:
    """Read one structure inside; what goes wrong becomes a structure error whose text begins with ``name``.

    The limit of ``seconds`` is kept in the main thread of a process, on systems that have ``SIGALRM``.

    Raises:
        InvalidStructureError: the block failed or took longer than ``seconds``.
        TooLargeError: the block raised it, or memory ran out.

    """
    try:
        with warnings.catch_warnings(), time_limit(seconds):
            warnings.simplefilter("ignore")
            yield
    except StructureError as error:
        raise type(error)(f"{name}: {error}") from error
    except ExpiredError:
        raise InvalidStructureError(
            f"{name}: reading it took longer than {seconds:g} s. Check the file, or allow more time."
        ) from None
    except MemoryError as error:
        raise TooLargeError(f"{name}: reading it takes more memory than there is.") from error
    except Exception as error:
        raise InvalidStructureError(f"{name}: cannot be read: {shorten(describe(error))}") from error


def describe(error: Exception) -> str:
    """Return an error as type and message."""
    return f"{type(error).__name__}: {error}"


def shorten(text: str, length: int = MAX_MESSAGE) -> str:
    """Return the text on one line, printable, with at most ``length`` characters."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= length else f"{line[: length - 3]}..."


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the block after ``seconds``; the alarm handler and timer found are put back afterwards."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    armed = True

    def expire(_signum: int, _frame: FrameType | None) -> None:
        if armed:
            raise ExpiredError

    started = time.monotonic()
    previous = signal.signal(signal.SIGALRM, expire)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        try:
            yield
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous if previous is not None else signal.SIG_DFL)
        if delay > 0.0:
            left = delay - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), interval)
