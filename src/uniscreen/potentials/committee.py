"""Several potentials as one: their mean, and how far they are apart."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from uniscreen.errors import InputError
from uniscreen.potentials.base import Evaluation, Potential
from uniscreen.potentials.cost import LargestCost
from uniscreen.potentials.saved import read_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.potentials.loading import Device, Precision
    from uniscreen.structures.graph import AtomicGraph


class Committee(Potential):
    """The mean of the members' energies, and so of their forces and stresses.

    It evaluates what all members can evaluate: elements that each of them knows, atoms that have a neighbour within
    the cutoff of each. The members' own numbers are those that they give alone.
    """

    def __init__(self, members: Sequence[Potential]) -> None:
        """Join at least two members.

        Raises:
            InputError: fewer than two members, or two of them differ in functional, energy convention or device, or
                they know no element in common.
        """
        if len(members) < 2:
            raise InputError(f"A committee has at least two members, got {len(members)}.")
        for member in members[1:]:
            _require_comparable(members[0], member)
        self.members = tuple(members)
        self.device = members[0].device
        self.dtype = min((_dtype(member) for member in members), key=lambda dtype: dtype.itemsize)
        self.card = _card(members)

    @property
    def cost(self) -> LargestCost:
        """That of the most costly member: they are evaluated in turn."""
        return LargestCost(tuple((member.cost, member.card.cutoff) for member in self.members))

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        """The mean over the members, each on its own part of the graph, and how far they are apart.

        Magnetic moments are there only where all members have them.

        Raises:
            IsolatedAtomsError: an atom has no neighbour within the cutoff of a member.
        """
        evaluations = []
        for member in self.members:
            seen = graph.within(member.card.cutoff)
            if seen is not graph:
                member.check(seen)
            evaluations.append(member.evaluate_graph(seen, stress=stress))
        energies = torch.stack([each.energy for each in evaluations])
        forces = torch.stack([each.forces for each in evaluations])
        return Evaluation(
            energy=energies.mean(dim=0),
            forces=forces.mean(dim=0),
            stress=_mean_of_all(each.stress for each in evaluations),
            magnetic_moments=_mean_of_all(each.magnetic_moments for each in evaluations),
            energy_std=(energies / graph.n_atoms).std(dim=0),
            force_std=forces.var(dim=0).sum(dim=1).sqrt(),
        )

    def check(self, graph: AtomicGraph, *, first: int = 0) -> None:
        """Raise the StructureError of the first system that a member cannot evaluate."""
        super().check(graph, first=first)
        for member in self.members:
            member.check(graph.within(member.card.cutoff), first=first)


class SavedCommittee(Committee):
    """The members of a folder that an ensemble was trained into."""

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Load the members.

        Raises:
            InputError: one is missing, or is not what it was when the folder was written.
        """
        from uniscreen.potentials.loading import load_potential

        precision: Precision = "float64" if dtype == torch.float64 else "float32"
        kind: Device = "cuda" if device.type == "cuda" else "cpu"
        super().__init__([load_potential(str(path), device=kind, dtype=precision) for path in read_members(weights)])
        if self.card.sha256 != card.sha256:
            raise InputError(f"{weights} has other members than it was written with. Train again, or copy it whole.")
        self.card = card


def _mean_of_all(values: Iterable[Tensor | None]) -> Tensor | None:
    """The mean, or None where a member has no value."""
    tensors = list(values)
    known = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(known).mean(dim=0) if len(known) == len(tensors) else None


def _require_comparable(first: Potential, other: Potential) -> None:
    """Refuse members whose energies cannot be averaged."""
    for what in ("functional", "energy_convention"):
        ours, theirs = getattr(first.card, what), getattr(other.card, what)
        if ours != theirs:
            raise InputError(
                f"{first.card.name} gives {ours} energies and {other.card.name} {theirs} ones, whose mean means "
                "nothing. Expected members of one functional and one energy convention; models of different "
                "conventions can screen together: uniscreen screen --model A --model B."
            )
    if first.card.reference_shifts != other.card.reference_shifts:
        raise InputError(
            f"{first.card.name} and {other.card.name} count their energies from other reference energies (fine-tuning, "
            "or setting them, moved them), so that the mean means nothing. Expected members of one fine-tuning; they "
            "can screen together: uniscreen screen --model A --model B."
        )
    if first.device != other.device:
        raise InputError(
            f"{first.card.name} is on {first.device} and {other.card.name} on {other.device}; load both on one device."
        )


def _dtype(member: Potential) -> torch.dtype:
    """The precision that a member computes in: its own where it says so, else its card's."""
    dtype: torch.dtype = getattr(member, "dtype", None) or getattr(torch, member.card.dtype)
    return dtype


def _card(members: Sequence[Potential]) -> ModelCard:
    """What holds of all members: the elements that each knows, the largest cutoff, the lowest precision."""
    cards = [member.card for member in members]
    elements = frozenset.intersection(*(card.elements for card in cards))
    if not elements:
        raise InputError(f"{', '.join(card.name for card in cards)} know no element in common.")
    known = all(card.sha256 for card in cards)
    return replace(
        cards[0],
        name=f"committee of {', '.join(card.name for card in cards)}",
        aliases=(),
        architecture="committee",
        weights="; ".join(card.weights for card in cards),
        weights_file="",
        size_bytes=sum(card.size_bytes for card in cards),
        sha256=hashlib.sha256("".join(card.sha256 for card in cards).encode()).hexdigest() if known else "",
        licence="; ".join(dict.fromkeys(card.licence for card in cards)),
        citation="; ".join(dict.fromkeys(card.citation for card in cards)),
        forces="conservative" if all(card.forces == "conservative" for card in cards) else "direct",
        dtype="float32" if any(_dtype(member) == torch.float32 for member in members) else "float64",
        cutoff=max(card.cutoff for card in cards),
        magnetic_moments=all(card.magnetic_moments for card in cards),
        elements=elements,
        tuned_elements=frozenset().union(*(card.tuned_elements for card in cards)),
        head="",
    )
