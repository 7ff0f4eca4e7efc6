"""What is done for a candidate before and after its relaxation, which needs no model and no device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from uniscreen.errors import StructureError
from uniscreen.screening.corrections import correction_of, hull_scheme, required_correction
from uniscreen.screening.preflight import preflight
from uniscreen.screening.record import EVALUATED, Crystal, Record
from uniscreen.screening.space_group import space_group
from uniscreen.structures.candidate import ReadLimits
from uniscreen.structures.crystal import reduced_formula
from uniscreen.thermodynamics import Correction, CorrectionScheme

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.potentials.base import Potential
    from uniscreen.potentials.cards import ModelCard
    from uniscreen.potentials.cost import Cost, LargestCost
    from uniscreen.relaxation.result import Relaxation
    from uniscreen.screening.prescreen import Watcher
    from uniscreen.screening.record import Steps
    from uniscreen.screening.settings import ScreenSettings
    from uniscreen.structures.candidate import Candidate


@dataclass(frozen=True)
class Prepared:
    """A candidate that may be relaxed: its atoms, the work of evaluating it, and what the watcher begins with."""

    index: int
    id: str
    atoms: Atoms
    work: float
    outlook: Any


@dataclass(frozen=True)
class CandidateProcessor:
    """Prepares candidates and makes records of relaxed ones; whatever is wrong with a candidate becomes its record."""

    card: ModelCard
    cost: Cost | LargestCost
    limits: ReadLimits
    watcher: Watcher

    @classmethod
    def of(cls, potential: Potential, settings: ScreenSettings, watcher: Watcher) -> CandidateProcessor:
        """That of a screen with a potential."""
        functional = settings.functional or potential.card.functional  # a model file does not tell its own
        card = replace(potential.card, functional=functional)
        return cls(card, potential.cost, ReadLimits(max_atoms=settings.max_atoms), watcher)

    def prepare(self, index: int, candidate: Candidate) -> Prepared | Record:
        """Read and check a candidate; returns its record at once where it cannot be evaluated."""
        atoms = None
        try:
            atoms = candidate.source.load(self.limits)
            work = float(self.cost.of(preflight(atoms, self.card))[0])
            return Prepared(index, candidate.id, atoms, work, self.watcher.outlook(atoms))
        except StructureError as error:
            return _unevaluated(index, candidate.id, atoms, error.status, str(error))
        except Exception as error:  # the boundary between candidates: one must not end the others
            return _unevaluated(index, candidate.id, atoms, "failed", f"{type(error).__name__}: {error}")

    def finish(self, prepared: Prepared, relaxation: Relaxation, steps: Steps | None) -> Record:
        """The record of a candidate that has been relaxed; ``steps`` are those that the watcher took down."""
        before, after = prepared.atoms, relaxation.atoms
        if relaxation.status not in EVALUATED:
            return _unevaluated(
                prepared.index, prepared.id, before, relaxation.status, relaxation.reason, relaxation.n_steps
            )
        try:
            initial_correction, correction = self._corrections(before, after, relaxation.energy)
            return Record(
                index=prepared.index,
                id=prepared.id,
                status=relaxation.status,
                reason=relaxation.reason,
                formula=reduced_formula(before),
                n_atoms=len(before),
                n_steps=relaxation.n_steps,
                initial_energy=relaxation.initial_energy,
                energy=relaxation.energy,
                max_force=relaxation.max_force,
                max_stress=relaxation.max_stress,
                energy_std=relaxation.energy_std,
                max_force_std=relaxation.max_force_std,
                volume_change=after.get_volume() / before.get_volume() - 1.0,
                space_group_initial=space_group(before),
                space_group_final=space_group(after),
                crystal=Crystal.of(after, moments=self.card.magnetic_moments),
                correction=correction,
                initial_correction=initial_correction,
                steps=steps,
            )
        except Exception as error:  # the boundary between candidates
            return _unevaluated(prepared.index, prepared.id, before, "failed", f"{type(error).__name__}: {error}")

    def _corrections(
        self, before: Atoms, after: Atoms, energy: float | None
    ) -> tuple[Correction | None, Correction | None]:
        """Of the given and of the final structure. Energies that hold theirs need the latter, for its uncertainty."""
        if hull_scheme(self.card) is CorrectionScheme.NONE:
            return None, None
        assert energy is not None
        raw = required_correction(self.card) is CorrectionScheme.MP2020
        try:
            return correction_of(before, energy) if raw else None, correction_of(after, energy)
        except TimeoutError:
            if raw:
                raise
            return None, None  # the energy holds it, and nobody knows its uncertainty


def _unevaluated(
    index: int, name: str, atoms: Atoms | None, status: str, reason: str, n_steps: int | None = None
) -> Record:
    return Record(
        index=index,
        id=name,
        status=status,  # type: ignore[arg-type]  # StructureError.status and RelaxationStatus are statuses
        reason=" ".join(reason.split()),
        formula="" if atoms is None else reduced_formula(atoms),
        n_atoms=None if atoms is None else len(atoms),
        n_steps=n_steps,
    )
