"""What a worker runs, and how it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.errors import BackendUnavailableError
from uniscreen.potentials.isolated import worker
from uniscreen.potentials.isolated.environments import environment_of
from uniscreen.potentials.isolated.process import WorkerProcess

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


def start_worker(program: Program, threads: int, what: str) -> WorkerProcess:
    """A worker process that computes with a number of threads, and has not been asked anything yet.

    Raises:
        BackendUnavailableError: there is no such Python.
    """
    n = str(threads)
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), n)
    path = os.pathsep.join([str(program.python.parent), os.environ.get("PATH", "")])  # its programs, e.g. gap_fit
    try:
        return WorkerProcess([str(program.python), "-I", worker.__file__], {**os.environ, "PATH": path, **limits})
    except OSError as error:
        raise BackendUnavailableError(f"The worker of {what} cannot be started: {error}") from None
