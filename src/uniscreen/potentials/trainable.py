"""Potentials with weights: how they are read, split into blocks, re-referenced and saved."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from ase.data import atomic_numbers, chemical_symbols

from uniscreen.errors import InputError
from uniscreen.potentials import saved
from uniscreen.potentials.base import DifferentiablePotential

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Module, Parameter

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.potentials.exporter import Exporter
    from uniscreen.structures.graph import AtomicGraph

Block = Literal["embedding", "interaction", "readout"]
BLOCKS: tuple[Block, ...] = get_args(Block)


class TrainablePotential(DifferentiablePotential):
    """A network plus a reference energy for each atom, whose weights can be changed, saved and loaded.

    A subclass says in ``blocks`` which parts of its network belong to which block, and supplies ``read``, ``build``,
    ``architecture`` and ``predict``. Reference energies are no parameters: they are kept apart from the network in
    float64, since those of some codes (-600 eV) leave float32 no digits for the rest.
    """

    blocks: ClassVar[Mapping[Block, tuple[str, ...]]]
    """The attributes of the network that make up each block."""

    references_are_isolated_atoms: ClassVar[bool] = False
    """Whether a reference energy is that of an isolated atom; else they are fitted to compounds."""

    model: Any
    """The network, a torch.nn.Module with the attributes that its own package gives it."""

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Load the weights of a card, or those of a folder written by ``save``.

        Raises:
            InputError: the weights cannot be read, or are not those that the card or the folder describes.
        """
        self.card = card
        self.device = device
        self.dtype = dtype
        if saved.is_saved(weights):
            content = saved.read(weights)
            references = content.tensors.pop(saved.REFERENCES)
            model = saved.restore(type(self), content, dtype)
        else:
            model, references = self.read(card, weights)
        self.model = model.to(device=device, dtype=dtype).eval()
        self._references = references.to(device=device, dtype=torch.float64)

    @classmethod
    @abstractmethod
    def read(cls, card: ModelCard, weights: Path) -> tuple[Module, Tensor]:
        """The network in the published weights of a card, and the reference energies by ``by_atomic_number``."""

    @staticmethod
    @abstractmethod
    def build(architecture: Mapping[str, Any]) -> Module:
        """A network with untrained weights."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """What ``build`` needs to make this network, in the types that JSON has.

        Raises:
            InputError: the network is one that cannot be described.
        """

    def exporter(self) -> Exporter:
        """What writes this potential as its own package does; an adapter may supply it.

        Raises:
            InputError: the adapter has none, or the network is one that its package cannot read.
        """
        raise InputError(f"{self.card.name} cannot be exported: its adapter, {type(self).__name__}, has no exporter.")

    def parameter_blocks(self) -> dict[Block, list[tuple[str, Parameter]]]:
        """The parameters of the network by block: each in exactly one."""
        found: dict[Block, list[tuple[str, Parameter]]] = {block: [] for block in BLOCKS}
        for name, parameter in self.model.named_parameters():
            owners = [block for block, parts in self.blocks.items() if name.partition(".")[0] in parts]
            assert len(owners) == 1, f"{name} of {self.card.architecture} is in the blocks {owners}, expected one"
            found[owners[0]].append((name, parameter))
        return found

    @property
    def reference_energies(self) -> dict[str, float]:
        """What every atom of an element adds to the total energy, in eV, for the elements of the card.

        Setting it changes the elements that are given and leaves the others as they are. The card keeps by how much.
        """
        symbols = sorted(self.card.elements, key=lambda symbol: int(atomic_numbers[symbol]))
        return {symbol: float(self._references[atomic_numbers[symbol]]) for symbol in symbols}

    @reference_energies.setter
    def reference_energies(self, energies: Mapping[str, float]) -> None:
        for symbol, energy in energies.items():
            if symbol not in self.card.elements:
                raise InputError(
                    f"{self.card.name} has no reference energy for {symbol}: it does not know the element."
                )
            if not math.isfinite(energy):
                raise InputError(f"The reference energy of {symbol} is {energy}, expected a number of eV.")
        before, references = self.reference_energies, self._references.clone()
        for symbol, energy in energies.items():
            references[atomic_numbers[symbol]] = energy
        self._references = references
        shifts = {symbol: energy - before[symbol] for symbol, energy in energies.items()}
        self.card = replace(self.card, reference_shifts=self.card.shifted_by(shifts))

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Give the network untrained weights, by a seed; reference energies and buffers stay."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = self.build(self.architecture())
        values = dict(fresh.named_parameters())
        for name, parameter in self.model.named_parameters():
            parameter.copy_(values[name])

    def reference_energy(self, graph: AtomicGraph) -> Tensor:
        """(B,) eV, the sum of the reference energies of each system's atoms."""
        zero = self._references.new_zeros(graph.n_systems)
        return zero.index_add(0, graph.system, self._references[graph.numbers])

    def save(self, folder: Path) -> None:
        """Write a folder that ``load_potential`` loads and that gives the same numbers; see ``saved``.

        Raises:
            InputError: the network cannot be described, so that it could not be loaded.
        """
        tensors = {saved.NETWORK + name: value for name, value in self.model.state_dict().items()}
        tensors[saved.REFERENCES] = self._references
        saved.write(folder, self.card, self.dtype, self.architecture(), tensors)


def by_atomic_number(energies: Mapping[int, float]) -> Tensor:
    """(119,) float64: the energies (eV) at the indices of their atomic numbers, and 0 elsewhere."""
    table = torch.zeros(len(chemical_symbols), dtype=torch.float64)
    for number, energy in energies.items():
        table[number] = energy
    return table
