"""Processes of our own beside this one, and the pipe of pickled messages between the two."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from uniscreen.errors import ProcessEndedError, UniscreenError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def threads(n: int) -> dict[str, str]:
    """The environment variables that hold OpenMP and the linear algebra of a new process to ``n`` threads."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(n))


class Process:
    """An interpreter that runs a function of ours, ``work(parent)``, with one thread; it is ended with the object.

    It imports this package alone, not the script that called it, and is in a session of its own: Ctrl-C is for its
    parent. Its ``connection`` is there to be waited for; ``environment`` are variables to add to those of this process.
    """

    def __init__(self, work: Callable[[Parent], None], environment: Mapping[str, str] | None = None) -> None:
        self.connection, theirs = Pipe()
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-P", "-m", "uniscreen.processes", str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **threads(1), **(environment or {})},
            start_new_session=True,
        )
        theirs.close()
        self.close = weakref.finalize(self, _end, self._process, self.connection)
        self.send(work)

    @property
    def ended(self) -> bool:
        """Whether it has ended, be it by itself."""
        return self._process.poll() is not None

    def send(self, message: object) -> None:
        """Send a message; that the process has ended is said by ``receive``."""
        try:
            _send(self.connection, message)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Any:
        """The next message of the process; an error that it sent is raised.

        Raises:
            ProcessEndedError: it has ended.
        """
        try:
            answer = self.connection.recv_bytes()
        except (EOFError, OSError):  # OSError: it was ended in the middle of a message
            raise ProcessEndedError(self._process.wait()) from None
        message = pickle.loads(answer)  # noqa: S301  # from our own process
        if isinstance(message, UniscreenError):
            raise message
        return message


class Parent:
    """The other end of the pipe, in the process that was started."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, message: object) -> None:
        """Send a message; a ``UniscreenError`` is raised by the parent's ``receive``."""
        _send(self._connection, message)

    def receive(self) -> Any:
        """The next message of the parent.

        Raises:
            EOFError: it wants nothing more.
        """
        return pickle.loads(self._connection.recv_bytes())  # noqa: S301  # from our own parent


def _send(connection: Connection, message: object) -> None:
    connection.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()


def end_with(parent: int) -> None:
    """From now on end this process, and all in its session, which it leads, when its parent, of this id, is gone.

    The same command may continue its run already.
    """
    threading.Thread(target=_end_when_orphaned, args=(parent,), daemon=True).start()


def _end_when_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Do the work that the parent sends."""
    end_with(int(sys.argv[2]))
    parent = Parent(Connection(int(sys.argv[1])))
    try:
        parent.receive()(parent)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # it wants nothing more
        return
    except UniscreenError as error:  # raised by the parent
        parent.send(error)


if __name__ == "__main__":
    main()
