"""From records to the results table: corrections, formation energies, hull distances, flags and ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.screening.record import EVALUATED, Record
from uniscreen.thermodynamics import CorrectionScheme, Hull, HullDistance, ReferenceSet, hull_over_candidates
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from pymatgen.core import Composition

    from uniscreen.potentials.cards import ModelCard

LARGE_VOLUME_CHANGE = 0.20
"""Fraction of the volume beyond which a relaxation has probably left the structure that was meant."""

FAR_FROM_MINIMUM = -0.25
"""eV/atom gained by relaxing. Beyond it the given structure was not near the one that was found."""

LARGE_FORCES = 0.5
"""eV/Å left on an atom: ten times the usual limit of a relaxation, so the energy is not that of a minimum."""

FAR_BELOW_HULL = -0.10
"""eV/atom. Further below a complete DFT hull than new phases are found; a fault of the model is likelier."""

UNUSUAL_FORMATION_ENERGY = 5.0
"""eV/atom. Beyond any known compound: matbench-discovery's limit for failed predictions."""

COLUMN_TYPES = {
    "id": "string",
    "rank": "Int64",
    "status": "string",
    "reason": "string",
    "formula": "string",
    "n_atoms": "Int64",
    "model": "string",
    "energy_eV_per_atom": "float64",
    "correction_eV_per_atom": "float64",
    "formation_energy_eV_per_atom": "float64",
    "e_above_hull_eV_per_atom": "float64",
    "decomposition": "string",
    "relaxation_energy_eV_per_atom": "float64",
    "n_steps": "Int64",
    "max_force_eV_per_A": "float64",
    "max_stress_GPa": "float64",
    "volume_change_percent": "float64",
    "space_group_initial": "string",
    "space_group_final": "string",
    "flags": "string",
}
"""The columns of the results, in order, with their pandas types; the carried columns follow."""


@dataclass(frozen=True)
class Competition:
    """What the candidates compete with.

    ``references`` are entries of the model's functional and scheme. With ``among_candidates`` they are elemental
    entries only and the other candidates are the competitors.
    """

    references: ReferenceSet
    among_candidates: bool

    def distances(self, records: Sequence[Record], totals: Mapping[int, float]) -> dict[int, HullDistance]:
        """Hull distances of the evaluated records from their corrected total energies (eV), by index.

        Candidates that did not converge are measured but compete with none.
        """
        if not self.among_candidates:
            hull = Hull(self.references)
            return {r.index: hull.e_above_hull(_composition(r), totals[r.index]) for r in records}
        ok = [r for r in records if r.status == "ok"]
        among = hull_over_candidates([_composition(r) for r in ok], [totals[r.index] for r in ok], self.references)
        distances = {r.index: distance for r, distance in zip(ok, among, strict=True)}
        rest = [r for r in records if r.status != "ok"]
        if rest:
            hull = Hull(self.references.with_phases((r.id, _composition(r), totals[r.index]) for r in ok))
            distances |= {r.index: hull.e_above_hull(_composition(r), totals[r.index]) for r in rest}
        return distances


