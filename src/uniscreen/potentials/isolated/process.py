"""A worker process as its parent sees it: frames over two pipes, a time limit, and an error for every way to fail."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
import weakref
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from uniscreen.errors import BackendError
from uniscreen.potentials.isolated.worker import MAGIC, PREFIX, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

TAIL_BYTES = 2000
"""How much of what a worker wrote to standard error is kept for its errors."""

GRACE = 2.0
"""Seconds for a worker to leave by itself once its requests have ended."""

LARGEST_ANSWER = 1 << 33
"""Bytes; a length beyond it is garbage."""


class WorkerProcess:
    """A child process that answers requests; it is ended with the object, and at the latest with the interpreter.

    It is in a session of its own: Ctrl-C is for its parent, and ending it ends its children too. It answers only the
    process that started it, and is ended only by that: what is forked from it has another worker started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own worker
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)
        self._tail = bytearray()
        self._reader = threading.Thread(target=_keep_tail, args=(self._process.stderr, self._tail), daemon=True)
        self._reader.start()
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _end, self._process, self._owner, GRACE)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it can be asked: it is this process's own, and has neither died nor failed."""
        return self._owner == os.getpid() and self._end.alive and self._process.poll() is None

    def exchange(
        self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], seconds: float
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Send a request and wait for its answer.

        Raises:
            BackendError: the process died, took longer, or wrote something that is no answer; it has been ended.
        """
        try:
            return self._exchange(pack(header, arrays), time.monotonic() + seconds)
        except TimeoutError:
            self.kill()
            raise BackendError(f"did not answer within {seconds:.3g} s{self._last_words()}") from None
        except BackendError as error:
            self.kill()
            raise BackendError(f"{error}{self._last_words()}") from None
        except BaseException:  # e.g. Ctrl-C while it works: its answer would be taken for that to the next request
            self.kill()
            raise

    def kill(self) -> None:
        """End it and its children at once."""
        if self._end.detach() is not None:
            _end(self._process, self._owner, 0.0)
        self._reader.join(timeout=1.0)

    def _last_words(self) -> str:
        """The end of what it wrote to standard error, as the end of a message."""
        text = self._tail.decode(errors="replace").strip()
        return f". The end of its error output:\n{text}" if text else ""

    def _exchange(self, request: bytes, deadline: float) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        self._tail.clear()
        self._write(request, deadline)
        magic, length = PREFIX.unpack(self._read(PREFIX.size, deadline))
        if magic != MAGIC or length > LARGEST_ANSWER:
            raise BackendError("wrote something that is not an answer")
        payload = self._read(length, deadline)
        try:
            return unpack(payload)
        except Exception as error:
            raise BackendError(f"wrote an answer that cannot be read ({error})") from error

    def _write(self, data: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        fd, view = self._process.stdin.fileno(), memoryview(data)
        while view:
            self._wait(fd, select.POLLOUT, deadline)
            try:
                view = view[os.write(fd, view) :]
            except BrokenPipeError:
                raise BackendError(self._how_it_died()) from None

    def _read(self, n: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        fd, data = self._process.stdout.fileno(), bytearray()
        while len(data) < n:
            self._wait(fd, select.POLLIN, deadline)
            chunk = os.read(fd, min(n - len(data), 1 << 20))
            if not chunk:
                raise BackendError(self._how_it_died())
            data += chunk
        return bytes(data)

    def _wait(self, fd: int, event: int, deadline: float) -> None:
        """Wait until the descriptor is ready or hung up."""
        poller = select.poll()
        poller.register(fd, event)
        if not poller.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
            raise TimeoutError

    def _how_it_died(self) -> str:
        try:
            code = self._process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            return "closed its end of the pipe"
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was ended by {signal.Signals(-code).name}"


def _keep_tail(stream: IO[bytes], tail: bytearray) -> None:
    """Read standard error to its end, so that the worker never waits for us, and keep the last of it."""
    with stream:
        while chunk := stream.read(65536):
            tail += chunk
            del tail[:-TAIL_BYTES]


def _end(process: subprocess.Popen[bytes], owner: int, grace: float) -> None:
    """End a process and its children, and reap it. Without requests it leaves by itself. Others only let go."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    if os.getpid() == owner:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
        with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process.stdout.close()
