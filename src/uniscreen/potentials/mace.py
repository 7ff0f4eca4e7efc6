"""MACE (Batatia et al. 2022): the models of the mace package on uniscreen's batched graphs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import pickle
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from ase.data import atomic_numbers, chemical_symbols

from uniscreen.errors import InputError
from uniscreen.potentials.base import Prediction, TrainablePotential
from uniscreen.potentials.cards import ModelCard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from uniscreen.structures.graph import AtomicGraph

log = logging.getLogger(__name__)

_LOAD_VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_RUNNABLE = ("MACE", "ScaleShiftMACE")
"""The classes of mace that predict an energy from positions, cell and species alone."""


class MACEPotential(TrainablePotential):
    """A MACE model behind the contract: total energy in eV, raw as in its training labels."""

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Load the pickled model of a card.

        Raises:
            InputError: the file is not the card's (its checksum, elements or cutoff), or the model has several heads
                and the card names none of them.
        """
        model = _unpickle(weights, _verified(card, weights))
        numbers = model.atomic_numbers.tolist()
        _require_match(card, numbers, float(model.r_max))
        self.card = card
        self.device = device
        self.dtype = dtype
        self.head = _head_index(card.name, _heads(model), card.head)
        self.model = _accelerated(card.name, model.to(device=device, dtype=dtype), device).eval()
        self._species = torch.zeros(len(chemical_symbols), dtype=torch.long, device=device)
        self._species[numbers] = torch.arange(len(numbers), device=device)
        self._n_species = len(numbers)

    def predict(self, graph: AtomicGraph) -> Prediction:
        """Run MACE on the batch.

        Positions and cells enter MACE only as ``positions[receiver] - positions[sender] + shifts``. That difference is
        taken here, in float64 and with the strain in it; rounding it alone keeps float32 accurate far from the origin.
        """
        data = {
            "positions": torch.zeros(len(graph.numbers), 3, dtype=self.dtype, device=self.device),
            "shifts": graph.edge_vectors.to(self.dtype),
            "cell": graph.cells.detach().reshape(-1, 3).to(self.dtype),
            "node_attrs": torch.nn.functional.one_hot(self._species[graph.numbers], self._n_species).to(self.dtype),
            "edge_index": graph.edge_index,
            "batch": graph.system,
            "ptr": graph.ptr,
            "head": torch.full((graph.n_systems,), self.head, device=self.device),
        }
        atoms = self.model(data, compute_force=False)["node_energy"].double()
        return Prediction(energy=atoms.new_zeros(graph.n_systems).index_add(0, graph.system, atoms))


def model_file_card(path: Path, *, trust: bool, head: str = "") -> ModelCard:
    """The model card of a ``.model`` file that no card describes: what the file itself tells.

    Raises:
        InputError: the file is not trusted, or holds no MACE model that can be run.
    """
    content = path.read_bytes()
    if not trust:
        raise _untrusted(path)
    model = _unpickle(path, content)
    return ModelCard(
        name=path.name,
        aliases=(),
        architecture="MACE",
        weights=str(path),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="unknown",
        citation="unknown",
        functional="unknown",
        energy_convention="raw",
        forces="conservative",
        dtype="float64" if next(model.parameters()).dtype == torch.float64 else "float32",
        cutoff=float(model.r_max),
        magnetic_moments=False,
        elements=frozenset(chemical_symbols[z] for z in model.atomic_numbers.tolist()),
        head=head,
    )


def _verified(card: ModelCard, path: Path) -> bytes:
    """The content of a file that has the card's checksum; a card without one vouches for no file."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise _untrusted(path)
    return content


def _untrusted(path: Path) -> InputError:
    return InputError(
        f"{path} is a pickled Python module: loading it runs its code. If you trust its origin, "
        "pass --trust-model-file (in Python: trust_model_file=True)."
    )


def _unpickle(path: Path, content: bytes) -> Any:
    with _quietly_and_without_traces():
        import mace.modules  # noqa: F401  # before e3nn, which can read its constants only under mace's setting

        try:
            model = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
        except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
            raise InputError(f"{path} cannot be read as a MACE model: {error}") from error
    kind = type(model).__name__
    if kind not in _RUNNABLE:
        raise InputError(f"{path} holds a {kind}, expected one of mace's models {', '.join(_RUNNABLE)}.")
    if hasattr(model, "joint_embedding"):
        raise InputError(f"{path} needs {', '.join(model.embedding_specs)} as input, which a crystal does not have.")
    return model


def _accelerated(name: str, model: Any, device: torch.device) -> Any:
    """The model on cuequivariance's kernels, where that is installed and the device is CUDA; else as it is."""
    if device.type != "cuda":
        return model
    if find_spec("cuequivariance_torch") is None:
        log.info("%s runs without cuequivariance, which is not installed: pip install cuequivariance-torch", name)
        return model
    try:
        return on_cuequivariance(model, device)
    except Exception as error:  # a conversion of foreign models of many versions: the model itself still runs
        log.warning("%s runs without cuequivariance: %s: %s", name, type(error).__name__, error)
        return model


def on_cuequivariance(model: Any, device: torch.device) -> Any:
    """The model as mace converts it to cuequivariance: other kernels, the same weights and numbers."""
    before = torch.get_default_dtype()
    try:
        with _quietly_and_without_traces():
            from mace.cli.convert_e3nn_cueq import run

            return run(model, device=device.type)
    finally:
        torch.set_default_dtype(before)  # which the conversion changes


@contextlib.contextmanager
def _quietly_and_without_traces() -> Iterator[None]:
    """Undo what importing mace does to the process: it prints, warns and lets torch.load unpickle anything."""
    before = os.environ.get(_LOAD_VARIABLE)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ.pop(_LOAD_VARIABLE, None)
        if before is not None:
            os.environ[_LOAD_VARIABLE] = before


def _require_match(card: ModelCard, numbers: list[int], cutoff: float) -> None:
    missing = card.elements - {chemical_symbols[z] for z in numbers}
    if missing:
        listed = ", ".join(sorted(missing, key=lambda symbol: atomic_numbers[symbol]))
        raise InputError(f"The weights of {card.name} do not know {listed}, which its card lists.")
    if cutoff != card.cutoff:
        raise InputError(f"The weights of {card.name} have a cutoff of {cutoff:g} Å, expected {card.cutoff:g} Å.")


def _heads(model: Any) -> list[str]:
    """The heads of a model; one saved before mace had heads has the single one that mace gives a new model."""
    return list(getattr(model, "heads", ["Default"]))


def _head_index(name: str, heads: list[str], head: str) -> int:
    """The number of the head that is asked for by name, or of the only one."""
    if not head and len(heads) == 1:
        return 0
    if head not in heads:
        asked = f"has no head {head!r}" if head else "has several heads, trained on different data"
        raise InputError(f"{name} {asked}. Name one of its heads: {', '.join(heads)}.")
    return heads.index(head)
