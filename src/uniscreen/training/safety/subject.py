"""What the checks are made on: the potential, the labelled structures, and what several checks derive from them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from uniscreen.structures.crystal import reduced_formula
from uniscreen.training.oddities import AT_REST, largest_force
from uniscreen.training.predictions import predict
from uniscreen.training.safety.parents import parent_of
from uniscreen.training.safety.result import NotRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from uniscreen.potentials.base import Potential, SystemResult
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.errors import MeanErrors

LOW = 0.5
"""eV/atom above the lowest frame of a composition; crystals melt at less."""

MAX_COMPOSITIONS = 5
"""Most compositions, of those in most frames, whose equilibria are probed."""


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """A structure near a minimum of the energy: a frame's symmetric parent, or where there is none the frame itself.

    ``max_force`` is the largest reference force in eV/Å; None for a parent, which has no labels.
    """

    place: str
    atoms: Atoms
    max_force: float | None

    @property
    def is_parent(self) -> bool:
        """Whether the atoms are on sites of high symmetry."""
        return self.max_force is None

    @property
    def formula(self) -> str:
        """Reduced, as chemists write it."""
        return reduced_formula(self.atoms)


@dataclass(frozen=True, eq=False)
class Subject:
    """A potential and all that it is checked with.

    ``training_errors`` are those on the data that it was trained on; ``pretrained`` what it was trained from;
    ``sample`` the structures on which the two are compared, None for the built-in ones; ``md_ps`` the length of the
    molecular dynamics. ``results`` are predictions for ``data`` that stand in for those of the potential.
    """

    potential: Potential
    data: Sequence[LabelledStructure]
    training_errors: MeanErrors | None
    pretrained: Potential | None
    sample: Sequence[LabelledStructure] | None
    md_ps: float
    results: Sequence[SystemResult] | None = None

    def require_data(self) -> None:
        """Raise NotRun where there are no labelled structures."""
        if not self.data:
            raise NotRun("needs labelled structures: --data FILE")

    @cached_property
    def pairs(self) -> list[tuple[LabelledStructure, SystemResult]]:
        """The structures that the potential can evaluate, with what it says.

        Raises:
            NotRun: there are no data, or none can be evaluated.
        """
        self.require_data()
        if self.results is not None:
            return list(zip(self.data, self.results, strict=True))
        predictions = predict(self.potential, self.data)
        if not predictions.results:
            raise NotRun(f"no structure of the data can be evaluated: {next(iter(predictions.refused.values()))}")
        return [(self.data[place], result) for place, result in predictions.results.items()]

    @property
    def left_out(self) -> str:
        """In words how many structures of the data could not be evaluated; empty if all could."""
        missing = len(self.data) - len(self.pairs)
        return f"; {missing} of {len(self.data)} structures cannot be evaluated" if missing else ""

    @cached_property
    def equilibria(self) -> list[Equilibrium]:
        """One structure near equilibrium of each composition: from its frame of lowest energy, at rest if any is.

        Energies of different settings are often mixed in data, so that a hot frame may be lower than one at rest; but
        one far above, as two atoms far apart are, is at rest elsewhere.
        """
        frames: dict[str, list[LabelledStructure]] = defaultdict(list)
        for one, _ in self.pairs:
            frames[one.atoms.get_chemical_formula(empirical=True)].append(one)
        commonest = sorted(frames.values(), key=len, reverse=True)[:MAX_COMPOSITIONS]
        return [_equilibrium(min(_low(same), key=_rest_and_energy)) for same in commonest]

    @property
    def crystals(self) -> list[Equilibrium]:
        """The equilibria that are periodic in all directions.

        Raises:
            NotRun: there is none.
        """
        found = [one for one in self.equilibria if one.atoms.pbc.all()]
        if not found:
            raise NotRun("needs a structure that is periodic in all directions")
        return found

    @property
    def elements(self) -> list[str]:
        """Chemical symbols that matter: those of the fine-tuning, else those of the data that the model knows.

        Raises:
            NotRun: the model was not fine-tuned, and there are no data.
        """
        card = self.potential.card
        return sorted(card.tuned_elements or {symbol for one, _ in self.pairs for symbol in one.atoms.symbols})


def _low(frames: Sequence[LabelledStructure]) -> list[LabelledStructure]:
    """Those of one composition whose energy is near the lowest."""
    lowest = min(frame.energy_per_atom for frame in frames)
    return [frame for frame in frames if frame.energy_per_atom <= lowest + LOW]


def _rest_and_energy(frame: LabelledStructure) -> tuple[bool, float]:
    return largest_force(frame.forces) > AT_REST, frame.energy_per_atom


def _equilibrium(frame: LabelledStructure) -> Equilibrium:
    parent = parent_of(frame.atoms)
    if parent is not None:
        return Equilibrium(f"the symmetric parent of {frame.place}", parent, None)
    return Equilibrium(frame.place, frame.atoms, largest_force(frame.forces))
