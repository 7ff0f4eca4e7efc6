"""What must hold at every step; a system that breaks a guard is taken out of the batch, the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from uniscreen.potentials.base import Evaluation
    from uniscreen.structures.graph import AtomicGraph

MIN_DISTANCE = 0.5
"""Å. No bond is this short (H2: 0.74 Å)."""

MAX_FORCE = 1000.0
"""eV/Å. Beyond any structure that a potential has seen."""

MAX_VOLUME_RATIO = 5.0
"""Largest growth or shrinkage of the volume that a relaxation may bring."""

NO_STRESS = (
    "the model gives no stress for what is not periodic in all directions, so its cell cannot be relaxed: make it "
    "periodic in all, or relax the atoms alone (relax_cell=False)"
)

MAX_LOG_STRAIN = 1.5
"""Largest component of the log-strain; e^1.5 is a stretch of 4.5."""

Broken = dict[int, str]
"""System -> what it broke, in words."""


def broken_cells(cells: Tensor, positions: Tensor, system: Tensor, log_strain: Tensor, volumes0: Tensor) -> Broken:
    """Systems whose new geometry cannot be evaluated: not finite, or the cell has run away."""
    finite = torch.isfinite(cells).all(dim=(1, 2)) & _all_of_system(torch.isfinite(positions), system, len(cells))
    ratio = torch.linalg.det(torch.where(torch.isfinite(cells), cells, 0.0)).abs() / volumes0
    growth = torch.maximum(ratio, 1.0 / ratio)
    strain = log_strain.abs().amax(dim=(1, 2))
    broken: Broken = {}
    if not bool((~finite | (growth > MAX_VOLUME_RATIO) | (strain > MAX_LOG_STRAIN)).any()):  # the one wait for a device
        return broken
    for i in _where(~finite):
        broken[i] = "the positions or the cell are no longer finite"
    for i in _where(finite & (growth > MAX_VOLUME_RATIO)):
        broken[i] = f"the volume changed by a factor of {float(ratio[i]):.3g} (limit {MAX_VOLUME_RATIO:g})"
    for i in _where(finite & (strain > MAX_LOG_STRAIN)):
        broken.setdefault(i, f"the cell's log-strain reached {float(strain[i]):.3g} (limit {MAX_LOG_STRAIN:g})")
    return broken


def short_contacts(graph: AtomicGraph) -> Broken:
    """Systems in which two atoms are closer than MIN_DISTANCE."""
    shortest = graph.shortest_distances()
    return {
        i: f"two atoms came within {float(shortest[i]):.3f} Å (limit {MIN_DISTANCE:g} Å)"
        for i in _where(shortest < MIN_DISTANCE)
    }


def isolated_atoms(graph: AtomicGraph) -> Broken:
    """Systems in which an atom has lost all neighbours."""
    count = torch.zeros(graph.n_systems, dtype=torch.long, device=graph.system.device)
    count.index_add_(0, graph.system, graph.isolated_atoms().long())
    return {
        i: f"{int(count[i])} atom(s) have no neighbour within the model's cutoff of {graph.cutoff:g} Å"
        for i in _where(count > 0)
    }


def broken_graphs(graph: AtomicGraph) -> dict[int, tuple[Literal["isolated_atoms", "exploded"], str]]:
    """Systems that cannot be evaluated as they are now, with the status and the reason of their end."""
    if not bool(graph.isolated_atoms().any() | (graph.shortest_distances() < MIN_DISTANCE).any()):
        return {}
    return {
        **{i: ("isolated_atoms", text) for i, text in isolated_atoms(graph).items()},
        **{i: ("exploded", text) for i, text in short_contacts(graph).items()},
    }


def finite_evaluations(evaluation: Evaluation, system: Tensor, *, stress: bool) -> Tensor:
    """(B,) whether energy, forces and, where it is needed, stress of a system are finite."""
    assert evaluation.stress is not None
    finite = torch.isfinite(evaluation.energy)
    if stress:
        finite &= torch.isfinite(evaluation.stress).all(dim=(1, 2))
    return finite & _all_of_system(torch.isfinite(evaluation.forces), system, len(finite))


def without_stress(evaluation: Evaluation, graph: AtomicGraph) -> Tensor:
    """(B,) whether the model gave all but a stress, as some do for what is not periodic in all directions."""
    assert evaluation.stress is not None
    given = finite_evaluations(evaluation, graph.system, stress=False)
    return given & ~graph.pbc.all(dim=1) & torch.isnan(evaluation.stress).all(dim=(1, 2))


def broken_evaluation(*, finite: bool, max_force: float) -> str:
    """What a system's evaluation breaks, in words; nothing where it is as it should be."""
    if not finite:
        return "the model gave an energy, force or stress that is not finite"
    return f"a force reached {max_force:.3g} eV/Å (limit {MAX_FORCE:g})" if max_force > MAX_FORCE else ""


def _all_of_system(flags: Tensor, system: Tensor, n_systems: int) -> Tensor:
    """Whether all of (N, 3) flags hold, by system (B,)."""
    bad = torch.zeros(n_systems, dtype=torch.long, device=flags.device)
    return bad.index_add_(0, system, (~flags).sum(dim=1)) == 0


def _where(mask: Tensor) -> list[int]:
    return torch.nonzero(mask).flatten().tolist()
