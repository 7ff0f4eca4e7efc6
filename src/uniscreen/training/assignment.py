"""What one potential of a run is to learn, and the potential that begins with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uniscreen.potentials import load_potential
from uniscreen.potentials.trainable import TrainablePotential
from uniscreen.training.objective import Material
from uniscreen.training.recipe import Scratch
from uniscreen.training.reference_energies import residual_shifts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from uniscreen.potentials.loading import Device
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.recipe import Recipe


@dataclass(frozen=True)
class Assignment:
    """What one member is to do: everything that its process needs, with the data already prepared.

    ``shifts`` eV an atom are added to the reference energies; those of random weights are fitted to ``referenced``.
    ``elements`` are those of all the data. It is trained by up to ``processes`` processes. With ``refit`` training
    begins once more, on all frames, after validation. ``others`` hold out other frames: they too are asked whether
    training is worth it where those that ``material`` holds out say that it is not. ``trial`` is the number of one.
    """

    recipe: Recipe
    device: Device
    trust_model_file: bool
    shifts: dict[str, float]
    material: Material
    referenced: Sequence[LabelledStructure]
    elements: frozenset[str]
    seed: int
    folder: Path
    number: int
    processes: int
    refit: bool
    others: Sequence[Material] = ()
    trial: int = 0

    @property
    def checkpoint(self) -> Path:
        """The file of its state while it trains."""
        name = f"trial-{self.trial}" if self.trial else "state" if self.material.validation else "refit"
        return self.folder / "checkpoint" / f"{name}.pt"

    def on_all_frames(self) -> Assignment:
        """The same with all frames in training, and none to validate with."""
        material = self.material
        return replace(self, material=Material([*material.train, *material.validation], [], material.replay))

    def trials(self) -> list[Assignment]:
        """The same with other frames held out."""
        return [replace(self, material=material, trial=k) for k, material in enumerate(self.others, start=1)]


def adapted(assignment: Assignment) -> TrainablePotential:
    """The pretrained potential with the reference energies of the data, and a card that knows the data's elements."""
    potential = load_potential(
        assignment.recipe.model,
        device=assignment.device,
        head=assignment.recipe.head,
        trust_model_file=assignment.trust_model_file,
    )
    assert isinstance(potential, TrainablePotential)
    shifts = assignment.shifts
    if isinstance(assignment.recipe.strategy, Scratch):
        potential.reset(assignment.seed)
        shifts = residual_shifts(
            assignment.referenced, potential.evaluate([one.atoms for one in assignment.referenced])
        )
    energies = potential.reference_energies
    potential.reference_energies = {symbol: energies[symbol] + shift for symbol, shift in shifts.items()}
    card = replace(potential.card, tuned_elements=assignment.elements)
    if isinstance(assignment.recipe.strategy, Scratch):  # nothing is left of how the base counted its energies
        card = replace(card, functional="unknown", energy_convention="raw", reference_shifts=())
    potential.card = card
    return potential
