"""A potential whose model runs in another Python environment."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from uniscreen.errors import BackendError, BackendUnavailableError
from uniscreen.potentials.base import CUDA_OUT_OF_MEMORY, Evaluation, Potential
from uniscreen.potentials.isolated import worker
from uniscreen.potentials.isolated.program import Program, start_worker
from uniscreen.potentials.isolated.trained import check_files, is_trained

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from torch import Tensor

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.potentials.isolated.process import WorkerProcess
    from uniscreen.structures.graph import AtomicGraph

OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "_ArrayMemoryError", "ResourceExhaustedError")
"""The exceptions of a worker that mean it: those of torch, Python, NumPy and TensorFlow."""


@dataclass(frozen=True)
class TimeLimits:
    """Seconds until a worker is taken to hang: to load its model, and for a batch as a whole and for each atom."""

    load: float = 600.0
    batch: float = 120.0
    atom: float = 1.0


class IsolatedPotential(Potential):
    """Evaluates in a worker process that runs in the backend's own environment.

    The worker gets positions, cells and atomic numbers that have been checked here. When it dies, does not answer in
    time or writes what is no answer, that batch raises, and the next one gets a new worker.
    """

    def __init__(
        self,
        card: ModelCard,
        weights: Path,
        device: torch.device,
        dtype: torch.dtype,
        *,
        program: Program | None = None,
        options: Mapping[str, Any] | None = None,
        limits: TimeLimits | None = None,
    ) -> None:
        """Start the worker, which loads the model.

        Args:
            card: what the model is.
            weights: its file or folder.
            device: where the worker computes, and where evaluations are put.
            dtype: what the worker computes in; evaluations are float64.
            program: what the worker runs; that of the card's architecture unless given.
            options: what else the backend's ``load`` is to know, as JSON.
            limits: when to give up.

        Raises:
            BackendUnavailableError: the worker does not start, or cannot load the model.
            InputError: the model does not have the elements or the cutoff of its card, or the files of a folder are not
                those that were written.
        """
        if is_trained(weights):
            check_files(weights)
        self.card = card
        self.device = device
        self.dtype = dtype
        self.limits = limits or TimeLimits()
        self.evaluation_seconds = 0.0
        self._program = program or Program.of(card.architecture)
        self._settings = {
            "weights": str((weights / card.weights_file).resolve()),
            "species": list(card.species),
            "device": str(device),
            "dtype": str(dtype).removeprefix("torch."),
            **(options or {}),
        }
        self._lock = threading.Lock()
        self._process = self._start()

    @property
    def worker_pid(self) -> int:
        """The process id of the worker, also of one that has failed since."""
        return self._process.pid

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        """Have the worker evaluate the batch. ``evaluation_seconds`` is then what it took there, without the transfer.

        Raises:
            torch.OutOfMemoryError: the batch needs more memory than the worker can have.
            BackendError: the worker failed on this batch in another way.
            BackendUnavailableError: it failed before and cannot be started again.
        """
        arrays = {name: getattr(graph, name).cpu().numpy() for name in ("positions", "cells", "pbc", "numbers", "ptr")}
        header = {"stress": stress, "deterministic": torch.are_deterministic_algorithms_enabled()}
        seconds = self.limits.batch + self.limits.atom * len(graph.numbers)
        with self._lock:
            if not self._process.running:
                self._process = self._start()
            try:
                answer, results = self._process.exchange(header, arrays, seconds)
            except BackendError as error:
                batch = f"{len(graph.numbers)} atoms in {graph.n_systems} structures"
                raise BackendError(f"The worker of {self.card.name} {error} (on a batch of {batch})") from None
        if "error" in answer:
            kind, text = answer["error"].partition(":")[0], f"{self.card.name}: {answer['error']}"
            out_of_memory = kind in OUT_OF_MEMORY or CUDA_OUT_OF_MEMORY in text
            raise torch.OutOfMemoryError(text) if out_of_memory else BackendError(text)
        self.evaluation_seconds = answer["seconds"]
        n_systems, n_atoms = graph.n_systems, len(graph.numbers)
        moments = self.card.magnetic_moments
        return Evaluation(
            energy=self._tensor(results, "energy", (n_systems,)),
            forces=self._tensor(results, "forces", (n_atoms, 3)),
            stress=self._tensor(results, "stress", (n_systems, 3, 3)) if stress else None,
            magnetic_moments=self._tensor(results, "magnetic_moments", (n_atoms,)) if moments else None,
        )

    def _tensor(self, results: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> Tensor:
        """One array of an answer, on our device."""
        array = results.get(name)
        if array is None or array.shape != shape or array.dtype.kind != "f":
            found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
            raise BackendError(f"The worker of {self.card.name} gave {found} as {name}, expected floats {shape}")
        return torch.as_tensor(array, dtype=torch.float64, device=self.device)

    def _start(self) -> WorkerProcess:
        """A worker that has loaded the model."""
        process = start_worker(self._program, torch.get_num_threads(), self.card.name)
        hello = {"protocol": worker.PROTOCOL, "backend": str(self._program.backend), "settings": self._settings}
        try:
            answer, _ = process.exchange(hello, {}, self.limits.load)
        except BackendError as error:
            raise BackendUnavailableError(f"The worker of {self.card.name} {error} (as it started)") from None
        if answer.get("protocol") != worker.PROTOCOL or "error" in answer:
            process.kill()
            said = answer.get("error", f"it speaks protocol {answer.get('protocol')}, expected {worker.PROTOCOL}")
            raise BackendUnavailableError(f"The worker of {self.card.name} cannot load the model: {said}")
        self.card.require_match(answer["elements"], answer["cutoff"])
        return process
