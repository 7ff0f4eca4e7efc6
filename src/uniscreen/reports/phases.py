"""Phases of a chemical system: what a phase diagram shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.reports.results import OK
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


class CandidatePhases:
    """The ok candidates that have a formation energy, by chemical system; phases are made of those that are drawn."""

    def __init__(self, results: ScreenResults) -> None:
        import pandas as pd

        shown = ["id", "formula", "formation_energy_eV_per_atom", "lead_distance_meV"]
        rows = results.frame[shown]
        self._rows = rows[(results.frame["status"] == OK) & rows["formation_energy_eV_per_atom"].notna()]
        self._formula, formulas = pd.factorize(self._rows["formula"])
        self._fractions = [_fractions(str(formula)) for formula in formulas]

    def count(self) -> Counter[frozenset[str]]:
        """How many candidates hold just these elements, by the elements."""
        counts: Counter[frozenset[str]] = Counter()
        of_each = np.bincount(self._formula, minlength=len(self._fractions)).tolist()
        for fractions, n in zip(self._fractions, of_each, strict=True):
            counts[frozenset(fractions)] += n
        del counts[frozenset()]  # a formula that cannot be read
        return counts

    def within(self, system: frozenset[str], most: int) -> list[Phase]:
        """The candidates that hold no other elements, in order of rank; of more than ``most`` the nearest."""
        inside = np.array([bool(fractions) and fractions.keys() <= system for fractions in self._fractions], dtype=bool)
        rows = self._rows.assign(fractions=self._formula)[inside[self._formula]]
        if len(rows) > most:
            rows = rows.sort_values("lead_distance_meV", kind="stable").head(most).sort_index()
        return [
            Phase(
                name=row["id"],
                formula=row["formula"],
                fractions=self._fractions[row["fractions"]],
                formation_energy=row["formation_energy_eV_per_atom"],
                distance_meV=row["lead_distance_meV"],
            )
            for row in records(rows)
        ]


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
