"""MACE (Batatia et al. 2022): the models of the mace package on uniscreen's batched graphs."""

from __future__ import annotations

import copy
import hashlib
import io
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from ase.data import chemical_symbols

from uniscreen.errors import InputError
from uniscreen.potentials import mace_architecture
from uniscreen.potentials.base import Evaluation, Prediction
from uniscreen.potentials.cards import ModelCard
from uniscreen.potentials.cost import Cost
from uniscreen.potentials.mace_export import MACEExporter
from uniscreen.potentials.mace_modules import streamlined
from uniscreen.potentials.mace_package import quietly_and_without_traces
from uniscreen.potentials.trainable import TrainablePotential, by_atomic_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph

log = logging.getLogger(__name__)

_RUNNABLE = ("MACE", "ScaleShiftMACE")
"""The classes of mace that predict an energy from positions, cell and species alone."""

WORK_OF_EDGE = 2
"""On a CPU, batches of 4000 edges took the least time with a model of the size of MACE-MP-0 small, 8000 of CHGNet."""


class MACEPotential(TrainablePotential):
    """A MACE model behind the contract: total energy in eV, raw as in its training labels.

    Until its weights change it is evaluated on a faster network: on CUDA on cuequivariance's kernels, where they are
    installed, on a CPU on the parts in ``mace_modules``. Losses are made with, and saved is, mace's own network.
    """

    blocks: ClassVar = {
        "embedding": ("node_embedding", "radial_embedding", "spherical_harmonics"),
        "interaction": ("interactions", "products", "pair_repulsion_fn"),
        "readout": ("readouts", "scale_shift"),
    }
    references_are_isolated_atoms: ClassVar[bool] = True

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Load the pickled model of a card, or a folder of ours.

        Raises:
            InputError: the file is not the card's (its checksum, elements or cutoff), or the model has several heads
                and the card names none of them.
        """
        super().__init__(card, weights, device, dtype)
        numbers = self.model.atomic_numbers.tolist()
        self.head = _head_index(card.name, _heads(self.model), card.head)
        self._fast = _accelerated(card.name, self.model, device).eval()
        self._converted = _changes(self.model)
        self._species = torch.zeros(len(chemical_symbols), dtype=torch.long, device=device)
        self._species[numbers] = torch.arange(len(numbers), device=device)
        self._n_species = len(numbers)

    @classmethod
    def read(cls, card: ModelCard, weights: Path) -> tuple[Any, Tensor]:
        """The pickled model, with the atomic energies of the card's head taken out: they are the references."""
        model = _unpickle(weights, _verified(card, weights))
        card.require_match([chemical_symbols[z] for z in model.atomic_numbers.tolist()], float(model.r_max))
        numbers = model.atomic_numbers.tolist()
        by_head = model.atomic_energies_fn.atomic_energies.view(-1, len(numbers))
        energies = by_head[_head_index(card.name, _heads(model), card.head)]
        references = by_atomic_number(dict(zip(numbers, energies.tolist(), strict=True)))
        energies.zero_()
        mace_architecture.complete(model)
        return model, references

    @staticmethod
    def build(architecture: Mapping[str, Any]) -> Any:
        """A network by the arguments of mace's constructor."""
        with quietly_and_without_traces():
            import mace.modules  # noqa: F401  # before e3nn, which can read its constants only under mace's setting

            return mace_architecture.build(architecture)

    def architecture(self) -> dict[str, Any]:
        """The arguments of mace's constructor that make this network."""
        return mace_architecture.describe(self.model)

    def exporter(self) -> MACEExporter:
        """What writes it for mace."""
        return MACEExporter(self.model, tuple(_heads(self.model)), self.head, self._references)

    @property
    def cost(self) -> Cost:
        """Edges, which take up more of a cache than those of CHGNet."""
        return Cost(edge=WORK_OF_EDGE)

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        """As every potential, but on the faster network while that has the same weights."""
        if _changes(self.model) != self._converted:
            return super().evaluate_graph(graph, stress=stress)
        faster = copy.copy(self)  # other threads may be evaluating, or saving, this one
        faster.model = self._fast
        return super(MACEPotential, faster).evaluate_graph(graph, stress=stress)

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
        return Prediction(energy=self.reference_energy(graph).index_add(0, graph.system, atoms))


def model_file_card(path: Path, *, trust: bool) -> ModelCard:
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
    with quietly_and_without_traces():
        import mace.modules  # noqa: F401  # before e3nn, which can read its constants only under mace's setting

        try:
            model = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
        except Exception as error:  # a pickle may name any module, and its code may raise anything
            raise InputError(f"{path} cannot be read as a MACE model: {type(error).__name__}: {error}") from error
    kind = type(model).__name__
    if kind not in _RUNNABLE:
        raise InputError(f"{path} holds a {kind}, expected one of mace's models {', '.join(_RUNNABLE)}.")
    if hasattr(model, "joint_embedding"):
        raise InputError(f"{path} needs {', '.join(model.embedding_specs)} as input, which a crystal does not have.")
    return model


def _accelerated(name: str, model: Any, device: torch.device) -> Any:
    """The model on cuequivariance's kernels on CUDA, where they are installed, and streamlined on a CPU; else as is."""
    if device.type == "cuda" and find_spec("cuequivariance_torch") is None:
        log.info("%s runs without cuequivariance, which is not installed: pip install cuequivariance-torch", name)
        return model
    try:
        return on_cuequivariance(model, device) if device.type == "cuda" else streamlined(model)
    except Exception as error:  # a conversion of foreign models of many versions: the model itself still runs
        log.warning("%s runs as mace has it, slower: %s: %s", name, type(error).__name__, error)
        return model


def _changes(model: Any) -> list[tuple[int, int, int]]:
    """What tells whether the parameters are still the same ones with the same values, as torch counts changes.

    It does not count other memory: that of ``parameter.data = ...``, as in ``vector_to_parameters``.
    """
    return [(id(parameter), parameter.data_ptr(), parameter._version) for parameter in model.parameters()]


def on_cuequivariance(model: Any, device: torch.device) -> Any:
    """The model as mace converts it to cuequivariance: other kernels, the same weights and numbers."""
    before = torch.get_default_dtype()
    try:
        with quietly_and_without_traces():
            from mace.cli.convert_e3nn_cueq import run

            return run(model, device=device.type)
    finally:
        torch.set_default_dtype(before)  # which the conversion changes


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
