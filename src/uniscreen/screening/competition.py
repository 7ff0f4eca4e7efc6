"""Where each candidate stands among its competitors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from uniscreen.screening.corrections import applied_correction
from uniscreen.thermodynamics import CandidateHull, CompetingEntry, Hull, HullDistance, OutsiderHull, ReferenceSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.record import Record


@dataclass(frozen=True)
class ModelReferences:
    """References with the energies of the model instead of DFT's.

    ``references`` holds those that the model could evaluate; ``missing`` says of the others why it could not, by id;
    ``key`` names the evaluation in the cache.
    """

    references: ReferenceSet
    missing: Mapping[str, str]
    key: str

    def summary(self) -> dict[str, Any]:
        """What became of the references, for the record of the run."""
        return {
            "key": self.key,
            "n_evaluated": len(self.references),
            "n_without_energy": len(self.missing),
            "without_energy": dict(self.missing),
        }


@dataclass(frozen=True)
class Standing:
    """Distances of a candidate, ``entry``: to the hull and, where the model evaluated the references too, to theirs.

    ``without_energy``: ids of the phases at the candidate's place on the fixed hull that are missing from the
    self-consistent one, since the model has no energy of them.
    """

    entry: CompetingEntry
    distance: HullDistance
    self_consistent: HullDistance | None = None
    without_energy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Competition:
    """What the candidates compete with.

    ``references`` are entries of the model's functional and scheme. With ``among_candidates`` they are elemental
    entries only and the other candidates are the competitors.
    """

    references: ReferenceSet
    among_candidates: bool


class Standings:
    """Where the evaluated ``records`` of a screen stand; only what they compete with is kept in memory.

    Candidates that did not converge are measured but compete with none.
    """

    def __init__(
        self,
        competition: Competition,
        records: Iterable[Record],
        card: ModelCard,
        model_references: ModelReferences | None = None,
    ) -> None:
        self._competition = competition
        self._card = card
        self._model_references = model_references
        self._own = None if model_references is None else Hull(model_references.references)
        self._competing = self._entries(records) if competition.among_candidates else {}

    def of(self, record: Record) -> Standing:
        """Where one of the records stands. The hulls of the chemical systems used last are kept: ask system by system.

        Raises:
            InputError: its energy is not finite.
        """
        among = record.index in self._competing
        entry = self._competing[record.index] if among else competing_entry(record, self._card)
        distance = self._among_candidates.place(entry) if among else self._fixed.place(entry)
        if self._own is None or self._model_references is None:
            return Standing(entry, distance)
        return self._with_own(entry, distance, self._own.place(entry), self._model_references.missing)

    def _with_own(
        self, entry: CompetingEntry, distance: HullDistance, own: HullDistance, missing: Mapping[str, str]
    ) -> Standing:
        """Name the phases that are ``missing`` from the model's ``own`` hull where the candidate lies."""
        terminals = self._competition.references.terminals
        absent = [phase.entry_id for phase, _ in distance.phases if phase.entry_id in missing]
        absent += [terminals[el].entry_id for el in own.missing_terminals if distance.phases]
        return Standing(entry, distance, own, tuple(dict.fromkeys(absent)))

    def _entries(self, records: Iterable[Record]) -> dict[int, CompetingEntry]:
        """The records that compete, as phases; equal compositions and uncertainties are one object, to save memory."""
        seen: dict[Any, Any] = {}

        def shared(values: Mapping[str, float] | None) -> Any:
            return None if values is None else seen.setdefault(tuple(values.items()), values)

        entries = {}
        for record in records:
            if record.status == "ok":
                entry = competing_entry(record, self._card)
                entries[record.index] = replace(
                    entry, amounts=shared(entry.amounts), uncertainties=shared(entry.uncertainties)
                )
        return entries

    @cached_property
    def _among_candidates(self) -> CandidateHull:
        return CandidateHull(self._competing.values(), self._competition.references)

    @cached_property
    def _fixed(self) -> Hull | OutsiderHull:
        """The hull of what competes with a record that is no competitor itself."""
        references = self._competition.references
        if not self._competition.among_candidates:
            return Hull(references)
        return OutsiderHull(self._competing.values(), references)


def competing_entry(record: Record, card: ModelCard) -> CompetingEntry:
    """An evaluated record as a phase with its corrected energy.

    The uncertainties are those of the corrections in the energy, whether they were added here or are in the labels
    that the model learnt.
    """
    from ase.data import chemical_symbols

    assert record.energy is not None
    assert record.crystal is not None
    correction = applied_correction(record, card).total
    counts = Counter(chemical_symbols[number] for number in record.crystal.numbers)
    return CompetingEntry(
        entry_id=record.id,
        amounts={symbol: float(n) for symbol, n in counts.items()},
        energy=record.energy + correction,
        correction=correction,
        uncertainties=None if record.correction is None else record.correction.uncertainties,
    )
