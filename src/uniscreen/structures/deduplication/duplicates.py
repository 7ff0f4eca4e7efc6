"""Which candidates are the same crystal, and which are known already."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import InputError, StructureError
from uniscreen.structures.candidate import ReadLimits
from uniscreen.structures.crystal import reduced_formula
from uniscreen.structures.deduplication.fingerprint import fingerprint, may_match
from uniscreen.structures.deduplication.spool import CrystalSpool
from uniscreen.structures.guard import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ase import Atoms
    from numpy.typing import NDArray
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    from uniscreen.structures.candidate import Candidate, CandidateTable
    from uniscreen.structures.deduplication.fingerprint import Fingerprint

    OnProgress = Callable[[str, int, int], None]

LIMITS = ReadLimits(max_atoms=20_000)
"""Far larger crystals than are screened, so that none that may be is lost here."""


@dataclass(frozen=True)
class Tolerances:
    """When two crystals are the same: the tolerances of pymatgen's StructureMatcher, and their defaults there.

    ``ltol``: relative, of the primitive cell's edges; ``stol``: of an atom's place, in units of the cube root of the
    volume per atom; ``angle_tol``: degrees. Volumes are always scaled to be equal before.
    """

    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5.0

    def __post_init__(self) -> None:
        for name in ("ltol", "stol", "angle_tol"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; expected more than 0.")

    def matcher(self) -> StructureMatcher:
        """The matcher of these tolerances, at equal volumes and in primitive cells."""
        from pymatgen.analysis.structure_matcher import StructureMatcher

        return StructureMatcher(ltol=self.ltol, stol=self.stol, angle_tol=self.angle_tol)


@dataclass(frozen=True)
class Duplicates:
    """The outcome, by the candidates' places in their table (from 0).

    ``duplicate_of``: the place of the earlier candidate that a duplicate repeats; that one is no duplicate itself.
    ``known_as``: id of the reference that is the same crystal, for candidates that are no duplicates.
    ``not_compared``: why a candidate could not be; it is no duplicate of any.
    ``unreadable_references``: likewise for references, by id.
    """

    duplicate_of: Mapping[int, int]
    known_as: Mapping[int, str]
    not_compared: Mapping[int, str]
    unreadable_references: Mapping[str, str] = field(default_factory=dict)


def find_duplicates(
    candidates: CandidateTable,
    tolerances: Tolerances | None = None,
    *,
    against: CandidateTable | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Duplicates:
    """Find the candidates that are the same crystal as an earlier one, and those that ``against`` has.

    A candidate is a duplicate exactly if StructureMatcher.fit matches it with an earlier candidate that is none, as in
    StructureMatcher.group_structures. Only candidates of one reduced formula are compared; of these, pairs whose
    primitive cells cannot match are left out, and the most similar are compared first.

    Structures are read once and kept in a temporary file; in memory are those of one formula at a time.
    ``on_progress`` is told what is being done, how many rows of it are, and of how many.
    """
    tolerances = tolerances or Tolerances()
    with CrystalSpool() as spool, CrystalSpool() as known:
        rows, unreadable = _spooled(candidates, spool, "reading candidates", on_progress)
        wanted = frozenset(rows)
        references: dict[str, list[int]] = {}
        lost: dict[int, str] = {}
        if against is not None:
            references, lost = _spooled(against, known, "reading references", on_progress, wanted)
        found = _Search(tolerances)
        n_done = len(unreadable)
        for formula, indices in rows.items():
            others = references.get(formula, [])
            if len(indices) > 1 or others:
                found.compare(indices, spool, others, known)
            n_done += len(indices)
            on_progress("comparing", n_done, len(candidates))
    names = [reference.id for reference in against] if against is not None else []
    return Duplicates(
        duplicate_of=found.duplicate_of,
        known_as={row: names[reference] for row, reference in found.known_as.items()},
        not_compared=dict(sorted((unreadable | found.not_compared).items())),
        unreadable_references={names[index]: reason for index, reason in {**lost, **found.lost}.items()},
    )


def _spooled(
    table: CandidateTable,
    spool: CrystalSpool,
    what: str,
    on_progress: OnProgress,
    wanted: frozenset[str] | None = None,
) -> tuple[dict[str, list[int]], dict[int, str]]:
    """Read all structures into the spool; returns the places by reduced formula, and what was unreadable and why.

    Of other formulas than the ``wanted`` ones none is kept.
    """
    places: dict[str, list[int]] = defaultdict(list)
    unreadable = {}
    for index, atoms, reason in _loaded(table):
        on_progress(what, index + 1, len(table))
        if atoms is None:
            unreadable[index] = reason
            continue
        formula = reduced_formula(atoms)
        if wanted is None or formula in wanted:
            spool.put(index, atoms)
            places[formula].append(index)
    return dict(places), unreadable


def _loaded(table: Iterable[Candidate]) -> Iterable[tuple[int, Atoms | None, str]]:
    for index, candidate in enumerate(table):
        try:
            yield index, candidate.source.load(LIMITS), ""
        except StructureError as error:
            yield index, None, str(error)


class _Search:
    """Compares the crystals of one formula after the other."""

    def __init__(self, tolerances: Tolerances) -> None:
        self.matcher = tolerances.matcher()
        self.ltol = tolerances.ltol
        self.duplicate_of: dict[int, int] = {}
        self.known_as: dict[int, int] = {}
        self.not_compared: dict[int, str] = {}
        self.lost: dict[int, str] = {}

    def compare(self, rows: list[int], spool: CrystalSpool, references: list[int], known: CrystalSpool) -> None:
        """Compare all rows of one formula with each other and with the references of this formula."""
        kept, others = _Representatives(self.matcher, self.ltol), _Representatives(self.matcher, self.ltol)
        for reference in references:
            try:
                others.add(reference, *self._prepared(known.get(reference)))
            except StructureError as error:
                self.lost[reference] = str(error)
        for row in rows:
            try:
                primitive, taken = self._prepared(spool.get(row))
            except StructureError as error:
                self.not_compared[row] = str(error)
                continue
            if (same := kept.find(primitive, taken)) is not None:
                self.duplicate_of[row] = same
                continue
            kept.add(row, primitive, taken)
            if (same := others.find(primitive, taken)) is not None:
                self.known_as[row] = same

    def _prepared(self, atoms: Atoms) -> tuple[Structure, Fingerprint]:
        """Reduce a crystal as the matcher would, once for all comparisons."""
        from pymatgen.core import Structure

        with reading("reducing it to its primitive cell", LIMITS.seconds):
            structure = Structure(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())
            primitive = structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
            return primitive, fingerprint(primitive)


class _Representatives:
    """Crystals of one formula that differ from each other, by the number of sites of their primitive cells."""

    def __init__(self, matcher: StructureMatcher, ltol: float) -> None:
        self.matcher = matcher
        self.ltol = ltol
        self._groups: dict[int, _Group] = {}

    def add(self, name: int, primitive: Structure, taken: Fingerprint) -> None:
        """Add one that ``find`` will return by its name."""
        self._groups.setdefault(taken.n_sites, _Group()).add(name, primitive, taken)

    def find(self, primitive: Structure, taken: Fingerprint) -> int | None:
        """Return the name of one that is the same crystal, the most similar first."""
        group = self._groups.get(taken.n_sites)
        if group is None:
            return None
        for place in group.order(taken, self.ltol):
            if self.matcher.fit(group.structures[place], primitive, skip_structure_reduction=True):
                return group.names[place]
        return None


class _Group:
    def __init__(self) -> None:
        self.names: list[int] = []
        self.structures: list[Structure] = []
        self._minima: NDArray[np.float64] = np.empty((0, 3))
        self._profiles: NDArray[np.float32] | None = None

    def add(self, name: int, primitive: Structure, taken: Fingerprint) -> None:
        self.names.append(name)
        self.structures.append(primitive)
        self._minima = np.vstack([self._minima, taken.minima])
        new = taken.profile[None]
        self._profiles = new if self._profiles is None else np.vstack([self._profiles, new])

    def order(self, taken: Fingerprint, ltol: float) -> list[int]:
        """Places of those that the matcher could match, the most similar first."""
        assert self._profiles is not None
        possible = np.flatnonzero(may_match(self._minima, taken.edges, ltol))
        distance = np.square(self._profiles[possible] - taken.profile).sum(axis=1)
        return [int(place) for place in possible[np.argsort(distance, kind="stable")]]
