"""Worker processes that hold a calculator, spoken to one line at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError, UniscreenError
from uniscreen.processes import threads

if TYPE_CHECKING:
    from uniscreen.training.labelling.settings import LabelSettings

WORKER = Path(__file__).with_name("worker.py")


class WorkerDiedError(UniscreenError):
    """The process ended while it worked on a structure."""


class LabelWorker:
    """One process with one calculator and one thread; what the calculator prints goes to ``folder/calculator.log``.

    ``versions`` holds those of Python and of the packages that decide the labels.
    """

    def __init__(self, python: Path, settings: LabelSettings, folder: Path) -> None:
        """Start it in ``folder``, which is its own: calculators leave files in theirs.

        Raises:
            InputError: the interpreter cannot be started, or the calculator cannot be made there.
        """
        folder.mkdir(exist_ok=True)
        self.log = folder / "calculator.log"
        # without our own PYTHONPATH: the other interpreter's packages must not be shadowed by ours
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        try:
            with self.log.open("ab") as stream:
                self._process = subprocess.Popen(  # noqa: S603  # our own script, in the interpreter the user names
                    [str(python), "-s", str(WORKER), str(Path.cwd())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stream,
                    env={**environment, **threads(1), **settings.environment},
                    cwd=folder,
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which ends it
                )
        except OSError as error:
            raise InputError(f"--python {python} cannot be started: {error.strerror}.") from None
        try:
            answer = self._ask({"calculator": settings.calculator, "parameters": settings.parameters})
        except WorkerDiedError as error:
            raise InputError(
                f"--python {python} cannot run the calculator: {error}. Does it have ASE and NumPy?"
            ) from None
        if "error" in answer:
            self.close()
            raise InputError(
                f"calculator {settings.calculator!r} cannot be made by {python}: {answer['error']}. "
                "Name the interpreter that has it with --python."
            )
        self.versions: dict[str, str] = answer["versions"]

    def label(self, task: dict[str, Any]) -> dict[str, Any]:
        """Answer a task; see ``worker.py`` for both.

        Raises:
            WorkerDiedError: the process ended meanwhile.
        """
        return self._ask(task)

    def close(self) -> None:
        """End the process and the programs that its calculator runs, also in the middle of a calculation."""
        if self._process.returncode is None:
            self._kill_group()
            self._process.wait()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
            os.killpg(self._process.pid, signal.SIGKILL)

    def _ask(self, values: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(values).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (BrokenPipeError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            code = self._process.wait()
            self._kill_group()  # a program that it ran would go on, in the folder of the worker to come
            raise WorkerDiedError(f"the process ended with code {code}; see {self.log}")
        return json.loads(line)
