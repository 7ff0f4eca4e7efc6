"""The lower convex hull of one chemical system, and the lowest combination of phases at a composition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from uniscreen.thermodynamics.entries import CompetingEntry

    Array = NDArray[np.float64]

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
    facets: NDArray[np.intp]

    def lowest_combination(self, entry: CompetingEntry) -> tuple[float, dict[str, float]]:
        """Find the hull at the composition of ``entry``: eV/atom, and the phases there with their shares."""
        target = atomic_fractions(self.elements, [entry])[0]
        corners, amounts = self._containing_facet(target)
        if corners is None:
            corners, amounts = np.arange(len(self.phases)), mix(target, self.fractions, self.energies)
        present = np.flatnonzero(amounts > PRESENT)
        decomposition = {self._formula(int(corners[i])): float(amounts[i]) for i in present}
        return float(amounts @ self.energies[corners]), decomposition

    def without(self, entry: CompetingEntry) -> SystemHull:
        """Leave out the phase ``entry``; compositions are then solved one by one, without facets."""
        keep = np.array([phase is not entry for phase in self.phases])
        return replace(
            self,
            phases=tuple(phase for phase in self.phases if phase is not entry),
            fractions=self.fractions[keep],
            energies=self.energies[keep],
            facets=self.facets[:0],
        )

    def _containing_facet(self, target: Array) -> tuple[NDArray[np.intp] | None, Array]:
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

    def _formula(self, phase: int) -> str:
        return _reduced_formula(tuple(self.phases[phase].amounts.items()))


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


@lru_cache(maxsize=4096)
def _reduced_formula(amounts: tuple[tuple[str, float], ...]) -> str:
    from pymatgen.core import Composition

    return str(Composition(dict(amounts)).reduced_formula)


def _facets(fractions: Array, entries: Sequence[CompetingEntry]) -> NDArray[np.intp]:
    """Facets of the lower hull by pymatgen's PhaseDiagram, as indices of ``entries``, (f, d)."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    numbered = [PDEntry(Composition(dict(e.amounts)), e.energy, attribute=n) for n, e in enumerate(entries)]
    diagram = PhaseDiagram(numbered)
    index = np.array([vertex.attribute for vertex in diagram.qhull_entries])
    facets = index[np.array(diagram.facets, dtype=np.intp).reshape(-1, fractions.shape[1])]
    return facets[np.abs(np.linalg.det(fractions[facets])) > MIN_DETERMINANT]
