"""What a set of labels holds, what is odd in it, and how far it is from a pretrained potential."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uniscreen.errors import InputError
from uniscreen.training.data_checks import Finding, check_data
from uniscreen.training.errors import Errors
from uniscreen.training.oddities import LARGE_FORCE, all_at_rest, largest_force, two_sets_of_energies
from uniscreen.training.predictions import predict
from uniscreen.training.reference_energies import fit_shifts, total_shift
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.potentials.base import Potential
    from uniscreen.structures.labels import LabelledData, LabelledStructure


@dataclass(frozen=True)
class Range:
    """The smallest, middle and largest of some values."""

    lowest: float
    median: float
    highest: float

    @classmethod
    def of(cls, values: Any) -> Range:
        """The range of an array."""
        return cls(*(float(f(values)) for f in (np.min, np.median, np.max)))


@dataclass(frozen=True)
class GroupSummary:
    """One group of frames: how many, and the errors of the potential in it (None without one)."""

    group: str
    frames: int
    atoms: int
    max_force_eV_per_A: float  # noqa: N815
    energy_mae_meV_per_atom: float | None = None  # noqa: N815
    force_mae_meV_per_A: float | None = None  # noqa: N815


@dataclass(frozen=True)
class ModelDistance:
    """How far the labels are from a pretrained potential.

    Energy errors are after re-referencing: the shifts of the elements, eV an atom, are fitted to all frames and taken
    off. ``force_slope`` is that of the potential's forces against the labels' (1 is right, below 1 is too soft),
    None where all of these are zero. ``farthest`` pairs the places of the frames with the largest force error (root
    mean square, eV/Å) with that error.
    """

    model: str
    energy_mae_before_meV_per_atom: float  # noqa: N815
    energy_mae_meV_per_atom: float  # noqa: N815
    force_mae_meV_per_A: float  # noqa: N815
    force_slope: float | None
    stress_mae_GPa: float | None  # noqa: N815
    shifts_eV_per_atom: dict[str, float]  # noqa: N815
    farthest: tuple[tuple[str, float], ...]
    refused: tuple[str, ...]
    findings: tuple[Finding, ...]
    two_sets_of_energies: str


@dataclass(frozen=True)
class Inspection:
    """Counts, ranges and oddities of a set of labels; places are those in the file.

    ``at_rest`` says so where all structures are relaxed ones.
    """

    name: str
    sha256: str
    frames: int
    periodic: int
    with_stress: int
    elements: dict[str, int]
    groups: tuple[GroupSummary, ...]
    without_group: int
    atoms: Range
    energy_eV_per_atom: Range  # noqa: N815
    max_force_eV_per_A: Range  # noqa: N815
    pressure_GPa: Range | None  # noqa: N815
    volume_A3_per_atom: Range | None  # noqa: N815
    left_out: tuple[str, ...]
    outliers: tuple[tuple[str, float], ...]
    duplicates: tuple[tuple[str, ...], ...]
    at_rest: str
    model: ModelDistance | None

    def as_dict(self) -> dict[str, Any]:
        """The inspection as plain values."""
        return asdict(self)


def inspect_data(data: LabelledData, potential: Potential | None = None) -> Inspection:
    """Look at labelled structures, and compare them with a potential where one is given."""
    found = data.structures
    forces = np.array([largest_force(one.forces) for one in found])
    periodic = [one for one in found if one.atoms.pbc.all()]
    stresses = np.array([np.trace(one.stress) for one in found if one.stress is not None])
    errors, model = _distance(data, potential) if potential is not None else ({}, None)
    return Inspection(
        name=data.name,
        sha256=data.sha256,
        frames=len(found),
        periodic=len(periodic),
        with_stress=len(stresses),
        elements=dict(sorted(Counter(symbol for one in found for symbol in set(one.atoms.symbols)).items())),
        groups=_groups(found, forces, errors),
        without_group=sum(one.group is None for one in found),
        atoms=Range.of([len(one.atoms) for one in found]),
        energy_eV_per_atom=Range.of([one.energy_per_atom for one in found]),
        max_force_eV_per_A=Range.of(forces),
        pressure_GPa=Range.of(-stresses / 3 * EV_PER_CUBIC_ANGSTROM_TO_GPA) if len(stresses) else None,
        volume_A3_per_atom=Range.of([one.atoms.get_volume() / len(one.atoms) for one in periodic])
        if periodic
        else None,
        left_out=data.left_out,
        outliers=tuple((found[k].place, float(forces[k])) for k in np.flatnonzero(forces > LARGE_FORCE)),
        duplicates=find_duplicates(found),
        at_rest=all_at_rest(found),
        model=model,
    )


def find_duplicates(structures: Sequence[LabelledStructure]) -> tuple[tuple[str, ...], ...]:
    """The places of frames that are the same structure with its atoms in the same order."""
    places: dict[bytes, list[str]] = {}
    for one in structures:
        places.setdefault(one.geometry, []).append(one.place)
    return tuple(tuple(same) for same in places.values() if len(same) > 1)


def _distance(data: LabelledData, potential: Potential) -> tuple[dict[int, tuple[float, float]], ModelDistance]:
    """The errors of each frame (energy eV/atom after re-referencing, force eV/Å), and of all.

    Raises:
        InputError: the potential cannot evaluate any of the structures.
    """
    predictions = predict(potential, data.structures).finite()
    refused = tuple(f"{data.structures[place].place}: {why}" for place, why in predictions.refused.items())
    if not predictions.results:
        raise InputError(f"{potential.card.name} can evaluate no structure of {data.name}: {refused[0]}.")
    pairs = [(data.structures[place], result) for place, result in predictions.results.items()]
    atoms = [label.atoms for label, _ in pairs]
    n = np.array([len(one) for one in atoms])
    residuals = np.array([label.energy - result.energy for label, result in pairs])
    shifts = fit_shifts(atoms, residuals)
    energy = np.abs(residuals - total_shift(atoms, shifts)) / n
    force = [result.forces - label.forces for label, result in pairs]
    errors = Errors.of([label for label, _ in pairs], [result for _, result in pairs])
    rms = np.array([np.sqrt(np.mean(np.square(error))) for error in force])
    model = ModelDistance(
        model=potential.card.name,
        energy_mae_before_meV_per_atom=errors.energy_mae_meV_per_atom,
        energy_mae_meV_per_atom=1000 * float(np.mean(energy)),
        force_mae_meV_per_A=errors.force_mae_meV_per_A,
        force_slope=errors.force_slope,
        stress_mae_GPa=errors.stress_mae_GPa,
        shifts_eV_per_atom=shifts,
        farthest=tuple((pairs[k][0].place, float(rms[k])) for k in np.argsort(-rms)[:5]),
        refused=refused,
        findings=tuple(check_data(data, predictions)),
        two_sets_of_energies=two_sets_of_energies([label for label, _ in pairs], [result for _, result in pairs]),
    )
    by_frame = {
        place: (float(energy[k]), float(np.mean(np.abs(force[k])))) for k, place in enumerate(predictions.results)
    }
    return by_frame, model


def _groups(
    structures: Sequence[LabelledStructure], forces: Any, errors: dict[int, tuple[float, float]]
) -> tuple[GroupSummary, ...]:
    """One summary a group, in the order of the file; frames without a group are in none."""
    members: dict[str, list[int]] = {}
    for place, one in enumerate(structures):
        if one.group is not None:
            members.setdefault(one.group, []).append(place)
    summaries = []
    for group, places in members.items():
        known = [errors[place] for place in places if place in errors]
        energy, force = np.mean(known, axis=0) if known else (None, None)
        summaries.append(
            GroupSummary(
                group=group,
                frames=len(places),
                atoms=sum(len(structures[place].atoms) for place in places),
                max_force_eV_per_A=float(max(forces[place] for place in places)),
                energy_mae_meV_per_atom=None if energy is None else 1000 * float(energy),
                force_mae_meV_per_A=None if force is None else 1000 * float(force),
            )
        )
    return tuple(summaries)
