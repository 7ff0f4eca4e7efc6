"""What the parent and its worker processes say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator, Sequence
    from pathlib import Path

    from uniscreen.screening.prescreen import Watcher
    from uniscreen.screening.settings import ScreenSettings
    from uniscreen.structures.candidate import Candidate


MAX_CRASHES = 3
"""A candidate that was under way in this many dying processes is set aside; in the last worker it was alone."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of work: candidates with their places in the input. It is recorded whole."""

    candidates: tuple[tuple[int, Candidate], ...]

    @property
    def number(self) -> int:
        """What it is known by: the place of its first candidate."""
        return self.candidates[0][0]

    @property
    def indices(self) -> list[int]:
        """The places of its candidates in the input."""
        return [index for index, _ in self.candidates]


def units_left(
    candidates: Sequence[Candidate],
    done: Container[int],
    size: int,
    places: Sequence[int] | None = None,
    wanted: Collection[int] | None = None,
) -> Iterator[Unit]:
    """What is left to do, in units that depend on the input alone; of a unit recorded in part, the rest one by one.

    The units are of the given ``places``, in this order; of all in the input unless some are given. Units that hold
    none of the ``wanted`` places are left out; all are wanted unless some are named. A unit is made when it is asked
    for.
    """
    if places is None:
        places = range(len(candidates))
    for start in range(0, len(places), size):
        whole = places[start : start + size]
        if wanted is not None and not any(index in wanted for index in whole):
            continue
        left = [(index, candidates[index]) for index in whole if index not in done]
        if left and len(left) == len(whole):
            yield Unit(tuple(left))
        else:
            yield from (Unit((pair,)) for pair in left)


@dataclass(frozen=True, slots=True)
class Start:
    """Parent to worker, once: what to load, where to record, what looks on, and how many helper processes to have."""

    settings: ScreenSettings
    part: Path
    watcher: Watcher
    n_helpers: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to parent: the model is loaded."""


@dataclass(frozen=True, slots=True)
class Done:
    """Worker to parent: the unit is on the disk; the statuses of its candidates."""

    unit: int
    statuses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Worker to parent: it cannot start, and why. ``expected``: the text is meant for the user as it is."""

    message: str
    expected: bool
