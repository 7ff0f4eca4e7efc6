"""Labels structures with an ASE calculator, one at a time; run by path in the interpreter that has the calculator.

The argument is a folder in which modules are looked for last.

Needs ASE and NumPy only, and never imports uniscreen. Each line on standard input is a JSON object, and so is each
answer on standard output, which the calculator cannot reach: whatever it prints goes to standard error.

- first line: ``calculator`` (a name that ASE knows or ``module:factory``) and its ``parameters``; the answer holds
  ``versions``, or ``error``;
- each further line: ``index``, ``numbers`` (n,), ``positions`` (n, 3) Å, ``cell`` (3, 3) Å, ``pbc`` (3,), and
  ``magmoms`` (n,) μ_B or null; the answer holds ``index``, ``status`` ("ok" or "failed"), ``reason``, ``seconds`` and
  ``labels``: ``energy`` and, where the calculator has it, ``free_energy`` in eV, ``forces`` (n, 3) eV/Å, ``stress``
  (3, 3) eV/Å³ with tension positive or null, ``magmoms`` (n,) μ_B where it has them.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import signal
import sys
import threading
import time
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError, all_properties, get_calculator_class
from ase.stress import voigt_6_to_full_3x3_stress


def find_factory(calculator: str) -> Any:
    """Return the callable that makes the calculator."""
    module, _, name = calculator.partition(":")
    if not name:
        return get_calculator_class(calculator)
    factory: Any = importlib.import_module(module)
    for part in name.split("."):
        factory = getattr(factory, part)
    return factory


def versions(factory: Any) -> dict[str, str]:
    """Versions of Python and of the packages that decide the labels."""
    package = factory.__module__.partition(".")[0]
    found = {"python": platform.python_version(), "numpy": np.__version__, "ase": ase.__version__}
    module = importlib.import_module(package)
    return {**found, package: str(getattr(module, "__version__", "unknown"))}


def label(factory: Any, parameters: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Return the labels of one structure, from a calculator of its own: they depend on nothing computed before."""
    atoms = ase.Atoms(task["numbers"], task["positions"], cell=task["cell"], pbc=task["pbc"])
    if task["magmoms"] is not None:
        atoms.set_initial_magnetic_moments(task["magmoms"])
    atoms.calc = factory(**parameters)
    labels: dict[str, Any] = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces()}
    try:
        labels["stress"] = voigt_6_to_full_3x3_stress(atoms.get_stress())
    except (PropertyNotImplementedError, NotImplementedError):
        labels["stress"] = None
    results = getattr(atoms.calc, "results", {})
    for name in ("free_energy", "magmoms"):
        if name in all_properties and results.get(name) is not None:
            labels[name] = results[name]
    for name, value in labels.items():
        if value is not None and not np.all(np.isfinite(value)):
            raise ValueError(f"the calculator returned a value of {name} that is not finite")
    return {name: None if value is None else np.asarray(value).tolist() for name, value in labels.items()}


def answer(factory: Any, parameters: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Label one structure; what goes wrong becomes a reason."""
    began = time.monotonic()
    outcome: dict[str, Any]
    try:
        outcome = {"status": "ok", "reason": "", "labels": label(factory, parameters, task)}
    except Exception as error:  # the boundary of one structure: recorded with its type
        text = " ".join(str(error).split())[:300]
        outcome = {"status": "failed", "reason": f"{type(error).__name__}: {text}", "labels": None}
    return {"index": task["index"], **outcome, "seconds": time.monotonic() - began}


def leave_if_orphaned(parent: int) -> None:
    """End at once when the parent has been killed, with the programs that the calculator runs; the group is our own."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Serve one parent until it closes the pipe."""
    sys.path.pop(0)  # our own folder: its modules must not stand in for those that the factory imports
    sys.path.append(sys.argv[1])  # where the command was given, for a factory beside the structures
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threading.Thread(target=leave_if_orphaned, args=(os.getppid(),), daemon=True).start()

    def send(values: dict[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    start = json.loads(sys.stdin.readline())
    try:
        factory = find_factory(start["calculator"])
        send({"versions": versions(factory)})
    except Exception as error:  # told to the parent, which ends the run
        send({"error": f"{type(error).__name__}: {error}"})
        return 1
    for line in sys.stdin:
        send(answer(factory, start["parameters"], json.loads(line)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
