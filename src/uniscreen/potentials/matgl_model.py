"""What the potentials of matgl share: a network with its weights, an energy scale and reference energies."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from ase.data import atomic_numbers, chemical_symbols

from uniscreen.errors import InputError
from uniscreen.potentials.base import Prediction, TrainablePotential
from uniscreen.potentials.matgl_description import DESCRIPTION_FILE, STATE_FILE, read_description

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.potentials.matgl_description import Description
    from uniscreen.structures.graph import AtomicGraph

log = logging.getLogger(__name__)


class MatglPotential(TrainablePotential):
    """A network of matgl behind the contract: total energy in eV, raw as in its training labels."""

    network: ClassVar[str]
    model: Any

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Load the model in a folder that matgl saved.

        Raises:
            InputError: the folder does not hold a model of the known classes, or not that of the card.
        """
        description = read_description(weights)
        if description.network != self.network:
            raise InputError(f"{weights} holds a {description.network}, expected a {self.network}.")
        _require_match(card, description)
        state = torch.load(weights / STATE_FILE, map_location="cpu", weights_only=True)
        self.card = card
        self.device = device
        self.dtype = dtype
        self.model = _with_weights(weights, self.build(description.arguments), state)
        self.model = self.model.to(device=device, dtype=dtype).eval()
        self.energy_scale = float(state["data_std"])
        self.energy_shift = float(state["data_mean"])
        self._references = _references(weights, state, len(description.elements)).to(device)  # (species,) eV
        numbers = [atomic_numbers[symbol] for symbol in description.elements]
        self._species = torch.zeros(len(chemical_symbols), dtype=torch.long, device=device)
        self._species[numbers] = torch.arange(len(numbers), device=device)

    @abstractmethod
    def build(self, arguments: Mapping[str, Any]) -> Any:
        """The network with the given arguments and any weights."""

    @abstractmethod
    def atomic_energies(self, graph: AtomicGraph, species: Tensor) -> Tensor:
        """(N,) the network's output for atoms of the species (N,), before it is scaled."""

    def predict(self, graph: AtomicGraph) -> Prediction:
        """Sum the atoms' scaled and shifted energies."""
        species = self._species[graph.numbers]
        atoms = self.atomic_energies(graph, species).double() * self.energy_scale + self._references[species]
        energy = atoms.new_full((graph.n_systems,), self.energy_shift).index_add(0, graph.system, atoms)
        return Prediction(energy=energy)


def _require_match(card: ModelCard, description: Description) -> None:
    missing = card.elements - set(description.elements)
    if missing:
        listed = ", ".join(sorted(missing, key=lambda symbol: atomic_numbers[symbol]))
        raise InputError(f"The weights of {card.name} do not know {listed}, which its card lists.")
    if description.cutoff != card.cutoff:
        raise InputError(
            f"The weights of {card.name} have a cutoff of {description.cutoff:g} Å, expected {card.cutoff:g} Å."
        )


def _with_weights(folder: Path, network: Any, state: Mapping[str, Tensor]) -> Any:
    """The network with the weights of its own in the state, in their precision.

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
    return network


def _references(folder: Path, state: Mapping[str, Tensor], n_species: int) -> Tensor:
    """(species,) eV, the reference energy of an atom of each species; zero where the potential has none."""
    offsets = state.get("element_refs.property_offset")
    if offsets is None:
        return torch.zeros(n_species, dtype=torch.float64)
    if offsets.ndim != 1 or len(offsets) < n_species:
        raise InputError(
            f"{folder / STATE_FILE} has reference energies of shape {tuple(offsets.shape)}, expected ({n_species},)."
        )
    return offsets.double()
