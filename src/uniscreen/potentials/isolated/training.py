"""Have a worker train a model of an isolated backend, from labelled structures to a folder that is a potential."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers

from uniscreen.durable import rename_durably, sha256_of
from uniscreen.errors import BackendError, InputError
from uniscreen.potentials.cards import ModelCard
from uniscreen.potentials.isolated import worker
from uniscreen.potentials.isolated.program import Program, start_worker
from uniscreen.potentials.isolated.trained import write_description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ase import Atoms

    from uniscreen.structures.labels import LabelledStructure

LOG = "training.log"
"""What the package printed, in the folder of the model."""

FOR_STEPS = 0.9
"""The part of the time after which the worker is to stop by itself; the rest is for its start and its last step."""

TAIL_LINES = 15
"""Lines of the log that an error shows."""

POLL = 0.5
"""Seconds between two looks at the log while it grows."""

VACUUM = 20.0
"""Å on each side of a structure, in directions in which it is not periodic."""


@dataclass(frozen=True)
class TrainingRequest:
    """What is to be trained.

    Args:
        architecture: that of an isolated backend with a ``train``.
        hyperparameters: what that takes, as JSON, complete.
        licence, citation: for the model card.
        seed: of everything random.
        device: where the worker trains.
        threads: with how many it computes.
        seconds: when to give up; those that get better step by step stop before, with the best they have.
        packages: versions in its environment, for the record.
    """

    architecture: str
    hyperparameters: Mapping[str, Any]
    licence: str
    citation: str
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    seconds: float = 86400.0
    packages: Mapping[str, str] = field(default_factory=dict)


def train_isolated(
    request: TrainingRequest,
    structures: Sequence[LabelledStructure],
    validation: Sequence[LabelledStructure],
    out: Path,
    *,
    on_line: Callable[[str], None] = lambda _: None,
    program: Program | None = None,
) -> ModelCard:
    """Train, and write the folder ``out`` all at once: a training that fails or is stopped leaves none.

    ``on_line`` is told of every line that the package prints, in a thread of its own.

    Raises:
        InputError: the folder holds something already, there is nothing to train on, or validation structures hold
            elements that those to train on do not.
        BackendError: the training failed or took too long; with the end of what the package printed.
        BackendUnavailableError: the worker does not start.
    """
    _check(structures, validation, out)
    arrays = pack_frames(structures, "train.")
    digests = {"train_sha256": _digest(arrays)}
    if validation:
        held_out = pack_frames(validation, "validation.")
        digests["validation_sha256"] = _digest(held_out)
        arrays |= held_out
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-", ignore_cleanup_errors=True) as temporary:
        folder, log = Path(temporary) / "model", Path(temporary) / LOG
        folder.mkdir()
        with _followed(log, on_line):
            answer = _run(request, arrays, folder, log, program or Program.of(request.architecture))
        rename_durably(log, folder / LOG)
        card = _card(request, structures, answer, folder, out)
        record = {
            "hyperparameters": dict(request.hyperparameters),
            "seed": request.seed,
            "n_train": len(structures),
            "n_validation": len(validation),
            **digests,
            "seconds": answer["seconds"],
            "threads": request.threads,
            "device": request.device,
            "packages": dict(request.packages),
        }
        write_description(folder, card, record)
        rename_durably(folder, out)
    return card


def pack_frames(structures: Sequence[LabelledStructure], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of a worker's ``Frames``, their names with a prefix."""
    unknown = np.full((3, 3), np.nan)
    boxed = [_boxed(one.atoms) for one in structures]
    arrays = {
        "positions": np.concatenate([atoms.positions for atoms in boxed]),
        "cells": np.stack([atoms.cell.array for atoms in boxed]),
        "pbc": np.stack([one.atoms.pbc for one in structures]),
        "numbers": np.concatenate([one.atoms.numbers for one in structures]).astype(np.int64),
        "ptr": np.cumsum([0, *(len(one.atoms) for one in structures)]),
        "energy": np.array([one.energy for one in structures], dtype=float),
        "forces": np.concatenate([one.forces for one in structures]),
        "stress": np.stack([unknown if one.stress is None else one.stress for one in structures]),
    }
    return {prefix + name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _boxed(atoms: Atoms) -> Atoms:
    """The structure with a cell, which is long where it is not periodic: some packages take it to be so everywhere."""
    boxed = atoms.copy()
    if not atoms.pbc.all():
        boxed.center(vacuum=VACUUM, axis=tuple(np.flatnonzero(~atoms.pbc)))
    return boxed


def _check(structures: Sequence[LabelledStructure], validation: Sequence[LabelledStructure], out: Path) -> None:
    if not structures:
        raise InputError("There are no structures to train on.")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out} holds something already. Remove it, or give another folder.")
    unseen = _elements(validation) - _elements(structures)
    if unseen:
        raise InputError(f"The validation structures hold {', '.join(sorted(unseen))}, which those to train on do not.")


