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


class Hull:
    """Distances to the hull of a reference set; the hulls of the chemical systems used last are kept."""

    def __init__(self, references: ReferenceSet) -> None:
        self._references = references
        self._terminals = references.terminals
        self._element_energies = _element_energies(references)
        self._systems: dict[tuple[str, ...], SystemHull] = {}

    def e_above_hull(self, composition: Composition, energy: float) -> HullDistance:
        """Distance to the hull of the references, and formation energy, for a corrected total ``energy``, eV.

        Raises:
            InputError: ``energy`` is not finite, or ``composition`` is empty.

        """
        return self.place(CompetingEntry("candidate", amounts_of(composition), energy))

    def place(self, candidate: CompetingEntry) -> HullDistance:
        """Find where a candidate stands; as ``e_above_hull``, with the uncertainties of its corrections.

        Raises:
            InputError: the energy is not finite.

        """
        _require_finite(candidate)
        elements = tuple(sorted(candidate.amounts))
        if missing := tuple(element for element in elements if element not in self._terminals):
            return _without_hull(candidate, self._element_energies, missing)
        system = _kept(self._systems, elements, self._references.within)
        return _placed(candidate, system.lowest_combination(candidate), system, self._element_energies)


class CandidateHull:
    """Distances of candidates to the hull of all others and the elemental entries of ``references``.

    The candidates' energies are comparable with the references'. A candidate above the hull has its distance to it;
    one on the hull has minus the energy by which it lies below the hull of all others, so that a more negative number
    is a more robust phase (another polymorph is one of the others; two identical duplicates get 0). Candidates of a
    subsystem compete too: Li-O in Li-Co-O. ``phases`` are the others in either case.
    """

    def __init__(self, candidates: Iterable[CompetingEntry], references: ReferenceSet) -> None:
        self._terminals = references.terminals
        self._groups = by_system([*self._terminals.values(), *candidates])
        self._element_energies = _element_energies(references)
        self._systems: dict[tuple[str, ...], SystemHull] = {}

    def place(self, candidate: CompetingEntry) -> HullDistance:
        """Find where one of the candidates (the very object) stands among the others.

        Raises:
            InputError: the energy is not finite.

        """
        _require_finite(candidate)
        elements = tuple(sorted(candidate.amounts))
        if missing := tuple(element for element in elements if element not in self._terminals):
            return _without_hull(candidate, self._element_energies, missing)
        system = _kept(self._systems, elements, lambda wanted: entries_within(self._groups, wanted))
        lowest = system.lowest_combination(candidate)
        if candidate.energy_per_atom - lowest.energy_per_atom <= ON_HULL:
            lowest = system.without(candidate).lowest_combination(candidate)
        return _placed(candidate, lowest, system, self._element_energies)


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


def _kept(
    systems: dict[tuple[str, ...], SystemHull],
    elements: tuple[str, ...],
    entries: Callable[[tuple[str, ...]], Sequence[CompetingEntry]],
) -> SystemHull:
    """The hull of a chemical system: that among the ``systems`` kept, else a new one of the ``entries`` within it."""
    if elements not in systems:
        from uniscreen.thermodynamics.facets import build_system_hull

        if len(systems) >= SYSTEMS_KEPT:
            systems.pop(next(iter(systems)))
        systems[elements] = build_system_hull(elements, entries(elements))
    return systems[elements]


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
