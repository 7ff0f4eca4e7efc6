"""From candidates to records, in one process: read, preflight, relax in flight."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uniscreen.errors import StructureError
from uniscreen.relaxation.inflight import InFlightRelaxer
from uniscreen.relaxation.result import Relaxation, RelaxationSettings
from uniscreen.screening.corrections import correction_of, hull_scheme, required_correction
from uniscreen.screening.preflight import preflight
from uniscreen.screening.prescreen import Watcher
from uniscreen.screening.record import EVALUATED, Crystal, Record
from uniscreen.screening.space_group import space_group
from uniscreen.structures.candidate import Candidate, ReadLimits
from uniscreen.thermodynamics import Correction, CorrectionScheme

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.potentials.base import Potential
    from uniscreen.screening.settings import ScreenSettings


@dataclass(frozen=True)
class _Started:
    candidate: Candidate
    atoms: Atoms
    work: float


class CandidateEvaluator:
    """Evaluates a stream of candidates; whatever one of them does, the others are not affected."""

    def __init__(
        self,
        potential: Potential,
        settings: ScreenSettings,
        batch_limit: float | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.potential = potential
        functional = settings.functional or potential.card.functional  # a model file does not tell its own
        self.card = replace(potential.card, functional=functional)
        self.limits = ReadLimits(max_atoms=settings.max_atoms)
        relaxation = RelaxationSettings(settings.fmax, settings.max_steps if settings.relax else 0, settings.optimiser)
        self.watcher = watcher or Watcher()
        self.relaxer = InFlightRelaxer(potential, relaxation, batch_limit, self.watcher.watch)
        self._started: dict[int, _Started] = {}
        self._waiting: deque[int] = deque()

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not self._started

    @property
    def wants_more(self) -> bool:
        """Another candidate may find room in the batch."""
        return not self._waiting and self.relaxer.has_room(1)

    @property
    def batch_limit(self) -> float:
        """The work that one batch may take, as far as is known by now."""
        return self.relaxer.limit

    @batch_limit.setter
    def batch_limit(self, limit: float) -> None:
        self.relaxer.limit = limit

    def add(self, index: int, candidate: Candidate) -> Record | None:
        """Start a candidate; returns its record at once where it cannot be evaluated."""
        atoms = None
        try:
            atoms = candidate.source.load(self.limits)
            preflight(atoms, self.potential)
            self.watcher.begin(index, atoms)
        except StructureError as error:
            return _unevaluated(index, candidate, atoms, error.status, str(error))
        except Exception as error:  # the boundary between candidates: one must not end the others
            return _unevaluated(index, candidate, atoms, "failed", f"{type(error).__name__}: {error}")
        self._started[index] = _Started(candidate, atoms, self.relaxer.work(atoms))
        self._waiting.append(index)
        self._board()
        return None

    def step(self) -> list[Record]:
        """Move all that is in flight by one step; returns the records of those that are done."""
        done = [self._record(relaxation) for relaxation in self.relaxer.step()]
        self._board()
        return done

    def _board(self) -> None:
        while self._waiting and self.relaxer.has_room(self._started[self._waiting[0]].work):
            index = self._waiting.popleft()
            self.relaxer.add(index, self._started[index].atoms, self._started[index].work)

    def _record(self, relaxation: Relaxation) -> Record:
        started = self._started.pop(relaxation.key)
        steps = self.watcher.end(relaxation.key)
        candidate, before, after = started.candidate, started.atoms, relaxation.atoms
        if relaxation.status not in EVALUATED:
            return _unevaluated(
                relaxation.key, candidate, before, relaxation.status, relaxation.reason, relaxation.n_steps
            )
        try:
            initial_correction, correction = self._corrections(before, after, relaxation.energy)
            return Record(
                index=relaxation.key,
                id=candidate.id,
                status=relaxation.status,
                reason=relaxation.reason,
                formula=_formula(before),
                n_atoms=len(before),
                n_steps=relaxation.n_steps,
                initial_energy=relaxation.initial_energy,
                energy=relaxation.energy,
                max_force=relaxation.max_force,
                max_stress=relaxation.max_stress,
                volume_change=after.get_volume() / before.get_volume() - 1.0,
                space_group_initial=space_group(before),
                space_group_final=space_group(after),
                crystal=Crystal.of(after, moments=self.card.magnetic_moments),
                correction=correction,
                initial_correction=initial_correction,
                steps=steps,
            )
        except Exception as error:  # the boundary between candidates
            return _unevaluated(relaxation.key, candidate, before, "failed", f"{type(error).__name__}: {error}")

    def _corrections(
        self, before: Atoms, after: Atoms, energy: float | None
    ) -> tuple[Correction | None, Correction | None]:
        """Of the given and of the final structure. Energies that hold theirs need the latter, for its uncertainty."""
        if hull_scheme(self.card) is CorrectionScheme.NONE:
            return None, None
        assert energy is not None
        raw = required_correction(self.card) is CorrectionScheme.MP2020
        return correction_of(before, energy) if raw else None, correction_of(after, energy)


def _unevaluated(
    index: int, candidate: Candidate, atoms: Atoms | None, status: str, reason: str, n_steps: int | None = None
) -> Record:
    return Record(
        index=index,
        id=candidate.id,
        status=status,  # type: ignore[arg-type]  # StructureError.status and RelaxationStatus are statuses
        reason=" ".join(reason.split()),
        formula="" if atoms is None else _formula(atoms),
        n_atoms=None if atoms is None else len(atoms),
        n_steps=n_steps,
    )


def _formula(atoms: Atoms) -> str:
    from pymatgen.core import Composition

    return Composition(atoms.get_chemical_formula()).reduced_formula