def _elements(structures: Sequence[LabelledStructure]) -> set[str]:
    return {symbol for one in structures for symbol in one.atoms.symbols}


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum of structures and labels, whatever file they come from."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name.partition('.')[2]} {arrays[name].dtype.str} {arrays[name].shape}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _run(
    request: TrainingRequest, arrays: Mapping[str, np.ndarray], folder: Path, log: Path, program: Program
) -> dict[str, Any]:
    """The worker's answer, once the model's files are in the folder."""
    what = f"{request.architecture} (training)"
    process = start_worker(program, request.threads, what)
    training = {
        "hyperparameters": dict(request.hyperparameters),
        "seed": request.seed,
        "device": request.device,
        "threads": request.threads,
        "seconds": FOR_STEPS * request.seconds,
        "folder": str(folder.resolve()),
        "log": str(log.resolve()),
    }
    hello = {"protocol": worker.PROTOCOL, "backend": str(program.backend.resolve()), "training": training}
    try:
        answer, _ = process.exchange(hello, arrays, request.seconds)
    except BackendError as error:
        raise BackendError(f"The training of {request.architecture} {error}{_tail(log)}") from None
    process.kill()
    if "error" in answer:
        raise BackendError(f"The training of {request.architecture} failed: {answer['error']}{_tail(log)}")
    if not (folder / answer["file"]).is_file():
        raise BackendError(f"The training of {request.architecture} wrote no {answer['file']}{_tail(log)}")
    return answer


@contextmanager
def _followed(log: Path, on_line: Callable[[str], None]) -> Iterator[None]:
    """Tell of the lines of a file, which may be there only later, as they come."""
    ended = Event()

    def follow() -> None:
        n_told, last = 0, False
        while not last:
            last = ended.wait(POLL)
            lines = _read(log).split("\n")[:-1]
            for line in lines[n_told:]:
                on_line(line)
            n_told = len(lines)

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


def _tail(log: Path) -> str:
    """The end of the log, as the end of a message."""
    lines = _read(log).strip().splitlines()
    return "\n".join([". The end of its log:", *lines[-TAIL_LINES:]]) if lines else ""


def _card(
    request: TrainingRequest,
    structures: Sequence[LabelledStructure],
    answer: Mapping[str, Any],
    folder: Path,
    out: Path,
) -> ModelCard:
    """What the model is. Of which functional its labels are is not told, and is the user's to say where it is used."""
    weights = folder / answer["file"]
    return ModelCard(
        name=out.name,
        aliases=(),
        architecture=request.architecture,
        weights=str(out),
        weights_file=answer["file"],
        size_bytes=weights.stat().st_size,
        sha256=sha256_of(weights),
        licence=request.licence,
        citation=request.citation,
        functional="unknown",
        energy_convention="raw",
        forces="conservative",
        dtype="float64",
        cutoff=answer["cutoff"],
        magnetic_moments=False,
        elements=frozenset(_elements(structures)),
        species=tuple(sorted(_elements(structures), key=atomic_numbers.__getitem__)),
    )
