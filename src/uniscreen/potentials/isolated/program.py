"""What a worker runs, and how it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.errors import BackendUnavailableError
from uniscreen.potentials.isolated import worker
from uniscreen.potentials.isolated.environments import environment_of
from uniscreen.potentials.isolated.process import WorkerProcess
from uniscreen.processes import threads

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Program:
    """What a worker runs: the Python of an environment, and the backend's file with ``load(settings) -> model``."""

    python: Path
    backend: Path

    @classmethod
    def of(cls, architecture: str) -> Program:
        """What is shipped for an architecture."""
        environment = environment_of(architecture)
        return cls(environment.python, environment.backend_file)


def start_worker(program: Program, n_threads: int, what: str) -> WorkerProcess:
    """A worker process that computes with a number of threads, and has not been asked anything yet.

    Raises:
        BackendUnavailableError: there is no such Python.
    """
    path = os.pathsep.join([str(program.python.parent), os.environ.get("PATH", "")])  # its programs, e.g. gap_fit
    try:
        environment = {**os.environ, "PATH": path, **threads(n_threads)}
        return WorkerProcess([str(program.python), "-I", worker.__file__], environment)
    except OSError as error:
        raise BackendUnavailableError(f"The worker of {what} cannot be started: {error}") from None
