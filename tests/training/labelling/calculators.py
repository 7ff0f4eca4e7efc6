"""Calculators that misbehave, made in the worker's process as ``calculators:name``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT


class Noisy(EMT):
    """Prints to standard output, from Python and past it, as compiled codes do."""

    def calculate(self, *args, **kwargs):
        sys.stdout.write('{"index": 0, "status": "ok"}\n')
        sys.stdout.flush()
        os.write(1, b"from below Python\n")
        super().calculate(*args, **kwargs)


class Moody(EMT):
    """Fails by the number of atoms: raises for 2, ends its process for 3, is not finite for 4."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        n = len(self.atoms)
        if n == 2:
            raise RuntimeError("SCF did not\nconverge")
        if n == 3:
            os._exit(7)
        if n == 4:
            self.results["energy"] = np.nan


class DiesOnce(EMT):
    """Ends the first process that uses it; ``marker`` tells the next one."""

    def __init__(self, marker):
        super().__init__()
        self.marker = Path(marker)

    def calculate(self, *args, **kwargs):
        if not self.marker.exists():
            self.marker.touch()
            os._exit(9)
        super().calculate(*args, **kwargs)


class Slow(EMT):
    """Takes a while, and counts its calculations in the file ``log``."""

    def __init__(self, log, seconds=0.0):
        super().__init__()
        self.log, self.seconds = Path(log), seconds

    def calculate(self, *args, **kwargs):
        time.sleep(self.seconds)
        with self.log.open("a", encoding="utf-8") as file:
            file.write("x\n")
        super().calculate(*args, **kwargs)


class WithoutStress(Calculator):
    """Has an energy and forces only, and leaves a file where it runs."""

    implemented_properties = ("energy", "forces")

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        Path("scratch").touch()
        self.results = {"energy": -1.0, "forces": np.zeros((len(self.atoms), 3))}


class RunsAProgram(EMT):
    """Waits for a program, as calculators of compiled codes do, whose process id it leaves in the file ``pid``.

    With ``dies`` it ends its own process instead of waiting.
    """

    def __init__(self, pid, *, dies=False):
        super().__init__()
        self.pid, self.dies = Path(pid), dies

    def calculate(self, *args, **kwargs):
        program = subprocess.Popen(["sleep", "300"])
        self.pid.write_text(f"{program.pid}\n", encoding="utf-8")
        if self.dies:
            os._exit(5)
        program.wait()
        super().calculate(*args, **kwargs)
