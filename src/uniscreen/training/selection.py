"""Which structures to compute: a few that stand for all, as a potential sees them.

Structures are compared by the gradient of the energy per atom with respect to all weights of the potential: where two
gradients are alike, training on one structure moves the energy of the other just as much, and the other teaches nothing
more. It is the feature of the neural tangent kernel (Jacot et al., NeurIPS 2018), compressed by a random sketch as by
Holzmüller et al., J. Mach. Learn. Res. 24, 164 (2023). The structures are clustered by it, and the one in the middle of
each cluster is chosen, as in DIRECT sampling (Qi et al., npj Comput. Mater. 10, 43 (2024)). No label is needed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase.io.extxyz import write_extxyz
from scipy.cluster.hierarchy import linkage

from uniscreen.durable import write_atomically
from uniscreen.errors import InputError, InvalidStructureError, StructureError
from uniscreen.potentials.trainable import TrainablePotential
from uniscreen.structures import ReadLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.potentials.base import Potential
    from uniscreen.structures import CandidateTable

SKETCH = 512
"""Length of a compressed gradient, with which distances between gradients are kept to some 5 %."""

MOST = 20_000
"""Structures that can be chosen from: clustering keeps the distances of all pairs, 3 GB for so many."""


@dataclass(frozen=True)
class Selection:
    """What was chosen.

    ``stands_for``: the places of the chosen structures in the table, and how many structures each stands for, itself
    included; the largest number first. ``atoms``: the structures that could be compared, by place; ``left_out``: why
    others could not.
    """

    stands_for: Mapping[int, int]
    atoms: Mapping[int, Atoms]
    left_out: Mapping[int, str]


def select(
    table: CandidateTable,
    n: int,
    potential: Potential,
    *,
    known: CandidateTable | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Selection:
    """Choose ``n`` structures that stand for those of a table, except for what is like one of ``known``.

    ``known`` are structures that have labels, or will have. ``on_progress`` is told how many structures the potential
    has looked at, and of how many.

    Raises:
        InputError: the potential cannot be trained; there are not more than ``n`` structures that it can evaluate, or
            more than MOST in all; or it cannot evaluate a known one.
    """
    if not isinstance(potential, TrainablePotential):
        raise InputError(
            f"{potential.card.name} has no weights to be trained, by which structures are compared. Choose a CHGNet, "
            "M3GNet, TensorNet or MACE model, or a potential fine-tuned from one (of an ensemble: members/0)."
        )
    if not 1 <= n < len(table):
        raise InputError(f"-n is {n}, expected 1 to {len(table) - 1}: {table.name} has {len(table)} structures.")
    candidates = [*table, *(known or ())]
    if len(candidates) > MOST:
        raise InputError(f"There are {len(candidates)} structures, expected at most {MOST}. Thin them out first.")
    gradient = EnergyGradient(potential)
    atoms: dict[int, Atoms] = {}
    left_out: dict[int, str] = {}
    gradients = []
    for place, candidate in enumerate(candidates):
        try:
            loaded = candidate.source.load(ReadLimits())
            gradients.append(gradient(loaded))
        except StructureError as error:
            if place >= len(table):
                raise InputError(f"{candidate.id} of the known structures cannot be compared: {error}") from None
            left_out[place] = str(error)
        else:
            if place < len(table):
                atoms[place] = loaded
        on_progress(place + 1, len(candidates))
    if n >= len(atoms):
        why = next(iter(left_out.values())).rstrip(".")
        raise InputError(f"-n is {n}, and {len(left_out)} of {len(table)} structures cannot be compared: {why}.")
    features, places = np.array(gradients), list(atoms)
    clusters = _clusters(features, n, n_known=len(gradients) - len(places))
    return Selection({places[_middle(features, rows)]: len(rows) for rows in clusters}, atoms, left_out)


def write_selection(selection: Selection, table: CandidateTable, out: Path) -> None:
    """Write the chosen structures as extxyz, with ``id``, ``group`` and ``stands_for``: what is labelled next."""
    frames, groups = [], table.groups
    for place, count in selection.stands_for.items():
        frame = selection.atoms[place].copy()
        frame.info = {"id": table.candidates[place].id, "group": groups[place], "stands_for": count}
        frame.calc = None
        frames.append(frame)
    text = io.StringIO()
    write_extxyz(text, frames)
    write_atomically(out, text.getvalue().encode())


class EnergyGradient:
    """The gradient of a structure's energy per atom by all weights of a potential, compressed to SKETCH numbers.

    Each weight is added, with a random sign, to a random one of them, always the same: inner products and distances are
    kept on average (Weinberger et al., ICML 2009).
    """

    def __init__(self, potential: TrainablePotential) -> None:
        self._potential = potential
        self._weights = [weight for weight in potential.model.parameters() if weight.requires_grad]
        source = torch.Generator().manual_seed(0)
        self._bins, self._signs = [], []
        for weight in self._weights:
            self._bins.append(torch.randint(SKETCH, (weight.numel(),), generator=source).to(potential.device))
            self._signs.append(torch.randint(2, (weight.numel(),), generator=source).to(weight) * 2 - 1)

    def __call__(self, atoms: Atoms) -> NDArray[np.float64]:
        """The compressed gradient (SKETCH,).

        Raises:
            StructureError: the potential cannot evaluate the structure.
        """
        energy = self._potential.predict(self._potential.graph([atoms])).energy.sum() / len(atoms)
        gradients = torch.autograd.grad(energy, self._weights, allow_unused=True)
        sketch = torch.zeros(SKETCH, dtype=torch.float64, device=self._potential.device)
        for bins, signs, gradient in zip(self._bins, self._signs, gradients, strict=True):
            if gradient is not None:
                sketch.index_add_(0, bins, (signs * gradient.flatten()).double())
        found = sketch.cpu().numpy()
        if not np.isfinite(found).all():
            raise InvalidStructureError("the potential's energy of it is not finite")
        return found


def _clusters(features: NDArray[np.float64], n: int, n_known: int) -> list[list[int]]:
    """Cluster rows by Ward's method until ``n`` clusters hold none of the last ``n_known`` rows; the largest first."""
    n_free = len(features) - n_known
    clusters = {row: [row] for row in range(len(features))}
    known = [row >= n_free for row in range(len(features))]
    for node, (one, other) in enumerate(linkage(features, "ward")[:, :2].astype(int).tolist(), start=len(features)):
        if n_free <= n:
            break
        clusters[node] = clusters.pop(one) + clusters.pop(other)
        known.append(known[one] or known[other])
        n_free -= not (known[one] and known[other])
    return sorted((rows for node, rows in clusters.items() if not known[node]), key=lambda rows: (-len(rows), rows))


def _middle(features: NDArray[np.float64], rows: list[int]) -> int:
    """The row that is nearest to the mean of some."""
    return rows[int(np.argmin(np.linalg.norm(features[rows] - features[rows].mean(axis=0), axis=1)))]
