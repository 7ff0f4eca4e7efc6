"""Where a structure comes from that ends the process that reads it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ase.build import bulk

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from uniscreen.structures.candidate import ReadLimits


@dataclass(frozen=True)
class DeadlySource:
    """The process is killed for the first ``deaths`` readings; a file has a line, its number, for each."""

    readings: Path
    deaths: int

    def load(self, limits: ReadLimits) -> Atoms:
        with self.readings.open("a+") as file:
            file.write(f"{os.getpid()}\n")
            file.seek(0)
            n = len(file.readlines())
        if n <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return bulk("Cu", "fcc", a=3.6)
