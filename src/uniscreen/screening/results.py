"""From records to the results table: corrections, formation energies, hull distances, flags and ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uniscreen.screening.columns import column_types, correction_column
from uniscreen.screening.corrections import applied_correction, unrelaxed_correction
from uniscreen.screening.flags import flags, relaxation_energy
from uniscreen.screening.record import EVALUATED, Record
from uniscreen.thermodynamics import reaction
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.competition import Competition, ModelReferences, Standing
    from uniscreen.thermodynamics import HullDistance


def results_table(
    records: Sequence[Record],
    card: ModelCard,
    competition: Competition,
    columns: pd.DataFrame,
    model_references: ModelReferences | None = None,
) -> pd.DataFrame:
    """One row a candidate, ranked ones first and in order of rank, then the others in input order.

    ``columns`` are the input's own columns, one row a candidate in input order. One whose name is taken is called
    ``input_<name>``. With ``model_references`` there are distances to their hull too.
    """
    import pandas as pd

    evaluated = [record for record in records if record.status in EVALUATED]
    standings = competition.standings(evaluated, card, model_references)
    adjustments = {name for record in evaluated for name in applied_correction(record, card).adjustments}
    types = column_types(adjustments, self_consistent=model_references is not None)
    rows = {record.index: _common(record, card) for record in records}
    for record in evaluated:
        rows[record.index] |= _evaluated(record, card, standings[record.index], competition, adjustments)
    table = pd.DataFrame(rows.values(), columns=list(types)).astype(types)
    carried = columns.iloc[[record.index for record in records]].reset_index(drop=True)
    carried.columns = [f"input_{name}" if name in types else name for name in carried.columns]
    return _ranked(pd.concat([table, carried], axis=1))


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Rank the ok rows by hull distance, then formation energy; those without a hull distance come last."""
    ok = table["status"] == "ok"
    keys = ["e_above_hull_eV_per_atom", "formation_energy_eV_per_atom"]
    order = table[ok].sort_values(keys, kind="stable", na_position="last").index
    table.loc[order, "rank"] = range(1, len(order) + 1)
    return table.loc[[*order, *table.index[~ok]]].reset_index(drop=True)


def _common(record: Record, card: ModelCard) -> dict[str, Any]:
    """What every row has."""
    return {
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
        "decomposition_reaction": "",
        "decomposition_self_consistent": "",
        "flags": "",
    }


def _evaluated(
    record: Record, card: ModelCard, standing: Standing, competition: Competition, adjustments: Iterable[str]
) -> dict[str, Any]:
    """What a row with an energy has in addition."""
    assert record.n_atoms is not None
    assert record.max_stress is not None
    assert record.volume_change is not None
    return {
        **_energies(record, card, adjustments),
        **_distances(standing),
        "relaxation_energy_eV_per_atom": relaxation_energy(record),
        "max_force_eV_per_A": record.max_force,
        "max_stress_GPa": record.max_stress * EV_PER_CUBIC_ANGSTROM_TO_GPA,
        "volume_change_percent": 100.0 * record.volume_change,
        "flags": ";".join(flags(record, card, standing, competition)),
    }


def _energies(record: Record, card: ModelCard, adjustments: Iterable[str]) -> dict[str, float]:
    """Raw energy, each correction, and corrected energy, eV/atom; an adjustment that does not apply is 0."""
    assert record.energy is not None
    assert record.n_atoms is not None
    correction = applied_correction(record, card)
    totals = {
        "energy_eV_per_atom": record.energy,
        "correction_eV_per_atom": correction.total,
        "correction_unrelaxed_eV_per_atom": unrelaxed_correction(record, card).total,
        "corrected_energy_eV_per_atom": record.energy + correction.total,
        **{correction_column(name): correction.adjustments.get(name, 0.0) for name in adjustments},
    }
    return {name: total / record.n_atoms for name, total in totals.items()}


def _distances(standing: Standing) -> dict[str, Any]:
    distance = standing.distance
    columns: dict[str, Any] = {
        "formation_energy_eV_per_atom": distance.formation_energy,
        "formation_energy_uncertainty_eV_per_atom": distance.formation_energy_uncertainty,
        "e_above_hull_eV_per_atom": distance.e_above_hull,
        "e_above_hull_uncertainty_eV_per_atom": distance.e_above_hull_uncertainty,
        "decomposition": _shares(distance),
        "decomposition_energy_eV_per_atom": distance.decomposition_energy,
        "decomposition_reaction": reaction(standing.entry.amounts, distance.products) if distance.products else "",
    }
    if standing.self_consistent is None:
        return columns
    return columns | {
        "e_above_hull_self_consistent_eV_per_atom": standing.self_consistent.e_above_hull,
        "decomposition_self_consistent": _shares(standing.self_consistent),
    }


def _shares(distance: HullDistance) -> str:
    """The competing phases at the candidate's composition, by their share of the atoms."""
    return " + ".join(f"{share:.3f} {formula}" for formula, share in distance.decomposition.items())
