"""How far predictions are from labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from uniscreen.potentials.base import SystemResult
    from uniscreen.structures.labels import LabelledStructure


@dataclass(frozen=True)
class MeanErrors:
    """Mean absolute errors over some frames: of energies per atom, over frames; of forces, over components."""

    energy_mae_meV_per_atom: float  # noqa: N815
    force_mae_meV_per_A: float  # noqa: N815


@dataclass(frozen=True)
class Errors(MeanErrors):
    """All errors over some frames: of energies per atom, over frames; of forces and stresses, over components.

    ``force_slope`` is that of predicted against labelled forces through the origin (1 is right, below 1 is too soft);
    ``force_cosine`` the cosine of the angle between the vectors of all forces. The energy errors ``shifted`` are those
    that are left when the mean error is taken off. None where there are no labels, or no forces to compare.
    """

    frames: int
    energy_rmse_meV_per_atom: float  # noqa: N815
    shifted_energy_mae_meV_per_atom: float  # noqa: N815
    shifted_energy_rmse_meV_per_atom: float  # noqa: N815
    force_rmse_meV_per_A: float  # noqa: N815
    force_slope: float | None
    force_cosine: float | None
    stress_mae_GPa: float | None  # noqa: N815
    stress_rmse_GPa: float | None  # noqa: N815

    @classmethod
    def of(cls, labels: Sequence[LabelledStructure], results: Sequence[SystemResult]) -> Errors:
        """The errors of predictions, in the order of the labels; there is at least one."""
        n = np.array([len(label.atoms) for label in labels])
        energy = np.array([result.energy - label.energy for label, result in zip(labels, results, strict=True)]) / n
        true = np.concatenate([label.forces.ravel() for label in labels])
        predicted = np.concatenate([result.forces.ravel() for result in results]).astype(np.float64)
        stress = [
            result.stress - label.stress
            for label, result in zip(labels, results, strict=True)
            if label.stress is not None
        ]
        product, size, own = float(true @ predicted), float(true @ true), float(predicted @ predicted)
        return cls(
            frames=len(labels),
            energy_mae_meV_per_atom=1000 * _mae(energy),
            energy_rmse_meV_per_atom=1000 * _rmse(energy),
            shifted_energy_mae_meV_per_atom=1000 * _mae(energy - energy.mean()),
            shifted_energy_rmse_meV_per_atom=1000 * _rmse(energy - energy.mean()),
            force_mae_meV_per_A=1000 * _mae(predicted - true),
            force_rmse_meV_per_A=1000 * _rmse(predicted - true),
            force_slope=product / size if size else None,
            force_cosine=product / float(np.sqrt(size * own)) if size and own else None,
            stress_mae_GPa=EV_PER_CUBIC_ANGSTROM_TO_GPA * _mae(np.array(stress)) if stress else None,
            stress_rmse_GPa=EV_PER_CUBIC_ANGSTROM_TO_GPA * _rmse(np.array(stress)) if stress else None,
        )


def _mae(errors: NDArray[np.float64]) -> float:
    return float(np.mean(np.abs(errors)))


def _rmse(errors: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))
