"""Formation energies and distances to the convex hull."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.errors import InputError
from uniscreen.thermodynamics.elements import elemental_references, has_elemental_references
from uniscreen.thermodynamics.entries import CompetingEntry, amounts_of, by_system, entries_within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Composition

    from uniscreen.thermodynamics.facets import SystemHull
    from uniscreen.thermodynamics.references import ReferenceSet

ON_HULL = 1e-9
"""eV/atom: within rounding of the hull."""


@dataclass(frozen=True)
class HullDistance:
    """Where a candidate stands among its competitors.

    ``e_above_hull`` eV/atom, negative where it lies below the hull of its competitors, None where an element
    has no entry; ``formation_energy`` eV/atom, None where an element has no reference; ``missing_terminals``:
    elements without an entry; ``decomposition``: the competing phases at this composition, formula ->
    fraction of the atoms.
    """

    e_above_hull: float | None
    formation_energy: float | None
    missing_terminals: tuple[str, ...]
    decomposition: Mapping[str, float]


class Hull:
    """Distances to the hull of a reference set; the hull of each chemical system is built once and kept."""

    def __init__(self, references: ReferenceSet) -> None:
        self._references = references
        self._terminal_energies = {el: entry.energy_per_atom for el, entry in references.terminals.items()}
        self._element_energies = _element_energies(references)
        self._systems: dict[tuple[str, ...], SystemHull] = {}

    def e_above_hull(self, composition: Composition, energy: float) -> HullDistance:
        """Distance to the hull of the references, and formation energy, for a corrected total ``energy``, eV.

        Raises:
            InputError: ``energy`` is not finite, or ``composition`` is empty.

        """
        candidate = _candidate(composition, energy)
        formation = formation_energy(candidate.amounts, energy, self._element_energies)
        elements = tuple(sorted(candidate.amounts))
        missing = tuple(element for element in elements if element not in self._terminal_energies)
        if missing:
            return HullDistance(None, formation, missing, {})
        if elements not in self._systems:
            from uniscreen.thermodynamics.facets import build_system_hull

            self._systems[elements] = build_system_hull(elements, self._references.within(elements))
        distance, decomposition = _distance(self._systems[elements], candidate)
        return HullDistance(distance, formation, (), decomposition)


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


def hull_over_candidates(
    compositions: Sequence[Composition], energies: Sequence[float], references: ReferenceSet
) -> list[HullDistance]:
    """Distance of each candidate to the hull of all others and the elemental entries of ``references``.

    ``energies`` are total energies, eV, comparable with the references'. A candidate above the hull has its
    distance to it; one on the hull has minus the energy by which it lies below the hull of all others, so
    that a more negative number is a more robust phase (another polymorph is one of the others; two identical
    duplicates get 0). Candidates of a subsystem compete too: Li-O in Li-Co-O. ``decomposition`` is into the
    others in either case.

    Raises:
        InputError: an energy is not finite, a composition is empty, or there are not as many of one as of the
        other.

    """
    from uniscreen.thermodynamics.facets import build_system_hull

    candidates = _candidates(compositions, energies)
    terminals = references.terminals
    groups = by_system([*terminals.values(), *candidates])
    element_energies = _element_energies(references)
    systems: dict[tuple[str, ...], SystemHull] = {}
    distances = []
    for candidate in candidates:
        formation = formation_energy(candidate.amounts, candidate.energy, element_energies)
        elements = tuple(sorted(candidate.amounts))
        missing = tuple(element for element in elements if element not in terminals)
        if missing:
            distances.append(HullDistance(None, formation, missing, {}))
            continue
        if elements not in systems:
            systems[elements] = build_system_hull(elements, entries_within(groups, elements))
        distance, decomposition = _distance(systems[elements], candidate)
        if distance <= ON_HULL:
            distance, decomposition = _distance(systems[elements].without(candidate), candidate)
        distances.append(HullDistance(distance, formation, (), decomposition))
    return distances


def _candidates(compositions: Sequence[Composition], energies: Sequence[float]) -> list[CompetingEntry]:
    if len(compositions) != len(energies):
        raise InputError(f"Got {len(compositions)} compositions and {len(energies)} energies, expected one for each.")
    pairs = zip(compositions, energies, strict=True)
    return [_candidate(composition, energy, str(n)) for n, (composition, energy) in enumerate(pairs)]


def _candidate(composition: Composition, energy: float, name: str = "candidate") -> CompetingEntry:
    if not math.isfinite(energy):
        raise InputError(
            f"The energy of {composition} is {energy} eV; a hull distance needs a finite total energy in eV."
        )
    return CompetingEntry(name, amounts_of(composition), float(energy))


def _element_energies(references: ReferenceSet) -> dict[str, float]:
    """Energy of each element, eV/atom: the references' own, else the table's of the same functional."""
    functional = references.functional
    table = elemental_references(functional) if has_elemental_references(functional) else {}
    return {**table, **{el: entry.energy_per_atom for el, entry in references.terminals.items()}}


def _distance(system: SystemHull, candidate: CompetingEntry) -> tuple[float, dict[str, float]]:
    """Distance (eV/atom) of ``candidate`` to the hull of ``system``, and the phases there."""
    energy, weights = system.lowest_combination(candidate)
    return candidate.energy_per_atom - energy, weights
