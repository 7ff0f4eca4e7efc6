"""What is odd about labels and yet no error: a person has to say whether it is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniscreen.training.reference_energies import left_per_atom, undetermined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from uniscreen.potentials.base import SystemResult
    from uniscreen.structures.labels import LabelledStructure

LARGE_FORCE = 50.0
"""eV/Å: larger forces are of atoms that overlap, or of a calculation that went wrong."""

AT_REST = 0.1
"""eV/Å: frames without a larger force are relaxed ones."""

APART = 0.05
"""eV/atom, the smallest distance between two sets of energies that is told."""

WIDTHS = 2.0
"""Two sets are as many widths of the wider one apart, at least. Published sets of one setting, of crystals, surfaces,
melts and many compounds, have at most 0.5 (CHGNet 0.3.0)."""

MIN_SET = 3


def largest_force(forces: NDArray[np.float64]) -> float:
    """The largest force on an atom, eV/Å."""
    return float(np.linalg.norm(forces, axis=1).max())


def large_forces(labels: Sequence[LabelledStructure]) -> str:
    """Say so if forces are so large that the calculations may have gone wrong; "" if none is."""
    large = [one.place for one in labels if largest_force(one.forces) > LARGE_FORCE]
    if not large:
        return ""
    return (
        f"Forces above {LARGE_FORCE:g} eV/Å in {len(large)} of {len(labels)} frames ({large[0]}, for one): "
        "did these calculations end well? 'uniscreen data inspect' lists them."
    )


def all_at_rest(labels: Sequence[LabelledStructure]) -> str:
    """Say so if all structures are relaxed ones; "" if not."""
    if any(largest_force(one.forces) > AT_REST for one in labels):
        return ""
    return (
        f"No force is above {AT_REST:g} eV/Å: structures at rest do not teach what happens when atoms move. Add frames "
        "with displaced atoms, or from molecular dynamics."
    )


def free_reference_energies(labels: Sequence[LabelledStructure]) -> str:
    """Say so if the compositions do not fix the reference energies of all elements; "" if they do."""
    free = undetermined([one.atoms for one in labels])
    if not free:
        return ""
    return (
        f"The compositions of the frames fix only sums of the reference energies of {', '.join(free)}. Energies of "
        "other compositions (a vacancy, another compound) compare with each other, but not with your DFT's: they may "
        "be off by an unknown amount for each atom. If they matter, add a frame of such a composition."
    )


def two_sets_of_energies(labels: Sequence[LabelledStructure], results: Sequence[SystemResult]) -> str:
    """Say so if energies are as of two settings of DFT: two sets, apart after re-referencing; "" if they are not."""
    if len(labels) < 2 * MIN_SET:
        return ""
    atoms = [one.atoms for one in labels]
    residuals = np.array([one.energy - result.energy for one, result in zip(labels, results, strict=True)])
    left = left_per_atom(atoms, residuals)
    order = np.argsort(left, kind="stable")
    gaps = np.diff(left[order])[MIN_SET - 1 : len(left) - MIN_SET]
    split = MIN_SET + int(np.argmax(gaps))
    low, high = order[:split], order[split:]
    gap, width = float(gaps.max()), max(float(np.ptp(left[side])) for side in (low, high))
    if gap < APART or gap < WIDTHS * width:
        return ""
    few = min(low, high, key=len)
    which = "above" if few is high else "below"
    return (
        f"The energies are two sets, {1000 * gap:.0f} meV/atom or more apart after re-referencing: {len(few)} of "
        f"{len(labels)} frames ({labels[int(few.min())].place}, for one) are {which} the others. Are they of other "
        "settings (functional, spin, +U, dispersion, pseudopotentials, cutoff)? Energies of two settings cannot be "
        "learnt together: leave out one set, or compute it again."
    )
