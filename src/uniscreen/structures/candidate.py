"""What goes into a screen: candidates, and where their structures come from."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, overload

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from ase import Atoms


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Limits under which a structure is read, so that no input can exhaust the machine.

    ``max_atoms`` atoms a structure, ``max_bytes`` bytes a file (after decompression), ``seconds`` of parsing.
    """

    max_atoms: int = 1000
    max_bytes: int = 64 * 1024 * 1024
    seconds: float = 60.0


class StructureSource(Protocol):
    """Where one structure comes from; picklable, and read only in the worker that needs it."""

    def load(self, limits: ReadLimits) -> Atoms:
        """Read the structure as fully periodic ASE Atoms (positions in Å).

        Raises:
            InvalidStructureError: it cannot be read, is not finite, has no volume or has partial occupancy.
            TooLargeError: it exceeds ``limits``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """One crystal to be screened: its unique id and where its structure comes from."""

    id: str
    source: StructureSource


class Candidates(Sequence[Candidate]):
    """Candidates made when they are asked for: a million of them are their ids and wherever the sources are kept.

    There may be more ``sources`` than ``ids``; the first ones count.
    """

    def __init__(self, ids: Sequence[str], sources: Sequence[StructureSource]) -> None:
        self.ids = ids
        self._sources = sources

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Candidate: ...
    @overload
    def __getitem__(self, place: slice) -> list[Candidate]: ...
    def __getitem__(self, place: int | slice) -> Candidate | list[Candidate]:
        """Make one, or several."""
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        k = range(len(self))[place]
        return Candidate(self.ids[k], self._sources[k])


@dataclass(frozen=True)
class CandidateTable:
    """All candidates of one input, in input order, with the extra columns that they came with.

    ``columns`` has one row a candidate and is carried through to the results; ``sha256`` covers the input file and
    every structure file that it names.
    """

    candidates: Candidates
    columns: pd.DataFrame
    sha256: str
    name: str

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    @property
    def groups(self) -> list[str]:
        """The group of each candidate, what it is correlated with: its column of that name, else its own id."""
        if "group" not in self.columns:
            return list(self.candidates.ids)
        named = zip(self.candidates.ids, self.columns["group"], strict=True)
        return [own if value is None or value != value else str(value) for own, value in named]

    def sample(self, size: int, seed: int) -> CandidateTable:
        """Draw ``size`` different candidates at random, in the order drawn; ``sha256`` then covers the draw too.

        Raises:
            InputError: ``size`` is below 1, or there are fewer candidates.
        """
        if not 1 <= size <= len(self):
            raise InputError(f"A sample of {size} was asked for; expected 1 to {len(self)}, which {self.name} has.")
        drawn = random.Random(seed).sample(range(len(self)), size)  # noqa: S311  # no secret depends on it
        digest = hashlib.sha256(f"{self.sha256} sample {size} seed {seed}".encode()).hexdigest()
        columns = self.columns.iloc[drawn].reset_index(drop=True)
        chosen = [self.candidates[index] for index in drawn]
        candidates = Candidates([one.id for one in chosen], [one.source for one in chosen])
        return CandidateTable(candidates, columns, digest, self.name)
