"""The worker process of an isolated backend: loads its model once and answers one batch after the other, or trains one.

Run as ``python -I worker.py`` by the Python of the backend's environment. uniscreen is not installed there, so this
file needs nothing but the standard library and NumPy. What it runs is a backend file with the function
``load(settings) -> model``, see ``Model``, and, where models of its kind are trained, ``train(training) -> (file,
cutoff)``, see ``Training``. A backend file may import others beside it.

Requests come on standard input, answers leave on what was standard output. Each is a frame: 8 bytes ``MAGIC``, the
length of the rest (8 bytes, little endian), and a NumPy ``.npz`` archive (a zip of ``.npy`` arrays with checksums; read
without pickle) whose array ``header`` is JSON in UTF-8. NumPy is what every backend has already; Arrow would add 100 MB
to each environment. The first frame of either side names its ``PROTOCOL``; the first request says what to load, or what
to train, in which case its answer is the last.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROTOCOL = 2
"""Raised whenever what the frames mean changes."""

STARTED = time.monotonic()
"""When this process began."""

NOISE = 0.01
"""eV/Å; forces that are no larger than this tell nothing."""

MAGIC = b"\x93uniscrn"
PREFIX = struct.Struct("<8sQ")


class Batch(NamedTuple):
    """B systems with N atoms; real numbers are float64.

    ============== ========= ======= ===================================================
    field          shape     unit    what
    ============== ========= ======= ===================================================
    positions      (N, 3)    Å       Cartesian; atoms of one system are consecutive
    cells          (B, 3, 3) Å       rows are lattice vectors
    pbc            (B, 3)            periodic directions
    numbers        (N,)              atomic numbers
    ptr            (B + 1,)          first atom of each system
    stress                           whether it is asked for
    ============== ========= ======= ===================================================
    """

    positions: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    numbers: np.ndarray
    ptr: np.ndarray
    stress: bool

    def systems(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Atomic numbers, positions, cell and periodic directions of each system."""
        for i, (start, stop) in enumerate(zip(self.ptr[:-1], self.ptr[1:], strict=True)):
            yield self.numbers[start:stop], self.positions[start:stop], self.cells[i], self.pbc[i]


class Model(Protocol):
    """What a backend's ``load`` returns: its chemical symbols, its cutoff (Å), and its numbers for a batch.

    ``evaluate`` returns arrays: ``energy`` (B,) eV, total; ``forces`` (N, 3) eV/Å; ``stress`` (B, 3, 3) eV/Å³, tension
    positive, where it is asked for; ``magnetic_moments`` (N,) μ_B where the model has them.
    """

    elements: list[str]
    cutoff: float

    def evaluate(self, batch: Batch) -> dict[str, np.ndarray]:
        """Energies, forces and stresses of the batch."""


class Frames(NamedTuple):
    """Structures with labels.

    ``energy`` (B,) eV, total; ``forces`` (N, 3) eV/Å; ``stress`` (B, 3, 3) eV/Å³, tension positive, NaN for a structure
    without.
    """

    batch: Batch
    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], prefix: str) -> Frames | None:
        """Those whose arrays have a prefix, or None where there are none."""
        found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        labels = [found.pop(name) for name in ("energy", "forces", "stress") if name in found]
        return cls(Batch(**found, stress=True), *labels) if found else None

    def structures(self) -> Iterator[tuple[tuple[np.ndarray, ...], float, np.ndarray, np.ndarray | None]]:
        """Each system as ``Batch.systems`` gives it, its energy, its forces (n, 3), and its stress (3, 3) or None."""
        forces = np.split(self.forces, self.batch.ptr[1:-1])
        for i, system in enumerate(self.batch.systems()):
            stress = self.stress[i] if np.isfinite(self.stress[i]).all() else None
            yield system, float(self.energy[i]), forces[i], stress

    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return [int(number) for number in np.unique(self.batch.numbers)]

    def reference_energies(self) -> dict[int, float]:
        """Energy (eV) of each element by atomic number: the least squares of all energies on the numbers of atoms.

        Where these do not decide, it is the shortest of the solutions.
        """
        counts = np.array([[np.sum(numbers == z) for z in self.elements()] for numbers, *_ in self.batch.systems()])
        weights = 1 / counts.sum(axis=1)
        solution = np.linalg.lstsq(counts * weights[:, None], self.energy * weights, rcond=None)[0]
        return dict(zip(self.elements(), solution.tolist(), strict=True))

    def scale(self) -> float:
        """What the outputs of a network are multiplied by: the root mean square of the forces (eV/Å).

        It is 1 where they are but noise, as those of symmetric crystals: energies differ all the same.
        """
        found = float(np.sqrt(np.mean(self.forces**2)))
        return found if found > NOISE else 1.0


