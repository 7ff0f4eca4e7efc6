"""What a reader should know before trusting a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase.formula import Formula

from uniscreen.screening.corrections import applied_correction, class_changed

if TYPE_CHECKING:
    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.competition import Competition, Standing
    from uniscreen.screening.record import Record
    from uniscreen.thermodynamics import HullDistance

LARGE_VOLUME_CHANGE = 0.20
"""Fraction of the volume beyond which a relaxation has probably left the structure that was meant."""

FAR_FROM_MINIMUM = -0.25
"""eV/atom gained by relaxing. Beyond it the given structure was not near the one that was found."""

LARGE_FORCES = 0.5
"""eV/Å left on an atom: ten times the usual limit of a relaxation, so the energy is not that of a minimum."""

MEMBERS_APART = 0.02
"""eV/atom between the members of an ensemble. Their common error is larger, see docs/fine-tuning.md."""

FAR_BELOW_HULL = -0.10
"""eV/atom. Further below a complete DFT hull than new phases are found; a fault of the model is likelier."""

UNUSUAL_FORMATION_ENERGY = 5.0
"""eV/atom. Beyond any known compound: matbench-discovery's limit for failed predictions."""


def flags(record: Record, card: ModelCard, standing: Standing, competition: Competition) -> list[str]:
    """The flags of an evaluated record; what follows a colon is a flag's detail."""
    distance = standing.distance
    return [
        *(f"missing_terminal:{element}" for element in distance.missing_terminals),
        *_of_relaxation(record),
        *_of_elements(record, card),
        *(["members_disagree"] if record.energy_std is not None and record.energy_std > MEMBERS_APART else []),
        *(["correction_class_changed"] if class_changed(record, card) else []),
        *([] if applied_correction(record, card).anions_known else ["oxidation_states_unknown"]),
        *_of_distance(distance, competition),
        *(f"reference_without_energy:{name}" for name in standing.without_energy),
    ]


def relaxation_energy(record: Record) -> float:
    """What relaxing changed the energy by, eV/atom."""
    assert record.energy is not None
    assert record.initial_energy is not None
    assert record.n_atoms is not None
    return (record.energy - record.initial_energy) / record.n_atoms


def _of_relaxation(record: Record) -> list[str]:
    assert record.volume_change is not None
    found = []
    if abs(record.volume_change) > LARGE_VOLUME_CHANGE:
        found.append("large_volume_change")
    if record.space_group_initial != record.space_group_final:
        found.append("space_group_changed")
    if relaxation_energy(record) < FAR_FROM_MINIMUM:
        found.append("far_from_minimum")
    if record.max_force is not None and record.max_force > LARGE_FORCES:
        found.append("large_forces")
    return found


def _of_elements(record: Record, card: ModelCard) -> list[str]:
    """A flag for each element that a fine-tuned model knows from its base alone."""
    outside = set(Formula(record.formula)) - card.tuned_elements if card.tuned_elements else set()
    return [f"outside_fine_tuning:{element}" for element in sorted(outside)]


def _of_distance(distance: HullDistance, competition: Competition) -> list[str]:
    found = []
    below = distance.e_above_hull
    if below is not None and below < FAR_BELOW_HULL and not competition.among_candidates:
        found.append("far_below_hull")
    formation = distance.formation_energy
    if formation is not None and abs(formation) > UNUSUAL_FORMATION_ENERGY:
        found.append("unusual_formation_energy")
    return found
