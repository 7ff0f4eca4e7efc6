"""The worker process of an isolated backend: loads its model once, then answers one batch after the other.

Run as ``python -I worker.py`` by the Python of the backend's environment. uniscreen is not installed there, so this
file needs nothing but the standard library and NumPy. What it runs is a backend file with one function,
``load(settings) -> model``; see ``Model``.

Requests come on standard input, answers leave on what was standard output. Each is a frame: 8 bytes ``MAGIC``, the
length of the rest (8 bytes, little endian), and a NumPy ``.npz`` archive (a zip of ``.npy`` arrays with checksums; read
without pickle) whose array ``header`` is JSON in UTF-8. NumPy is what every backend has already; Arrow would add 100 MB
to each environment. The first frame of either side names its ``PROTOCOL``.
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
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROTOCOL = 1
"""Raised whenever what the frames mean changes."""

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


def _start(hello: dict[str, Any]) -> Model:
    """The model of the backend file that the first request names."""
    if hello["protocol"] != PROTOCOL:
        raise RuntimeError(f"the worker speaks protocol {PROTOCOL}, uniscreen protocol {hello['protocol']}")
    spec = importlib.util.spec_from_file_location("backend", hello["backend"])
    assert spec is not None
    assert spec.loader is not None
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    model: Model = backend.load(hello["settings"])
    return model


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests; an exception is an answer, and does not end the worker."""

    def answer(frame: bytes) -> None:
        answers.write(frame)
        answers.flush()

    try:
        model = _start(_receive(requests)[0])
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
