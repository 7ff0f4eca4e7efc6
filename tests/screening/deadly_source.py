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
    """The process is killed for the first ``deaths`` readings, which are counted in a file."""

    readings: Path
    deaths: int

    def load(self, limits: ReadLimits) -> Atoms:
        n = len(self.readings.read_text()) if self.readings.exists() else 0
        self.readings.write_text("x" * (n + 1))
        if n < self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return bulk("Cu", "fcc", a=3.6)
