"""Phases of a chemical system: what a phase diagram shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.reports.tables import records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uniscreen.reports.results import ScreenResults
    from uniscreen.thermodynamics import ReferenceSet


@dataclass(frozen=True)
class Phase:
    """A phase in a diagram: ``fractions`` of the atoms by element, ``formation_energy`` in eV/atom.

    ``distance_meV`` is a candidate's distance to the hull as in the results, of a committee that of the leading model;
    None for a competing phase that is not a candidate.
    """

    name: str
    formula: str
    fractions: Mapping[str, float]
    formation_energy: float
    distance_meV: float | None = None  # noqa: N815 (the unit's own capital)


def candidate_phases(results: ScreenResults) -> list[Phase]:
    """The ok candidates that have a formation energy."""
    phases = []
    rows = results.ok[results.ok["formation_energy_eV_per_atom"].notna()]
    for row in records(rows):
        if fractions := _fractions(row["formula"]):
            phases.append(
                Phase(
                    name=row["id"],
                    formula=row["formula"],
                    fractions=fractions,
                    formation_energy=row["formation_energy_eV_per_atom"],
                    distance_meV=row["lead_distance_meV"],
                )
            )
    return phases


def _fractions(formula: str) -> dict[str, float]:
    from pymatgen.core import Composition

    try:
        composition = Composition(formula)
    except ValueError:
        return {}
    amounts = composition.get_el_amt_dict()
    total = sum(amounts.values())
    return {str(element): n / total for element, n in amounts.items()} if total > 0 else {}


def competing_phases(elements: Sequence[str], references: ReferenceSet, *, elements_only: bool) -> list[Phase]:
    """Reference phases of a system, their formation energies from the set's own elements."""
    if elements_only:
        return [Phase(references.terminals[el].entry_id, el, {el: 1.0}, 0.0) for el in elements]
    zero = {el: references.terminals[el].energy_per_atom for el in elements}
    phases = []
    for entry in references.competing_entries("-".join(elements)):
        n = entry.composition.num_atoms
        fractions = {str(el): amount / n for el, amount in entry.composition.get_el_amt_dict().items()}
        formation = entry.energy / n - sum(zero[el] * x for el, x in fractions.items())
        phases.append(Phase(str(entry.entry_id), entry.composition.reduced_formula, fractions, formation))
    return phases


def hull_and_tie_lines(
    elements: Sequence[str], competing: Sequence[Phase]
) -> tuple[list[Phase], list[tuple[Phase, Phase]]]:
    """Phases on the convex hull and the pairs of them that a tie-line joins."""
    from pymatgen.analysis.phase_diagram import PDEntry, PDPlotter, PhaseDiagram
    from pymatgen.core import Element

    entries = [PDEntry(dict(phase.fractions), phase.formation_energy, attribute=phase) for phase in competing]
    diagram = PhaseDiagram(entries, elements=[Element(el) for el in elements])
    vertices = diagram.qhull_entries
    lines = PDPlotter(diagram, backend="plotly").lines
    pairs = [(vertices[first].attribute, vertices[second].attribute) for first, second in lines]
    stable = {id(phase): phase for pair in pairs for phase in pair}
    return list(stable.values()), pairs
