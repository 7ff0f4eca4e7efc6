"""What the potentials of matgl share: a network with its weights, an energy scale and reference energies."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from ase.data import atomic_numbers, chemical_symbols

from uniscreen.errors import InputError
from uniscreen.potentials.base import Prediction
from uniscreen.potentials.matgl_description import DESCRIPTION_FILE, STATE_FILE, read_description
from uniscreen.potentials.matgl_export import MatglExporter
from uniscreen.potentials.trainable import TrainablePotential, by_atomic_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.structures.graph import AtomicGraph

log = logging.getLogger(__name__)


_SCALE = {"data_std": 1.0, "data_mean": 0.0}
"""The scale (eV) of what the network gives for an atom, and what is added for a crystal; named as by matgl."""


class MatglPotential(TrainablePotential):
    """A network of matgl behind the contract: total energy in eV, raw as in its training labels.

    The scale of the energies belongs to the network, as buffers: it is saved and not trained.
    """

    network: ClassVar[str]

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Load the model in a folder that matgl saved, or one of ours.

        Raises:
            InputError: the folder does not hold a model of the known classes, or not that of the card.
        """
        super().__init__(card, weights, device, dtype)
        numbers = [atomic_numbers[symbol] for symbol in self.architecture()["element_types"]]
        self._species = torch.zeros(len(chemical_symbols), dtype=torch.long, device=device)
        self._species[numbers] = torch.arange(len(numbers), device=device)

    @classmethod
    def read(cls, card: ModelCard, weights: Path) -> tuple[Any, Tensor]:
        """The network and the scale of its energies in a folder that matgl saved; its element references."""
        description = read_description(weights)
        if description.network != cls.network:
            raise InputError(f"{weights} holds a {description.network}, expected a {cls.network}.")
        card.require_match(description.elements, description.cutoff)
        state = torch.load(weights / STATE_FILE, map_location="cpu", weights_only=True)
        model = _with_weights(weights, cls.build(description.arguments), state)
        return model, _references(weights, state, description.elements)

    def architecture(self) -> dict[str, Any]:
        """The arguments that matgl's constructor was given."""
        return dict(self.model._init_args)

    @staticmethod
    @abstractmethod
    def network_class() -> Any:
        """The class of matgl, or one derived from it, that matgl itself evaluates this network with."""

    def exporter(self) -> MatglExporter:
        """What writes it for matgl."""
        state = self.model.state_dict()
        scale = {name: state.pop(name) for name in _SCALE}
        return MatglExporter(self.network_class(), self.architecture(), state, scale, self._references)

    @abstractmethod
    def atomic_energies(self, graph: AtomicGraph, species: Tensor) -> Tensor:
        """(N,) the network's output for atoms of the species (N,), before it is scaled."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        """Sum the atoms' scaled and shifted energies."""
        atoms = self.atomic_energies(graph, self._species[graph.numbers]).double() * self.model.data_std
        shift = self.model.data_mean.double().expand(graph.n_systems)
        return Prediction(energy=shift.index_add(0, graph.system, atoms) + self.reference_energy(graph))


def prepared(network: Any) -> Any:
    """The network with a place for the scale of its energies, and with what is not to be trained as buffers.

    Of the latter matgl makes parameters that need no gradient: the centres of Gaussians.
    """
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(module, name)
                module.register_buffer(name, parameter.detach())
    for name, value in _SCALE.items():
        network.register_buffer(name, torch.tensor(value))
    return network


def _with_weights(folder: Path, network: Any, state: Mapping[str, Tensor]) -> Any:
    """The network with the weights of its own in the state, in their precision, and with the scale of its energies.

    As matgl does, weights that the network does not have are ignored, but none of its own may be missing.
    """
    prefix = "model."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if any(value.dtype == torch.float64 for value in own.values()):
        network = network.double()
    try:
        missing, unexpected = network.load_state_dict(own, strict=False)
    except RuntimeError as error:  # of another shape
        raise InputError(f"{folder / STATE_FILE} does not fit {folder / DESCRIPTION_FILE}: {error}") from error
    lacking = sorted(set(missing) & {name for name, _ in network.named_parameters()})
    if lacking:
        raise InputError(f"{folder / STATE_FILE} lacks {len(lacking)} parameters of the network, e.g. {lacking[0]}.")
    if unexpected:
        log.info("%s holds weights that the network does not have, e.g. %s", folder / STATE_FILE, unexpected[0])
    for name in _SCALE:
        network.get_buffer(name).fill_(float(state[name]))
    return network


def _references(folder: Path, state: Mapping[str, Tensor], elements: Sequence[str]) -> Tensor:
    """The reference energies (eV) of the elements, by ``by_atomic_number``; zero where the potential has none."""
    offsets = state.get("element_refs.property_offset")
    if offsets is None:
        return by_atomic_number({})
    if offsets.ndim != 1 or len(offsets) < len(elements):
        raise InputError(
            f"{folder / STATE_FILE} has reference energies of shape {tuple(offsets.shape)}, "
            f"expected ({len(elements)},)."
        )
    energies = offsets[: len(elements)].tolist()
    return by_atomic_number({atomic_numbers[symbol]: e for symbol, e in zip(elements, energies, strict=True)})
