"""Relaxation of a stream of systems in one batch: as one finishes, the next takes its place."""

from __future__ import annotations

import itertools
import logging
import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from uniscreen.errors import InputError, StructureError
from uniscreen.relaxation import guards
from uniscreen.relaxation.batch import Batch, System
from uniscreen.relaxation.cell import log_strain_force
from uniscreen.relaxation.ending import ended_relaxation, moved_atoms, refusal
from uniscreen.relaxation.optimisers import OPTIMISERS
from uniscreen.relaxation.result import Relaxation, RelaxationSettings, RelaxationStatus, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ase import Atoms
    from torch import Tensor

    from uniscreen.potentials.base import Evaluation, Potential
    from uniscreen.structures.graph import AtomicGraph

log = logging.getLogger(__name__)

MAX_WORK = {"cpu": 8_000, "cuda": 1_000_000}
"""The work that one evaluation may take, by device; see ``Potential.cost``. A larger batch is no faster on a CPU, whose
cache it leaves. On CUDA it is where the limit begins, and memory may lower it."""


class InFlightRelaxer:
    """Relaxes systems that are added one by one, a step of all of them at a time.

    ``add`` while ``has_room``; ``step`` moves every system and returns those that ended. No system can end or slow
    down another: one that breaks a guard, or that the potential cannot evaluate, leaves the batch with a status. One
    that breaks a guard on the way begins anew, once, with the optimiser's cautious way to move, if it has one; but not
    where the potential itself gave what is not finite.

    ``limit`` is the work that one evaluation may take. It is halved whenever the memory of the device does not suffice,
    or a batch fails in which no system fails alone; what is then too much waits, as far as it has come, until there is
    room again.

    ``watch`` is told of every step, and may stop a system there.
    """

    def __init__(
        self,
        potential: Potential,
        settings: RelaxationSettings,
        limit: float | None = None,
        watch: Watch = lambda *_: "",
    ) -> None:
        self.potential = potential
        self.settings = settings
        self.watch = watch
        self.limit = MAX_WORK[potential.device.type] if limit is None else limit
        self._batch: Batch | None = None
        self._entering: list[System] = []
        self._waiting: deque[Batch] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._entering) + (0 if self._batch is None else len(self._batch))

    def work(self, atoms: Atoms) -> float:
        """What evaluating these atoms takes; 0 for those that have no graph, as they will end at once."""
        batch = Batch.of([System(0, atoms, 0.0)], OPTIMISERS[self.settings.optimiser], self.potential.device)
        _, positions, cells = batch.geometry.deformed()
        try:
            return float(self.potential.cost.of(batch.graph(positions, cells, self.potential.card.cutoff))[0])
        except Exception:  # e.g. a cell without a volume; ``step`` will say so
            return 0.0

    def has_room(self, work: float) -> bool:
        """Whether a system that takes this much work fits; an empty relaxer takes any."""
        if self._waiting:
            return False
        held = sum(system.work for system in self._entering) + (0.0 if self._batch is None else self._batch.work)
        return not len(self) or held + work <= self.limit

    def add(self, key: int, atoms: Atoms, work: float) -> None:
        """Put a system into the batch. It must be one in which ``ending.refusal`` finds nothing."""
        self._entering.append(System(key, atoms, work))

    def _enter(self) -> None:
        """Put those that were added into the batch, at once: each time that it grows takes some time on a GPU."""
        batch = self._batch
        for _, systems in itertools.groupby(self._entering, lambda system: system.cautious):
            new = Batch.of([*systems], OPTIMISERS[self.settings.optimiser], self.potential.device)
            batch = new if batch is None else batch.append(new)
        self._batch, self._entering = batch, []

    def _join(self, other: Batch) -> None:
        self._batch = other if self._batch is None else self._batch.append(other)

    def step(self) -> list[Relaxation]:
        """Evaluate the systems once, move those that are not done, and return those that are."""
        self._enter()
        while self._waiting and (self._batch is None or self._batch.work + self._waiting[0].work <= self.limit):
            self._join(self._waiting.popleft())
        ended = self._eject_broken_geometries()
        if self._batch is None:
            return ended + self.step() if self._waiting or self._entering else ended
        batch = self._batch
        try:
            return ended + self._evaluate(batch)
        except torch.OutOfMemoryError:
            pass  # with the exception go the tensors that it holds
        except InputError:  # nothing can be evaluated, e.g. an isolated backend that does not start any more
            raise
        except Exception as error:  # the boundary between systems: one must not end the others
            return ended + self._isolate_failure(batch, error)
        return ended + self._shed(batch)

    def _evaluate(self, batch: Batch) -> list[Relaxation]:
        """Evaluate the batch and go on from there. Until all that may fail is done, nothing is changed."""
        gradient, positions, cells = batch.geometry.deformed()
        graph = batch.graph(positions, cells, self.potential.card.cutoff)
        if broken := guards.broken_graphs(graph):
            return self._eject(batch, broken, positions, cells)  # the others are moved by the next step
        return self._advance(batch, graph, gradient, self.potential.evaluate_graph(graph))

    def _advance(self, batch: Batch, graph: AtomicGraph, gradient: Tensor, evaluation: Evaluation) -> list[Relaxation]:
        """Judge every system by its forces, take out the finished ones, and move the others."""
        geometry = batch.geometry
        assert evaluation.stress is not None
        force = evaluation.forces.norm(dim=1)
        max_force = force.new_zeros(graph.n_systems).scatter_reduce_(0, graph.system, force, "amax")
        cell_force = torch.zeros_like(geometry.log_strain)
        if self.settings.relax_cell:
            cell_force = log_strain_force(geometry.log_strain, gradient, evaluation.stress, graph.volumes)
            cell_force = cell_force / geometry.n_atoms[:, None, None]
        atom_force = torch.einsum("ni,nij->nj", evaluation.forces, gradient[graph.system])
        residual = cell_force.norm(dim=2).amax(dim=1).maximum(max_force)
        residual = residual.scatter_reduce(0, graph.system, atom_force.norm(dim=1), "amax")
        optimiser, atom_move, cell_move = batch.optimiser.step(atom_force, cell_force, graph.system)
        moved = replace(
            geometry,
            reference=geometry.reference + atom_move,
            log_strain=geometry.log_strain + cell_move / geometry.n_atoms[:, None, None],
        )
        finite = guards.finite_evaluations(evaluation, graph.system, stress=self.settings.relax_cell)
        values = torch.stack([evaluation.energy, residual, max_force, finite.to(force.dtype)]).tolist()  # the one wait

        batch = batch.with_systems(lambda i, s: replace(s, initial_energy=values[0][i]) if s.n_steps == 0 else s)
        ended, anew = self._judge(batch, graph, evaluation, *values)
        batch = replace(batch, geometry=moved, optimiser=optimiser)
        self._batch = batch.with_systems(lambda _, system: replace(system, n_steps=system.n_steps + 1))
        self._remove(ended.keys() | anew.keys())
        self._begin_anew(anew.values())
        return list(ended.values())

    def _judge(
        self,
        batch: Batch,
        graph: AtomicGraph,
        evaluation: Evaluation,
        energy: Sequence[float],
        residual: Sequence[float],
        max_force: Sequence[float],
        finite: Sequence[float],
    ) -> tuple[dict[int, Relaxation], dict[int, System]]:
        """The systems that have ended, and those that must begin anew."""
        ended: dict[int, Relaxation] = {}
        anew: dict[int, System] = {}
        settings = self.settings
        for i, system in enumerate(batch.systems):
            broken = guards.broken_evaluation(finite=bool(finite[i]), max_force=max_force[i])
            hopeless = "" if broken else self.watch(system.key, system.n_steps, energy[i], residual[i])
            if broken and math.isfinite(energy[i] + residual[i]) and self._has_another_way(system):
                anew[i] = system
            elif not finite[i] and bool(guards.without_stress(evaluation, graph)[i]):
                ended[i] = ended_relaxation(system, graph, i, "failed", guards.NO_STRESS)
            elif broken:
                ended[i] = ended_relaxation(system, graph, i, "exploded", broken)
            elif settings.max_steps == 0 or residual[i] < settings.fmax:
                ended[i] = ended_relaxation(system, graph, i, "ok", "", evaluation)
            elif system.n_steps >= settings.max_steps:
                reason = f"{residual[i]:.3g} eV/Å left after {system.n_steps} steps (limit {settings.fmax:g})"
                ended[i] = ended_relaxation(system, graph, i, "not_converged", reason, evaluation)
            elif hopeless:
                ended[i] = ended_relaxation(system, graph, i, "stopped_early", hopeless, evaluation)
        return ended, anew

    def _has_another_way(self, system: System) -> bool:
        """Whether a system that broke a guard did so on its way, and may go a more cautious one."""
        return system.n_steps > 0 and not system.cautious and OPTIMISERS[self.settings.optimiser].has_cautious_way

    def _begin_anew(self, systems: Iterable[System]) -> None:
        self._entering += [System(system.key, system.atoms, system.work, cautious=True) for system in systems]

    def _eject_broken_geometries(self) -> list[Relaxation]:
        if self._batch is None:
            return []
        geometry = self._batch.geometry
        _, positions, cells = geometry.deformed()
        broken = guards.broken_cells(cells, positions, geometry.system, geometry.log_strain, geometry.volumes0)
        return self._eject(self._batch, {i: ("exploded", text) for i, text in broken.items()}, positions, cells)

    def _eject(
        self, batch: Batch, broken: Mapping[int, tuple[RelaxationStatus, str]], positions: Tensor, cells: Tensor
    ) -> list[Relaxation]:
        """End the given systems without numbers, as they are; those on their first way begin anew."""
        ended, anew = [], []
        for i, (status, reason) in broken.items():
            system = batch.systems[i]
            if self._has_another_way(system):
                anew.append(system)
                continue
            atoms = moved_atoms(system.atoms, positions[batch.geometry.system == i], cells[i])
            ended.append(Relaxation(system.key, status, reason, atoms, system.n_steps))
        self._remove(broken.keys())
        self._begin_anew(anew)
        return ended

    def _shed(self, batch: Batch) -> list[Relaxation]:
        """The batch needs more memory than there is: halve the limit, and let what is beyond it wait."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(batch) == 1:
            self._batch = None
            (system,) = batch.systems
            reason = f"its {len(system.atoms)} atoms need more memory than the device has"
            return [Relaxation(system.key, "failed", reason, system.atoms, system.n_steps)]
        self._halve_limit(batch, "the memory of the device does not suffice")
        self._batch, *rest = batch.one_by_one()
        self._waiting.extendleft(reversed(rest))
        return self.step()

    def _halve_limit(self, batch: Batch, why: str) -> None:
        self.limit = min(self.limit, batch.work) / 2
        log.warning("%s: a batch may now take a work of %.4g", why, self.limit)

    def _isolate_failure(self, batch: Batch, error: Exception) -> list[Relaxation]:
        """The potential failed on the batch: evaluate each system alone and end those that fail alone.

        Where none does, the batch was too much, e.g. for the memory of a worker that the system ended.
        """
        self._batch = None
        if len(batch) == 1:
            (system,) = batch.systems
            if isinstance(error, StructureError):
                return [Relaxation(system.key, error.status, str(error), system.atoms, system.n_steps)]
            reason = f"{type(error).__name__}: {error}"
            return [Relaxation(system.key, "failed", reason, system.atoms, system.n_steps)]
        log.warning("the batch could not be evaluated (%s); evaluating its systems one by one", error)
        ended: list[Relaxation] = []
        going: list[Batch] = []
        for one in batch.one_by_one():
            alone = InFlightRelaxer(self.potential, self.settings, self.limit, self.watch)
            alone._batch = one
            ended += alone.step()
            self._entering += alone._entering
            if alone._batch is not None:
                going.append(alone._batch)
        if all(one.energy is not None for one in ended):
            self._halve_limit(batch, "none of them failed alone")
        self._waiting.extendleft(reversed(going))
        return ended

    def _remove(self, indices: Iterable[int]) -> None:
        assert self._batch is not None
        gone = set(indices)
        keep = [i not in gone for i in range(len(self._batch))]
        self._batch = self._batch.select(keep) if any(keep) else None


def relax(
    potential: Potential,
    structures: Sequence[Atoms],
    settings: RelaxationSettings | None = None,
    *,
    limit: float | None = None,
) -> list[Relaxation]:
    """Relax all structures, in order, with their cells by default; batches take the work ``limit``, or the device's.

    A structure that cannot be relaxed has a status and a reason; none raises. Constraints of ASE are not heeded: all
    atoms move.
    """
    settings = settings or RelaxationSettings()
    relaxer = InFlightRelaxer(potential, settings, limit)
    results: dict[int, Relaxation] = {}
    waiting = []
    for key, atoms in reversed(list(enumerate(structures))):
        if refused := refusal(potential.card, atoms, settings):
            results[key] = Relaxation(key, *refused, atoms, 0)
        else:
            waiting.append((key, atoms, relaxer.work(atoms)))
    while waiting or len(relaxer):
        while waiting and relaxer.has_room(waiting[-1][2]):
            relaxer.add(*waiting.pop())
        results |= {done.key: done for done in relaxer.step()}
    return [results[i] for i in range(len(structures))]
