"""Processes of our own that a training runs beside itself, and the pipe of pickled messages between the two."""

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

import torch

from uniscreen.errors import TrainingProcessError, UniscreenError

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Process:
    """An interpreter that runs a function of ours, ``work(parent)``; it is ended with the object.

    It imports this package alone, not the script that trains, and is in a session of its own: Ctrl-C is for its parent.
    Its ``connection`` is there to be waited for.
    """

    def __init__(self, work: Callable[[Parent], None]) -> None:
        self.connection, theirs = Pipe()
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-P", "-m", "uniscreen.training.processes", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        )
        theirs.close()
        self.close = weakref.finalize(self, _end, self._process, self.connection)
        self.send(work)

    def send(self, message: object) -> None:
        """Send a message; that the process has ended is said by ``receive``."""
        try:
            _send(self.connection, message)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Any:
        """The next message of the process; an error that it sent is raised.

        Raises:
            TrainingProcessError: it has ended.
        """
        try:
            message = pickle.loads(self.connection.recv_bytes())  # noqa: S301  # from our own process
        except (EOFError, ConnectionResetError):
            raise TrainingProcessError(f"{_death(self._process)} The same command continues.") from None
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


def _death(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, as a sentence."""
    code = process.wait()
    if code == -signal.SIGKILL:
        return "A process of the training was killed, as happens when memory runs out; --workers 1 takes the least."
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"A process of the training {how}; what it wrote to standard error says why."


def _leave_if_orphaned(parent: int) -> None:
    """End at once when the parent is gone: the same command may continue its run already."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    """Do the work that the parent sends, with one thread."""
    torch.set_num_threads(1)
    parent = Parent(Connection(int(sys.argv[1])))
    threading.Thread(target=_leave_if_orphaned, args=(os.getppid(),), daemon=True).start()
    try:
        parent.receive()(parent)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # it wants nothing more
        return
    except UniscreenError as error:  # raised by the parent
        parent.send(error)


if __name__ == "__main__":
    main()