def results_table(
    records: Sequence[Record], card: ModelCard, competition: Competition, columns: pd.DataFrame
) -> pd.DataFrame:
    """One row a candidate, ranked ones first and in order of rank, then the others in input order.

    ``columns`` are the input's own columns, one row a candidate in input order. One whose name is taken is called
    ``input_<name>``.
    """
    import pandas as pd

    evaluated = [record for record in records if record.status in EVALUATED]
    corrections = {record.index: _correction(record, card) for record in evaluated}
    totals = {record.index: _energy(record) + corrections[record.index] for record in evaluated}
    distances = competition.distances(evaluated, totals)
    rows = [_row(r, card, corrections.get(r.index), distances.get(r.index), competition) for r in records]
    table = pd.DataFrame(rows, columns=list(COLUMN_TYPES)).astype(COLUMN_TYPES)
    carried = columns.iloc[[record.index for record in records]].reset_index(drop=True)
    carried.columns = [f"input_{name}" if name in COLUMN_TYPES else name for name in carried.columns]
    return _ranked(pd.concat([table, carried], axis=1))


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Rank the ok rows by hull distance, then formation energy; those without a hull distance come last."""
    ok = table["status"] == "ok"
    keys = ["e_above_hull_eV_per_atom", "formation_energy_eV_per_atom"]
    order = table[ok].sort_values(keys, kind="stable", na_position="last").index
    table.loc[order, "rank"] = range(1, len(order) + 1)
    return table.loc[[*order, *table.index[~ok]]].reset_index(drop=True)


def _row(
    record: Record,
    card: ModelCard,
    correction: float | None,
    distance: HullDistance | None,
    competition: Competition,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": record.id,
        "status": record.status,
        "reason": record.reason,
        "formula": record.formula,
        "n_atoms": record.n_atoms,
        "model": card.name,
        "n_steps": record.n_steps,
        "space_group_initial": record.space_group_initial,
        "space_group_final": record.space_group_final,
        "decomposition": "",
        "flags": "",
    }
    if record.status not in EVALUATED:
        return row
    assert distance is not None
    assert correction is not None
    assert record.n_atoms is not None
    assert record.max_stress is not None
    assert record.volume_change is not None
    return row | {
        "energy_eV_per_atom": _energy(record) / record.n_atoms,
        "correction_eV_per_atom": correction / record.n_atoms,
        "formation_energy_eV_per_atom": distance.formation_energy,
        "e_above_hull_eV_per_atom": distance.e_above_hull,
        "decomposition": _decomposition(distance),
        "relaxation_energy_eV_per_atom": _relaxation_energy(record),
        "max_force_eV_per_A": record.max_force,
        "max_stress_GPa": record.max_stress * EV_PER_CUBIC_ANGSTROM_TO_GPA,
        "volume_change_percent": 100.0 * record.volume_change,
        "flags": ";".join(_flags(record, distance, competition)),
    }


def _flags(record: Record, distance: HullDistance, competition: Competition) -> list[str]:
    """What a reader should know before trusting the row."""
    assert record.volume_change is not None
    flags = [f"missing_terminal:{element}" for element in distance.missing_terminals]
    if abs(record.volume_change) > LARGE_VOLUME_CHANGE:
        flags.append("large_volume_change")
    if record.space_group_initial != record.space_group_final:
        flags.append("space_group_changed")
    if _relaxation_energy(record) < FAR_FROM_MINIMUM:
        flags.append("far_from_minimum")
    if record.max_force is not None and record.max_force > LARGE_FORCES:
        flags.append("large_forces")
    below = distance.e_above_hull
    if below is not None and below < FAR_BELOW_HULL and not competition.among_candidates:
        flags.append("far_below_hull")
    formation = distance.formation_energy
    if formation is not None and abs(formation) > UNUSUAL_FORMATION_ENERGY:
        flags.append("unusual_formation_energy")
    return flags


def _decomposition(distance: HullDistance) -> str:
    """The competing phases at the candidate's composition, by their share of the atoms."""
    phases = sorted(distance.decomposition.items(), key=lambda item: (-item[1], item[0]))
    return " + ".join(f"{share:.3f} {formula}" for formula, share in phases)


def _correction(record: Record, card: ModelCard) -> float:
    """The correction (eV, total) that makes the model's energy comparable with the Materials Project's."""
    if required_correction(card) is CorrectionScheme.NONE:
        return 0.0
    from pymatgen.io.ase import AseAtomsAdaptor

    from uniscreen.thermodynamics import mp2020_correction

    assert record.crystal is not None
    return mp2020_correction(AseAtomsAdaptor.get_structure(record.crystal.atoms()), _energy(record)).total


def required_correction(card: ModelCard) -> CorrectionScheme:
    """The correction still to be applied to a model's energies: MP2020 to raw PBE ones, else none."""
    if card.functional == "PBE" and card.energy_convention == "raw":
        return CorrectionScheme.MP2020
    return CorrectionScheme.NONE


def hull_scheme(card: ModelCard) -> CorrectionScheme:
    """The scheme of the model's energies once corrected, which its references must share."""
    return CorrectionScheme.MP2020 if card.functional == "PBE" else CorrectionScheme.NONE


def _relaxation_energy(record: Record) -> float:
    """What relaxing changed the energy by, eV/atom."""
    assert record.initial_energy is not None
    assert record.n_atoms is not None
    return (_energy(record) - record.initial_energy) / record.n_atoms


def _energy(record: Record) -> float:
    assert record.energy is not None
    return record.energy


def _composition(record: Record) -> Composition:
    from ase.data import chemical_symbols
    from pymatgen.core import Composition

    assert record.crystal is not None
    amounts: dict[str, int] = {}
    for number in record.crystal.numbers:
        symbol = chemical_symbols[number]
        amounts[symbol] = amounts.get(symbol, 0) + 1
    return Composition(amounts)
