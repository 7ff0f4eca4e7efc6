"""From records to the results table: corrections, formation energies, hull distances, flags and ranks."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uniscreen.screening.columns import column_types, correction_column, taken_names
from uniscreen.screening.competition import Standings
from uniscreen.screening.corrections import applied_correction, unrelaxed_correction
from uniscreen.screening.flags import flags, relaxation_energy
from uniscreen.screening.record import EVALUATED, Record
from uniscreen.structures.rows import carried_names
from uniscreen.thermodynamics import reaction
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.competition import Competition, ModelReferences, Standing
    from uniscreen.thermodynamics import HullDistance


ROWS_AT_A_TIME = 1_000
"""Rows that are built as plain values before they become columns."""


def results_table(
    records: Sequence[Record],
    card: ModelCard,
    competition: Competition,
    columns: pd.DataFrame,
    model_references: ModelReferences | None = None,
) -> pd.DataFrame:
    """One row a candidate, ranked ones first and in order of rank, then the others in input order.

    ``records`` are read twice and none is kept. ``columns`` are the input's own columns, one row a candidate in input
    order. One whose name is taken is called ``input_<name>``. With ``model_references`` there are distances to their
    hull too.
    """
    import pandas as pd

    survey = _Survey.of(records, card)
    standings = Standings(competition, records, card, model_references)
    types = column_types(
        survey.adjustments, ensemble=survey.is_of_ensemble, self_consistent=model_references is not None
    )
    parts = []
    for start in range(0, len(records), ROWS_AT_A_TIME):
        some = survey.by_system[start : start + ROWS_AT_A_TIME]
        rows = [_row(records[place], card, standings, competition, survey.adjustments) for place in some]
        parts.append({name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in types.items()})
    table = _assembled(parts, survey.by_system)
    carried = columns.iloc[survey.indices[table.index]].reset_index(drop=True)
    carried.columns = carried_names(carried.columns, taken_names(carried.columns, types))
    return pd.concat([table.reset_index(drop=True), carried], axis=1)


@dataclass(frozen=True)
class _Survey:
    """What has to be known of all records before the first row is made.

    ``indices`` (n,): the place of each record in the input; ``by_system`` (n,): the places of the records among
    themselves, those of one chemical system after each other, so that few hulls are in memory; ``adjustments``: the
    named ones in any of the corrections; ``is_of_ensemble``: whether there are deviations of an ensemble's members.
    """

    indices: NDArray[np.intp]
    by_system: NDArray[np.intp]
    adjustments: frozenset[str]
    is_of_ensemble: bool

    @classmethod
    def of(cls, records: Iterable[Record], card: ModelCard) -> _Survey:
        indices, systems = array("q"), array("q")
        adjustments: set[str] = set()
        is_of_ensemble = False
        numbers: dict[frozenset[int], int] = {}
        for record in records:
            indices.append(record.index)
            evaluated = record.crystal is not None and record.status in EVALUATED
            system = frozenset(record.crystal.numbers if evaluated and record.crystal is not None else ())
            systems.append(numbers.setdefault(system, len(numbers)))
            if evaluated:
                adjustments |= applied_correction(record, card).adjustments.keys()
                is_of_ensemble |= record.energy_std is not None
        by_system = np.argsort(np.array(systems), kind="stable")
        return cls(np.array(indices), by_system, frozenset(adjustments), is_of_ensemble)


def _assembled(parts: Sequence[dict[str, pd.Series]], by_system: NDArray[np.intp]) -> pd.DataFrame:
    """One table of the ``parts``, whose rows are the records ``by_system``; the index are the records' places.

    Ranked are the ok rows, by hull distance, then formation energy; those without a hull distance come last of them.
    The parts are emptied on the way, since two whole tables may not fit into memory.
    """
    import pandas as pd

    keys = ["e_above_hull_eV_per_atom", "formation_energy_eV_per_atom"]
    to_input_order = np.argsort(by_system)
    decisive = pd.DataFrame({name: _joined(parts, name).take(to_input_order) for name in ("status", *keys)})
    decisive = decisive.reset_index(drop=True)
    ok = decisive["status"] == "ok"
    ranked = decisive[ok].sort_values(keys, kind="stable", na_position="last").index
    order = np.array([*ranked, *decisive.index[~ok]], dtype=np.intp)
    rows = to_input_order[order]
    columns = {}
    for name in list(parts[0]):
        columns[name] = _joined(parts, name).take(rows).set_axis(order)
        for part in parts:
            del part[name]
    ranks = pd.array([*range(1, len(ranked) + 1), *[None] * (len(order) - len(ranked))], dtype="Int64")
    return pd.DataFrame(columns | {"rank": pd.Series(ranks, index=order)}, copy=False)


def _joined(parts: Sequence[dict[str, pd.Series]], name: str) -> pd.Series:
    import pandas as pd

    return pd.concat([part[name] for part in parts], ignore_index=True)


def _row(
    record: Record, card: ModelCard, standings: Standings, competition: Competition, adjustments: Iterable[str]
) -> dict[str, Any]:
    """The values of one row by column; what a record without an energy lacks is left out."""
    row = _common(record, card)
    if record.status not in EVALUATED:
        return row
    return row | _evaluated(record, card, standings.of(record), competition, adjustments)


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
        "energy_std_eV_per_atom": record.energy_std,
        "max_force_std_eV_per_A": record.max_force_std,
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