class Training(NamedTuple):
    """What ``train`` is to do. It returns the name of the file that ``load`` is to get, and the cutoff (Å).

    ``validation`` decides what to keep, for those that need it. Those that get better step by step are to stop when
    ``time.monotonic()`` is at ``deadline``, with the best they have; a little later the worker is ended. ``folder`` is
    empty, and the working directory: every file in it in the end belongs to the model. Reading them must run nothing
    that they hold: they are parameters and settings, not pickled objects.
    """

    frames: Frames
    validation: Frames | None
    hyperparameters: dict[str, Any]
    seed: int
    device: str
    threads: int
    deadline: float
    folder: Path


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One frame."""
    payload = io.BytesIO()
    np.savez(payload, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    return PREFIX.pack(MAGIC, payload.getbuffer().nbytes) + payload.getvalue()


def unpack(payload: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a frame without its prefix."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop("header").tobytes()), arrays


def _receive(requests: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The next request; EOFError where the parent has closed the pipe or has died."""
    prefix = requests.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        raise EOFError
    magic, length = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ValueError(f"a request begins with {magic!r}")
    return unpack(requests.read(length))


def _backend(hello: dict[str, Any]) -> Any:
    """The module of the backend file that the first request names."""
    if hello["protocol"] != PROTOCOL:
        raise RuntimeError(f"the worker speaks protocol {PROTOCOL}, uniscreen protocol {hello['protocol']}")
    path = Path(hello["backend"])
    sys.path.append(str(path.parent))  # last: a backend may have the name of the package that it imports
    spec = importlib.util.spec_from_file_location("backend", path)
    assert spec is not None
    assert spec.loader is not None
    backend = importlib.util.module_from_spec(spec)
    sys.modules["backend"] = backend
    spec.loader.exec_module(backend)
    return backend


def _train(hello: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Train as the first request says; what it prints goes to its log file."""
    settings = hello["training"]
    log = os.open(settings.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that a crash leaves it all
    settings["deadline"] = STARTED + settings.pop("seconds")
    frames = Frames.of(arrays, "train.")
    assert frames is not None
    folder = Path(settings.pop("folder"))
    os.chdir(folder)
    training = Training(frames, Frames.of(arrays, "validation."), folder=folder, **settings)
    started = time.perf_counter()
    file, cutoff = _backend(hello).train(training)
    return {"file": file, "cutoff": float(cutoff), "seconds": time.perf_counter() - started}


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests; an exception is an answer, and does not end the worker."""

    def answer(frame: bytes) -> None:
        answers.write(frame)
        answers.flush()

    try:
        hello, arrays = _receive(requests)
        if "training" in hello:
            answer(pack({"protocol": PROTOCOL, **_train(hello, arrays)}, {}))
            return
        model: Model = _backend(hello).load(hello["settings"])
    except Exception as error:  # told to the parent, which raises it
        traceback.print_exc()
        answer(pack({"protocol": PROTOCOL, "error": f"{type(error).__name__}: {error}"}, {}))
        return
    answer(pack({"protocol": PROTOCOL, "elements": model.elements, "cutoff": model.cutoff}, {}))
    while True:
        header, arrays = _receive(requests)
        if "torch" in sys.modules:
            sys.modules["torch"].use_deterministic_algorithms(header["deterministic"])
        started = time.perf_counter()
        try:
            results = model.evaluate(Batch(**arrays, stress=header["stress"]))
            frame = pack({"seconds": time.perf_counter() - started}, results)
        except Exception as error:  # the boundary between batches
            traceback.print_exc()
            frame = pack({"error": f"{type(error).__name__}: {error}"}, {})
        answer(frame)


def _die_with(parent: int) -> None:
    """End this process and its children once the parent is gone, even in the middle of a batch."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Serve the parent. Whatever prints to standard output, in Python or in C, ends up on standard error."""
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    try:
        _serve(requests, answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)  # nobody is left to answer; no backend's exit handlers, no complaint about the pipe


if __name__ == "__main__":
    main()
