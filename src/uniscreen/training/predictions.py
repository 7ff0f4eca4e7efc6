"""What a potential says about labelled structures, frame by frame, with the frames that it cannot evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import StructureError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uniscreen.potentials.base import Potential, SystemResult
    from uniscreen.structures.labels import LabelledStructure


@dataclass(frozen=True)
class Predictions:
    """Results by the frame's place, and why the others have none."""

    results: Mapping[int, SystemResult]
    refused: Mapping[int, str]

    def finite(self) -> Predictions:
        """Those with finite energy and forces; others, as where two atoms are in one place, are refused.

        Some potentials have no stress where there is no volume, as of a slab: it is not looked at.
        """
        wrong = {
            place: "what the model predicts is not finite; atoms that overlap do that"
            for place, (energy, forces, *_) in self.results.items()
            if not (np.isfinite(energy) and np.isfinite(forces).all())
        }
        kept = {place: result for place, result in self.results.items() if place not in wrong}
        return Predictions(kept, dict(sorted({**self.refused, **wrong}.items())))


def predict(potential: Potential, structures: Sequence[LabelledStructure], *, batch_size: int = 16) -> Predictions:
    """Evaluate all structures; one that the potential cannot evaluate (an unknown element, say) is recorded as such."""
    results: dict[int, SystemResult] = {}
    refused: dict[int, str] = {}
    for start in range(0, len(structures), batch_size):
        batch = [one.atoms for one in structures[start : start + batch_size]]
        try:
            results |= enumerate(potential.evaluate(batch, batch_size=batch_size), start=start)
        except StructureError:
            for place, atoms in enumerate(batch, start=start):
                try:
                    results[place] = potential.evaluate([atoms])[0]
                except StructureError as error:
                    refused[place] = str(error)
    return Predictions(results, refused)
