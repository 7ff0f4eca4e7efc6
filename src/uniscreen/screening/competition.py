"""Where each candidate stands among its competitors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.screening.corrections import applied_correction
from uniscreen.thermodynamics import CompetingEntry, Hull, HullDistance, ReferenceSet, hull_over_candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    def standings(
        self, records: Sequence[Record], card: ModelCard, model_references: ModelReferences | None = None
    ) -> dict[int, Standing]:
        """Where the evaluated records stand, by index.

        Candidates that did not converge are measured but compete with none.
        """
        entries = {record.index: competing_entry(record, card) for record in records}
        distances = self._distances(records, entries)
        if model_references is None:
            return {index: Standing(entries[index], distance) for index, distance in distances.items()}
        hull = Hull(model_references.references)
        return {
            index: self._standing(entries[index], distance, hull.place(entries[index]), model_references.missing)
            for index, distance in distances.items()
        }

    def _standing(
        self, entry: CompetingEntry, distance: HullDistance, own: HullDistance, missing: Mapping[str, str]
    ) -> Standing:
        """Name the phases that are ``missing`` from the model's ``own`` hull where the candidate lies."""
        absent = [phase.entry_id for phase, _ in distance.phases if phase.entry_id in missing]
        absent += [self.references.terminals[el].entry_id for el in own.missing_terminals if distance.phases]
        return Standing(entry, distance, own, tuple(dict.fromkeys(absent)))

    def _distances(self, records: Sequence[Record], entries: Mapping[int, CompetingEntry]) -> dict[int, HullDistance]:
        if not self.among_candidates:
            hull = Hull(self.references)
            return {index: hull.place(entry) for index, entry in entries.items()}
        competing = [record.index for record in records if record.status == "ok"]
        ok = [entries[index] for index in competing]
        distances = dict(zip(competing, hull_over_candidates(ok, self.references), strict=True))
        rest = entries.keys() - distances.keys()
        if rest:
            hull = Hull(self.references.with_entries(ok))
            distances |= {index: hull.place(entries[index]) for index in rest}
        return distances


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
