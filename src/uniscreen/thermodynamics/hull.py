"""Formation energies and distances to the convex hull."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.errors import InputError
from uniscreen.thermodynamics.elements import elemental_references, has_elemental_references
from uniscreen.thermodynamics.entries import CompetingEntry, amounts_of, by_system, entries_within
from uniscreen.thermodynamics.reactions import formula_unit, shares_by_formula
from uniscreen.thermodynamics.uncertainty import difference_uncertainty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pymatgen.core import Composition

    from uniscreen.thermodynamics.facets import Combination, SystemHull
    from uniscreen.thermodynamics.references import ReferenceSet

ON_HULL = 1e-9
"""eV/atom: within rounding of the hull."""


@dataclass(frozen=True)
class HullDistance:
    """Where a candidate stands among its competitors.

    ``e_above_hull`` eV/atom, negative where it lies below the hull of its competitors, None where an element
    has no entry; ``formation_energy`` eV/atom, None where an element has no reference; ``missing_terminals``:
    elements without an entry; ``phases``: the competing phases at this composition, each with its share of the atoms.

    ``decomposition_energy``: the candidate's energy minus that of the lowest combination of phases of other
    compositions, ``products``, eV/atom: what it costs to decompose, negative where it takes energy to. It is the
    distance to the hull unless a phase of the candidate's own composition is on that. None and empty for elements.

    ``e_above_hull_uncertainty`` and ``formation_energy_uncertainty`` (eV/atom): the standard errors that come from the
    fitted corrections, and from nothing else; None where they are not known.
    """

    e_above_hull: float | None
    formation_energy: float | None
    missing_terminals: tuple[str, ...]
    phases: tuple[tuple[CompetingEntry, float], ...] = ()
    decomposition_energy: float | None = None
    products: tuple[tuple[CompetingEntry, float], ...] = ()
    e_above_hull_uncertainty: float | None = None
    formation_energy_uncertainty: float | None = None

    @property
    def decomposition(self) -> Mapping[str, float]:
        """Shares of the atoms of the competing phases by formula, the largest first."""
        return shares_by_formula(self.phases)


SYSTEMS_KEPT = 100
"""Hulls of chemical systems that are kept. Who places many candidates does so system by system."""


class _SystemHulls:
    """Places candidates on the hulls of their chemical systems, of which those used last are kept."""

    def __init__(self, references: ReferenceSet, within: Callable[[tuple[str, ...]], Sequence[CompetingEntry]]) -> None:
        self._terminals = references.terminals
        self._element_energies = _element_energies(references)
        self._within = within
        self._systems: dict[tuple[str, ...], SystemHull] = {}

    def place(self, candidate: CompetingEntry) -> HullDistance:
        """Find where a candidate stands, with the uncertainties of its corrections.

        Raises:
            InputError: the energy is not finite.

        """
        _require_finite(candidate)
        if missing := self._missing(candidate):
            return _without_hull(candidate, self._element_energies, missing)
        system = self._system(candidate)
        return _placed(candidate, self._lowest(system, candidate), system, self._element_energies)

    def _lowest(self, system: SystemHull, candidate: CompetingEntry) -> Combination:
        """What competes with the candidate at its composition."""
        return system.lowest_combination(candidate)

    def _missing(self, candidate: CompetingEntry) -> tuple[str, ...]:
        """Its elements that have no entry."""
        return tuple(element for element in sorted(candidate.amounts) if element not in self._terminals)

    def _system(self, candidate: CompetingEntry) -> SystemHull:
        """The hull of its chemical system: one that was kept, else a new one of the entries within it."""
        elements = tuple(sorted(candidate.amounts))
        if elements not in self._systems:
            from uniscreen.thermodynamics.facets import build_system_hull

            if len(self._systems) >= SYSTEMS_KEPT:
                self._systems.pop(next(iter(self._systems)))
            self._systems[elements] = build_system_hull(elements, self._within(elements))
        return self._systems[elements]


class Hull(_SystemHulls):
    """Distances to the hull of a reference set."""

    def __init__(self, references: ReferenceSet) -> None:
        super().__init__(references, references.within)

    def e_above_hull(self, composition: Composition, energy: float) -> HullDistance:
        """Distance to the hull of the references, and formation energy, for a corrected total ``energy``, eV.

        Raises:
            InputError: ``energy`` is not finite, or ``composition`` is empty.

        """
        return self.place(CompetingEntry("candidate", amounts_of(composition), energy))

    def energy_per_atom(self, amounts: Mapping[str, float]) -> float | None:
        """Energy of the hull where there are these ``amounts`` of the elements, eV/atom; None if one has no entry."""
        there = CompetingEntry("composition", amounts, 0.0)
        return None if self._missing(there) else self._lowest(self._system(there), there).energy_per_atom


class OutsiderHull(_SystemHulls):
    """Distances of what is no candidate itself to the hull of candidates and the elemental entries of ``references``.

    Formation energies are against these entries, whichever elements are candidates.
    """

    def __init__(self, candidates: Iterable[CompetingEntry], references: ReferenceSet) -> None:
        groups = by_system([*references.terminals.values(), *candidates])
        super().__init__(references, lambda wanted: entries_within(groups, wanted))


class CandidateHull(OutsiderHull):
    """Distances of candidates to the hull of all others and the elemental entries of ``references``.

    The candidates' energies are comparable with the references'. A candidate above the hull has its distance to it;
    one on the hull has minus the energy by which it lies below the hull of all others, so that a more negative number
    is a more robust phase (another polymorph is one of the others; two identical duplicates get 0). Candidates of a
    subsystem compete too: Li-O in Li-Co-O. ``phases`` are the others in either case. What is placed is one of the
    candidates, the very object.
    """

    def _lowest(self, system: SystemHull, candidate: CompetingEntry) -> Combination:
        lowest = system.lowest_combination(candidate)
        if candidate.energy_per_atom - lowest.energy_per_atom <= ON_HULL:
            return system.without(candidate).lowest_combination(candidate)
        return lowest


def formation_energy(amounts: Mapping[str, float], energy: float, elements: Mapping[str, float]) -> float | None:
    """Compute the formation energy (E - sum of n_i mu_i) / N, eV/atom; None where ``elements`` lacks one.

    ``amounts``: atoms n_i by element, N in all; ``energy``: total energy E, eV; ``elements``: energy mu_i of
    each element's reference, eV/atom.

    Source: Wang et al., Sci. Rep. 11, 15496 (2021), doi:10.1038/s41598-021-94550-5; the Materials Project's
    definition.
    """
    if any(element not in elements for element in amounts):
        return None
    reference = sum(n * elements[element] for element, n in amounts.items())
    return (energy - reference) / sum(amounts.values())


def hull_over_candidates(candidates: Sequence[CompetingEntry], references: ReferenceSet) -> list[HullDistance]:
    """Place each candidate among the others; see ``CandidateHull``.

    Raises:
        InputError: an energy is not finite.

    """
    hull = CandidateHull(candidates, references)
    return [hull.place(candidate) for candidate in candidates]


def _require_finite(candidate: CompetingEntry) -> None:
    if not math.isfinite(candidate.energy):
        raise InputError(
            f"The energy of {formula_unit(candidate.amounts)[0]} is {candidate.energy} eV; a hull distance needs a "
            "finite total energy in eV."
        )


def _element_energies(references: ReferenceSet) -> dict[str, float]:
    """Energy of each element, eV/atom: the references' own, else the table's of the same functional."""
    functional = references.functional
    table = elemental_references(functional) if has_elemental_references(functional) else {}
    return {**table, **{el: entry.energy_per_atom for el, entry in references.terminals.items()}}


def _without_hull(candidate: CompetingEntry, elements: Mapping[str, float], missing: tuple[str, ...]) -> HullDistance:
    formation = formation_energy(candidate.amounts, candidate.energy, elements)
    uncertainty = None if formation is None else difference_uncertainty(candidate)
    return HullDistance(None, formation, missing, formation_energy_uncertainty=uncertainty)


def _placed(
    candidate: CompetingEntry, lowest: Combination, system: SystemHull, elements: Mapping[str, float]
) -> HullDistance:
    """Place ``candidate`` above (or below) ``lowest``, its competitors in ``system``."""
    energy = candidate.energy_per_atom
    products = system.products(candidate, lowest)
    return HullDistance(
        e_above_hull=energy - lowest.energy_per_atom,
        formation_energy=formation_energy(candidate.amounts, candidate.energy, elements),
        missing_terminals=(),
        phases=lowest.phases,
        decomposition_energy=None if products is None else energy - products.energy_per_atom,
        products=() if products is None else products.phases,
        e_above_hull_uncertainty=difference_uncertainty(candidate, lowest.phases),
        formation_energy_uncertainty=difference_uncertainty(candidate),  # elements have no corrections
    )
