"""The lower convex hull of one chemical system, and the lowest combination of phases at a composition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from uniscreen.thermodynamics.entries import CompetingEntry

    Array = NDArray[np.float64]
    Indices = NDArray[np.intp]

MAX_FACET_ELEMENTS = 6
"""Facets multiply with the number of elements; above this each composition is solved on its own."""

INSIDE_TOLERANCE = 1e-9
"""A composition is inside a facet down to this barycentric coordinate (pymatgen's value)."""

MIN_DETERMINANT = 1e-10
"""Facets thinner than this in composition cannot be inverted to full precision; they are left out."""

ENTERING = 50
"""Phases that enter the linear program at a time."""

OPTIMALITY = 1e-11
"""eV/atom: phases lower than this below the plane through the ones in use enter."""

PRESENT = 1e-8
"""Fraction of the atoms from which a phase counts as present (pymatgen's value)."""

SAME_COMPOSITION = 1e-8
"""Atomic fractions that differ by no more than this are those of one composition."""


@dataclass(frozen=True)
class Combination:
    """Phases, each with its share of the atoms, and their energy together, eV/atom."""

    energy_per_atom: float
    phases: tuple[tuple[CompetingEntry, float], ...]


@dataclass(frozen=True)
class SystemHull:
    """The lowest energy of any combination of ``phases``, by composition over the d ``elements``.

    ``fractions`` (n, d): atomic fractions of the n phases; ``energies`` (n,) eV/atom; ``facets`` (f, d): the
    phases at the corners of each facet. With f = 0 every composition is solved on its own.
    """

    elements: tuple[str, ...]
    phases: tuple[CompetingEntry, ...]
    fractions: Array
    energies: Array
    facets: Indices

    def lowest_combination(self, entry: CompetingEntry) -> Combination:
        """Find the hull at the composition of ``entry``."""
        return self._solve(self._composition(entry))

    def products(self, entry: CompetingEntry, lowest: Combination) -> Combination | None:
        """Find the lowest combination of phases of other compositions that has the composition of ``entry``.

        ``lowest`` is the lowest combination with or without ``entry`` itself. Where a phase of this composition is in
        it, leaving that out takes a linear program, once a composition. None for an element, which has nothing to
        decompose into.
        """
        if len(self.elements) == 1:
            return None
        target = self._composition(entry)
        whole = [phase for phase, _ in lowest.phases if len(phase.amounts) == len(self.elements)]
        if not any(np.abs(self._composition(phase) - target).max() <= SAME_COMPOSITION for phase in whole):
            return lowest
        key = tuple(target.tolist())
        if key not in self._products:
            others = np.abs(self.fractions - target).max(axis=1) > SAME_COMPOSITION
            self._products[key] = self._keeping(others)._solve(target)
        return self._products[key]

    def without(self, entry: CompetingEntry) -> SystemHull:
        """Leave out the phase ``entry``; compositions are then solved one by one, without facets."""
        return self._keeping(np.array([phase is not entry for phase in self.phases]))

    def _keeping(self, keep: NDArray[np.bool_]) -> SystemHull:
        return replace(
            self,
            phases=tuple(phase for phase, kept in zip(self.phases, keep, strict=True) if kept),
            fractions=self.fractions[keep],
            energies=self.energies[keep],
            facets=self.facets[:0],
        )

    def _composition(self, entry: CompetingEntry) -> Array:
        return atomic_fractions(self.elements, [entry])[0]

    def _solve(self, target: Array) -> Combination:
        corners, amounts = self._containing_facet(target)
        if corners is None:
            corners, amounts = np.arange(len(self.phases)), mix(target, self.fractions, self.energies)
        return Combination(
            energy_per_atom=float(amounts @ self.energies[corners]),
            phases=tuple((self.phases[corners[n]], float(amounts[n])) for n in np.flatnonzero(amounts > PRESENT)),
        )

    @cached_property
    def _products(self) -> dict[tuple[float, ...], Combination]:
        return {}

    def _containing_facet(self, target: Array) -> tuple[Indices | None, Array]:
        """Find the facet that ``target`` is deepest inside, and its barycentric coordinates there."""
        if not len(self.facets):
            return None, target
        amounts = self._inverses @ target  # (f, d)
        best = int(amounts.min(axis=1).argmax())
        return (self.facets[best] if amounts[best].min() >= -INSIDE_TOLERANCE else None), amounts[best]

    @cached_property
    def _inverses(self) -> Array:
        """(f, d, d): from a composition to the amounts of each facet's corners."""
        return np.asarray(np.linalg.inv(self.fractions[self.facets].transpose(0, 2, 1)), dtype=np.float64)


def build_system_hull(elements: Sequence[str], entries: Sequence[CompetingEntry]) -> SystemHull:
    """Build the hull of ``entries``: all within ``elements``, with each element itself among them."""
    fractions = atomic_fractions(elements, entries)
    facets = (
        _facets(fractions, entries)
        if len(elements) <= MAX_FACET_ELEMENTS
        else np.empty((0, len(elements)), dtype=np.intp)
    )
    energies = np.array([entry.energy_per_atom for entry in entries])
    return SystemHull(tuple(elements), tuple(entries), fractions, energies, facets)


def atomic_fractions(elements: Sequence[str], entries: Sequence[CompetingEntry]) -> Array:
    """Atomic fractions of the entries, (n, d)."""
    amounts = np.array([[entry.amounts.get(element, 0.0) for element in elements] for entry in entries])
    return np.asarray(amounts / amounts.sum(axis=1, keepdims=True), dtype=np.float64)


def mix(target: Array, fractions: Array, energies: Array) -> Array:
    """Weights (n,) of the phases that together have the composition ``target`` (d,) and the lowest energy.

    ``fractions`` (n, d) and ``energies`` (n,) eV/atom of the phases. A linear program: minimise sum of w_i
    e_i with sum of w_i x_i = target, w_i >= 0. Phases enter as they turn out to lie below the plane through
    those in use, so the program stays small.

    Source: Akbarzadeh, Ozoliņš, Wolverton, Adv. Mater. 19, 3233 (2007), doi:10.1002/adma.200700843.
    """
    from scipy.optimize import linprog

    columns = np.flatnonzero(fractions.max(axis=1) == 1.0)  # the elements alone make every composition
    while True:
        result = linprog(
            energies[columns],
            A_eq=fractions[columns].T,
            b_eq=target,
            bounds=(0, None),
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        assert result.success, f"no combination of phases gives {target}: {result.message}"
        below = energies - fractions @ result.eqlin.marginals  # from the plane through the phases in use
        lowest = np.argsort(below)[:ENTERING]
        entering = np.setdiff1d(lowest[below[lowest] < -OPTIMALITY], columns)
        if not len(entering):
            weights = np.zeros(len(energies))
            weights[columns] = result.x
            return weights
        columns = np.concatenate([columns, entering])


def _facets(fractions: Array, entries: Sequence[CompetingEntry]) -> Indices:
    """Facets of the lower hull by pymatgen's PhaseDiagram, as indices of ``entries``, (f, d)."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    numbered = [
        PDEntry(Composition(dict(entries[n].amounts)), entries[n].energy, attribute=n)
        for n in _lowest(fractions, entries)
    ]
    diagram = PhaseDiagram(numbered)
    index = np.array([vertex.attribute for vertex in diagram.qhull_entries])
    facets = index[np.array(diagram.facets, dtype=np.intp).reshape(-1, fractions.shape[1])]
    return facets[np.abs(np.linalg.det(fractions[facets])) > MIN_DETERMINANT]


def _lowest(fractions: Array, entries: Sequence[CompetingEntry]) -> list[int]:
    """The entries that are lowest at their composition, in order: thousands of others would only cost memory."""
    lowest: dict[bytes, float] = {}
    energies = [entry.energy_per_atom for entry in entries]
    keys = [row.tobytes() for row in np.round(fractions, 9)]
    for key, energy in zip(keys, energies, strict=True):
        lowest[key] = min(energy, lowest.get(key, energy))
    return [n for n, (key, energy) in enumerate(zip(keys, energies, strict=True)) if energy <= lowest[key] + OPTIMALITY]
