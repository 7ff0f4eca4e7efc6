"""Lennard-Jones in a process that does something else to batches with certain elements."""

import faulthandler
import os
import signal
import stat
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

spec = spec_from_file_location("lennard_jones", Path(__file__).with_name("lennard_jones_backend.py"))
lennard_jones = module_from_spec(spec)
spec.loader.exec_module(lennard_jones)


def prints():
    print("printed by Python")  # noqa: T201
    os.write(1, b"printed by C\n")
    os.system("echo printed by a child")


def hangs():
    os.write(2, b"about to hang\n")
    time.sleep(1000)


def dies():
    os.write(2, b"about to die\n")
    faulthandler._sigsegv()


def writes_garbage():
    """Into every pipe but standard input, output and error: one of them holds the answers."""
    for number in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, b"Segmentation fault? " * 10)
        except OSError:
            continue


def raises():
    raise ArithmeticError("too heavy for me")


FAULTS = {2: prints, 10: hangs, 36: raises, 54: dies, 86: writes_garbage}
"""He prints, Ne hangs, Kr raises, Xe dies, Rn writes garbage."""


class Model(lennard_jones.Model):
    def evaluate(self, batch):
        for number, fault in FAULTS.items():
            if number in batch.numbers:
                fault()
        if len(batch.numbers) > self.most_atoms:
            if self.is_killed:
                os.kill(os.getpid(), signal.SIGKILL)
            raise self.no_memory
        results = super().evaluate(batch)
        if self.leave_out:
            del results[self.leave_out]
        return results


def load(settings):
    if "fail" in settings:
        raise OSError(settings["fail"])
    model = Model(settings)
    model.leave_out = settings.get("leave_out")
    model.most_atoms = settings.get("most_atoms", 1000)
    model.is_killed = settings.get("is_killed", False)
    in_torchscript = RuntimeError("The following operation failed in the TorchScript interpreter. CUDA out of memory.")
    model.no_memory = in_torchscript if settings.get("in_torchscript") else MemoryError("no memory for so many atoms")
    return model
