"""Relaxation of a stream of systems in one batch: as one finishes, the next takes its place."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from uniscreen.errors import InputError
from uniscreen.relaxation import guards
from uniscreen.relaxation.cell import log_strain_force
from uniscreen.relaxation.geometry import Geometry
from uniscreen.relaxation.optimisers import OPTIMISERS
from uniscreen.relaxation.result import Relaxation, RelaxationSettings, RelaxationStatus
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms
    from torch import Tensor

    from uniscreen.potentials.base import Evaluation, Potential
    from uniscreen.relaxation.optimisers import OptimiserState

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _System:
    """One system in flight: what the caller knows it by, its atoms as given, its energy (eV) then, and its steps.

    ``cautious``: it broke a guard on a first way, and is on its second.
    """

    key: int
    atoms: Atoms
    initial_energy: float | None = None
    n_steps: int = 0
    cautious: bool = False


class InFlightRelaxer:
    """Relaxes systems that are added one by one, a step of all of them at a time.

    ``add`` while ``has_room``; ``step`` moves every system and returns those that ended. No system can end or slow
    down another: one that breaks a guard, or that the potential cannot evaluate, leaves the batch with a status. One
    that breaks a guard on the way begins anew, once, with the optimiser's cautious way to move, if it has one.
    """

    def __init__(self, potential: Potential, settings: RelaxationSettings, max_atoms: int) -> None:
        self.potential = potential
        self.settings = settings
        self.max_atoms = max_atoms
        self._systems: list[_System] = []
        self._geometry: Geometry | None = None
        self._optimiser: OptimiserState | None = None

    def __len__(self) -> int:
        return len(self._systems)

    def has_room(self, n_atoms: int) -> bool:
        """Whether a system of this many atoms fits; an empty relaxer takes any."""
        in_flight = sum(len(system.atoms) for system in self._systems)
        return not self._systems or in_flight + n_atoms <= self.max_atoms

    def add(self, key: int, atoms: Atoms) -> None:
        """Put a system into the batch. It must be periodic and hold only elements that the potential knows."""
        self._put(_System(key, atoms))

    def _put(self, system: _System) -> None:
        geometry = Geometry.of([system.atoms], self.potential.device)
        optimiser = OPTIMISERS[self.settings.optimiser].fresh(
            len(system.atoms), 1, geometry.reference, cautious=system.cautious
        )
        self._systems.append(system)
        self._geometry = geometry if self._geometry is None else self._geometry.append(geometry)
        self._optimiser = optimiser if self._optimiser is None else self._optimiser.append(optimiser)

    def step(self) -> list[Relaxation]:
        """Evaluate all systems once, move those that are not done, and return those that are."""
        ended = self._eject_broken_geometries()
        if not self._systems:
            return ended
        assert self._geometry is not None
        gradient, positions, cells = self._geometry.deformed()
        try:
            graph = self._graph(positions, cells)
        except Exception as error:  # e.g. a cell without a volume; it must not end the others
            return ended + self._isolate_failure(error)
        broken: dict[int, tuple[RelaxationStatus, str]] = {}
        broken |= {i: ("isolated_atoms", text) for i, text in guards.isolated_atoms(graph).items()}
        broken |= {i: ("exploded", text) for i, text in guards.short_contacts(graph).items()}
        if broken:
            return ended + self._eject(broken, positions, cells) + self.step()
        try:
            evaluation = self.potential.evaluate_graph(graph)
        except InputError:  # nothing can be evaluated, e.g. an isolated backend that does not start any more
            raise
        except Exception as error:  # the boundary between systems: one must not end the others
            return ended + self._isolate_failure(error)
        return ended + self._advance(graph, gradient, evaluation)

    def _graph(self, positions: Tensor, cells: Tensor) -> AtomicGraph:
        geometry = self._geometry
        assert geometry is not None
        ptr = torch.cat([geometry.system.new_zeros(1), torch.cumsum(geometry.n_atoms, 0)])
        cutoff = self.potential.card.cutoff
        return AtomicGraph.build(positions, cells, geometry.pbc, geometry.numbers, ptr, cutoff)

    def _advance(self, graph: AtomicGraph, gradient: Tensor, evaluation: Evaluation) -> list[Relaxation]:
        """Judge every system by its forces, take out the finished ones, and move the others."""
        geometry, optimiser = self._geometry, self._optimiser
        assert geometry is not None
        assert optimiser is not None
        assert evaluation.stress is not None
        force = evaluation.forces.norm(dim=1)
        max_force = force.new_zeros(graph.n_systems).scatter_reduce_(0, graph.system, force, "amax")
        cell_force = log_strain_force(geometry.log_strain, gradient, evaluation.stress, graph.volumes)
        cell_force = cell_force / geometry.n_atoms[:, None, None]
        atom_force = torch.einsum("ni,nij->nj", evaluation.forces, gradient[graph.system])
        residual = cell_force.norm(dim=2).amax(dim=1).maximum(max_force)
        residual = residual.scatter_reduce(0, graph.system, atom_force.norm(dim=1), "amax").tolist()
        broken = guards.broken_evaluations(evaluation, graph.system, max_force)
        energy = evaluation.energy.tolist()
        self._systems = [
            replace(system, initial_energy=energy[i]) if system.n_steps == 0 else system
            for i, system in enumerate(self._systems)
        ]

        ended: dict[int, Relaxation] = {}
        anew: dict[int, _System] = {}
        for i, system in enumerate(self._systems):
            if i in broken and math.isfinite(energy[i] + residual[i]) and self._has_another_way(system):
                anew[i] = system
            elif i in broken:
                ended[i] = self._relaxation(system, graph, i, "exploded", broken[i])
            elif self.settings.max_steps == 0 or residual[i] < self.settings.fmax:
                ended[i] = self._relaxation(system, graph, i, "ok", "", evaluation, max_force)
            elif system.n_steps >= self.settings.max_steps:
                reason = f"{residual[i]:.3g} eV/Å left after {system.n_steps} steps (limit {self.settings.fmax:g})"
                ended[i] = self._relaxation(system, graph, i, "not_converged", reason, evaluation, max_force)
        self._optimiser, atom_move, cell_move = optimiser.step(atom_force, cell_force, graph.system)
        self._geometry = replace(
            geometry,
            reference=geometry.reference + atom_move,
            log_strain=geometry.log_strain + cell_move / geometry.n_atoms[:, None, None],
        )
        self._systems = [replace(system, n_steps=system.n_steps + 1) for system in self._systems]
        self._remove(ended.keys() | anew.keys())
        self._begin_anew(anew.values())
        return list(ended.values())

    def _has_another_way(self, system: _System) -> bool:
        """Whether a system that broke a guard did so on its way, and may go a more cautious one."""
        return system.n_steps > 0 and not system.cautious and OPTIMISERS[self.settings.optimiser].has_cautious_way

    def _begin_anew(self, systems: Iterable[_System]) -> None:
        for system in systems:
            self._put(_System(system.key, system.atoms, cautious=True))

    def _relaxation(
        self,
        system: _System,
        graph: AtomicGraph,
        i: int,
        status: RelaxationStatus,
        reason: str,
        evaluation: Evaluation | None = None,
        max_force: Tensor | None = None,
    ) -> Relaxation:
        """The end of system i of the batch, with its numbers where there are any."""
        start, stop = int(graph.ptr[i]), int(graph.ptr[i + 1])
        atoms = _moved(system.atoms, graph.positions[start:stop], graph.cells[i])
        if evaluation is None or max_force is None:
            return Relaxation(system.key, status, reason, atoms, system.n_steps)
        assert evaluation.stress is not None
        if evaluation.magnetic_moments is not None:
            atoms.set_initial_magnetic_moments(evaluation.magnetic_moments[start:stop].cpu().numpy())
        return Relaxation(
            system.key,
            status,
            reason,
            atoms,
            system.n_steps,
            initial_energy=system.initial_energy,
            energy=float(evaluation.energy[i]),
            max_force=float(max_force[i]),
            max_stress=float(evaluation.stress[i].abs().max()),
        )

    def _eject_broken_geometries(self) -> list[Relaxation]:
        if not self._systems:
            return []
        geometry = self._geometry
        assert geometry is not None
        _, positions, cells = geometry.deformed()
        broken = guards.broken_cells(cells, positions, geometry.system, geometry.log_strain, geometry.volumes0)
        return self._eject({i: ("exploded", text) for i, text in broken.items()}, positions, cells)

    def _eject(
        self, broken: dict[int, tuple[RelaxationStatus, str]], positions: Tensor, cells: Tensor
    ) -> list[Relaxation]:
        """End the given systems without numbers, as they are; those on their first way begin anew."""
        assert self._geometry is not None
        ended, anew = [], []
        for i, (status, reason) in broken.items():
            system = self._systems[i]
            if self._has_another_way(system):
                anew.append(system)
                continue
            atoms = _moved(system.atoms, positions[self._geometry.system == i], cells[i])
            ended.append(Relaxation(system.key, status, reason, atoms, system.n_steps))
        self._remove(set(broken))
        self._begin_anew(anew)
        return ended

    def _isolate_failure(self, error: Exception) -> list[Relaxation]:
        """The potential failed on the batch: evaluate each system alone and end those that fail alone."""
        if len(self._systems) == 1:
            system = self._systems.pop()
            self._geometry = self._optimiser = None
            reason = f"{type(error).__name__}: {error}"
            return [Relaxation(system.key, "failed", reason, system.atoms, system.n_steps)]
        log.warning("the batch could not be evaluated (%s); evaluating its systems one by one", error)
        systems, geometry, optimiser = self._systems, self._geometry, self._optimiser
        assert geometry is not None
        assert optimiser is not None
        ended: list[Relaxation] = []
        merged = InFlightRelaxer(self.potential, self.settings, self.max_atoms)
        for i, system in enumerate(systems):
            mask = torch.arange(len(systems), device=geometry.system.device) == i
            alone = InFlightRelaxer(self.potential, self.settings, self.max_atoms)
            alone._systems = [system]
            alone._geometry = geometry.select(mask[geometry.system], mask)
            alone._optimiser = optimiser.select(mask[geometry.system], mask)
            ended += alone.step()
            merged._absorb(alone)
        self._systems, self._geometry, self._optimiser = merged._systems, merged._geometry, merged._optimiser
        return ended

    def _absorb(self, other: InFlightRelaxer) -> None:
        """Put another relaxer's systems behind this one's."""
        if not other._systems:
            return
        assert other._geometry is not None
        assert other._optimiser is not None
        self._systems += other._systems
        self._geometry = other._geometry if self._geometry is None else self._geometry.append(other._geometry)
        self._optimiser = other._optimiser if self._optimiser is None else self._optimiser.append(other._optimiser)

    def _remove(self, indices: set[int]) -> None:
        if not indices:
            return
        geometry, optimiser = self._geometry, self._optimiser
        assert geometry is not None
        assert optimiser is not None
        keep = torch.tensor([i not in indices for i in range(len(self._systems))], device=geometry.system.device)
        self._systems = [system for i, system in enumerate(self._systems) if i not in indices]
        atoms = keep[geometry.system]
        self._geometry = geometry.select(atoms, keep) if self._systems else None
        self._optimiser = optimiser.select(atoms, keep) if self._systems else None


def _moved(atoms: Atoms, positions: Tensor, cell: Tensor) -> Atoms:
    """A copy of the atoms at new positions in a new cell."""
    moved = atoms.copy()
    moved.set_cell(cell.cpu().numpy())
    moved.set_positions(positions.cpu().numpy())
    return moved


def relax(
    potential: Potential,
    structures: Sequence[Atoms],
    settings: RelaxationSettings | None = None,
    *,
    max_atoms: int = 64,
) -> list[Relaxation]:
    """Relax positions and cells of all structures, in order; ``max_atoms`` are in flight at a time.

    A structure that cannot be relaxed has a status and a reason; none raises.
    """
    relaxer = InFlightRelaxer(potential, settings or RelaxationSettings(), max_atoms)
    results: dict[int, Relaxation] = {}
    waiting = []
    for key, atoms in reversed(list(enumerate(structures))):
        if unknown := potential.unsupported_elements(atoms.numbers):
            reason = f"{potential.card.name} was not trained on {', '.join(unknown)}"
            results[key] = Relaxation(key, "unsupported_element", reason, atoms, 0)
        else:
            waiting.append((key, atoms))
    while waiting or len(relaxer):
        while waiting and relaxer.has_room(len(waiting[-1][1])):
            relaxer.add(*waiting.pop())
        results |= {done.key: done for done in relaxer.step()}
    return [results[i] for i in range(len(structures))]
