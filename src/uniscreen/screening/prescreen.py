"""Cheap first: relaxations that are stopped early, by what a pilot that was relaxed to the end has shown.

The energy that a relaxation can still gain is at most the force times the way, if the energy is convex along it. So of
each step of the pilot's relaxations the energy that was gained from there on (eV/atom, corrected) is divided by the
largest force that was left (eV/Å): the way that it amounts to (Å), and of each relaxation the longest one counts. All
but the longest few of these bound what the other candidates can still gain, by the force that they have left.

The pilot is drawn once from the places of the input and recorded like all candidates, so a run that is continued
learns the same, and a deterministic one too.
"""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from uniscreen.screening.corrections import (
    applied_correction,
    correction_of,
    reference_energies,
    required_correction,
    unrelaxed_correction,
)
from uniscreen.screening.record import EVALUATED
from uniscreen.thermodynamics import CorrectionScheme, Hull, ReferenceSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ase import Atoms

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.record import Record, Steps
    from uniscreen.screening.settings import ScreenSettings

PILOT_SHARE = 0.1
"""Of the candidates that are in the pilot; but at least and at most:"""
LEAST_PILOT, MOST_PILOT = 50, 500

LEAST_FINISHED = 20
"""Relaxations of the pilot without which nothing is learned, and so nothing is stopped."""

QUANTILE = 0.95
"""Share of the pilot's relaxations whose ways the bound covers."""


class Watcher:
    """What looks on while candidates are relaxed, in a worker; this one does nothing. It is sent there pickled."""

    def outlook(self, atoms: Atoms) -> Any:  # noqa: ARG002
        """What is to be known of a candidate before it is relaxed; asked of a copy, perhaps in another process."""
        return None

    def begin(self, key: int, outlook: Any) -> None:
        """A candidate will be relaxed, known by its place in the input; ``outlook`` is that of its atoms."""

    def watch(self, key: int, n_steps: int, energy: float, residual: float) -> str:  # noqa: ARG002
        """Told of each step; what is returned is the reason to stop there. See ``relaxation.result.Watch``."""
        return ""

    def end(self, key: int) -> Steps | None:  # noqa: ARG002
        """It is done; what is to be recorded of its steps."""
        return None

    def summary(self) -> dict[str, Any]:
        """What the run's record says of it."""
        return {}


@dataclass
class Pilot(Watcher):
    """Takes down the steps of the pilot's relaxations."""

    steps: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def begin(self, key: int, outlook: Any) -> None:  # noqa: ARG002
        """Start with nothing."""
        self.steps[key] = []

    def watch(self, key: int, n_steps: int, energy: float, residual: float) -> str:
        """Take it down; a step that is told of again, or a beginning anew, replaces what was there."""
        del self.steps[key][n_steps:]
        self.steps[key].append((energy, residual))
        return ""

    def end(self, key: int) -> Steps | None:
        """Its steps."""
        return self.steps.pop(key)


@dataclass
class StopRule(Watcher):
    """Stops a relaxation once ``keep_below`` (eV/atom above the hull of the ``references``) is out of its reach.

    ``way`` (Å) times the largest force left (eV/Å) is the most that a candidate is expected to gain, eV/atom, as
    ``n_finished`` relaxations of the pilot have shown. ``card`` is that of the model.
    """

    keep_below: float
    references: ReferenceSet
    card: ModelCard
    way: float
    n_finished: int
    offsets: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Of each candidate: its atoms, and what makes its energy per atom a distance to the hull, eV/atom."""

    def __post_init__(self) -> None:
        self._hull = Hull(self.references)

    @classmethod
    def learned(cls, pilot: Iterable[Record], card: ModelCard, references: ReferenceSet, keep_below: float) -> StopRule:
        """Learn from the records of the pilot; from fewer than LEAST_FINISHED that no relaxation may be stopped."""
        ways = [longest_way(record, card) for record in pilot if record.steps and record.status in EVALUATED]
        enough = len(ways) >= LEAST_FINISHED
        way = float(np.quantile(ways, QUANTILE, method="higher")) if enough else math.inf
        return cls(keep_below, references, card, way, len(ways))

    def outlook(self, atoms: Atoms) -> tuple[int, float] | None:
        """The candidate's number of atoms and its offset, by the hull at its composition; None without a hull there.

        Raises:
            TimeoutError: its correction takes too long to find.
        """
        counts = atoms.symbols.formula.count()
        on_hull = self._hull.energy_per_atom({symbol: float(n) for symbol, n in counts.items()})
        if on_hull is None:
            return None
        correction = sum(reference_energies(atoms.numbers, self.card).values())
        if required_correction(self.card) is CorrectionScheme.MP2020:
            correction += correction_of(atoms, 0.0).total
        return len(atoms), correction / len(atoms) - on_hull

    def begin(self, key: int, outlook: tuple[int, float] | None) -> None:
        """Keep it; one without a hull is not stopped."""
        if outlook is not None:
            self.offsets[key] = outlook

    def watch(self, key: int, n_steps: int, energy: float, residual: float) -> str:  # noqa: ARG002
        """Stop it if all that it can gain would leave it above the limit."""
        if key not in self.offsets:
            return ""
        n_atoms, offset = self.offsets[key]
        distance, gain = energy / n_atoms + offset, self.way * residual
        if not distance - gain > self.keep_below:
            return ""
        return (
            f"{distance:.3f} eV/atom above the hull, of which it is expected to gain at most {gain:.3f} with "
            f"{residual:.3g} eV/Å left (--keep-below {self.keep_below:g})"
        )

    def end(self, key: int) -> Steps | None:
        """Forget it."""
        self.offsets.pop(key, None)
        return None

    def summary(self) -> dict[str, Any]:
        """What was learned."""
        way = self.way if math.isfinite(self.way) else None
        return {"prescreen": {"pilot_finished": self.n_finished, "quantile": QUANTILE, "way_A": way}}


def longest_way(record: Record, card: ModelCard) -> float:
    """The longest way (Å) in a relaxation: energy per atom gained after a step, by the largest force left there."""
    assert record.steps is not None
    assert record.n_atoms is not None
    energies, residuals = np.array(record.steps).T
    change = applied_correction(record, card).total - unrelaxed_correction(record, card).total
    gained = (energies[:-1] - energies[-1] - change) / record.n_atoms
    return float((gained / residuals[:-1]).max(initial=0.0))


def pilot_places(n: int) -> list[int]:
    """The places of the pilot among n candidates, ascending; always the same."""
    size = min(n, MOST_PILOT, max(LEAST_PILOT, round(PILOT_SHARE * n)))
    return sorted(random.Random(0).sample(range(n), size))  # noqa: S311  # no secret depends on it


def passes(
    n: int,
    settings: ScreenSettings,
    card: ModelCard,
    references: ReferenceSet,
    records: Callable[[], Mapping[int, Record]],
) -> Iterator[tuple[Sequence[int], Watcher]]:
    """The places that are evaluated one after the other, and what looks on; ``records`` gives those of the run by now.

    The next is asked for when all of the last have a record.
    """
    if settings.keep_below is None:
        yield range(n), Watcher()
        return
    pilot = pilot_places(n)
    yield pilot, Pilot()
    known = records()
    rule = StopRule.learned((known[place] for place in pilot), card, references, settings.keep_below)
    chosen = frozenset(pilot)
    yield array("q", (place for place in range(n) if place not in chosen)), rule
