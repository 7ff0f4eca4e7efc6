"""What evaluating a system takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from uniscreen.structures.graph import AtomicGraph


@dataclass(frozen=True)
class Cost:
    """Time and memory of an evaluation, about, in those of an edge in CHGNet: so much an edge, and an angle.

    Angles are ordered pairs of edges shorter than ``angle_cutoff`` (Å) at one atom.
    """

    edge: float = 1.0
    angle: float = 0.0
    angle_cutoff: float = 0.0

    def of(self, graph: AtomicGraph) -> Tensor:
        """(B,) the work of each system."""
        centre = graph.edge_index[0]
        work = self.edge * torch.bincount(graph.system[centre], minlength=graph.n_systems).double()
        if not self.angle:
            return work
        short = graph.edge_vectors.detach().norm(dim=1) < self.angle_cutoff
        degree = torch.bincount(centre[short], minlength=len(graph.numbers))
        return work.index_add(0, graph.system, self.angle * (degree * (degree - 1)).double())


@dataclass(frozen=True)
class LargestCost:
    """That of the most costly of several potentials that evaluate a system in turn; ``members`` have cutoffs in Å."""

    members: tuple[tuple[Cost | LargestCost, float], ...]

    def of(self, graph: AtomicGraph) -> Tensor:
        """(B,) the work of each system, in a graph with the largest of the cutoffs."""
        return torch.stack([cost.of(graph.within(cutoff)) for cost, cutoff in self.members]).amax(dim=0)
