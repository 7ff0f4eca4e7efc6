"""How far the potential is from the labels, and whether it does better on those it was trained on."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.training.errors import Errors
from uniscreen.training.reference_energies import left_per_atom
from uniscreen.training.safety.result import Measurement, NotRun

if TYPE_CHECKING:
    from uniscreen.training.safety.subject import Subject

MIN_FORCE = 0.01
"""eV/Å, root mean square of the reference forces: below it their slope is that of noise."""


def over_training(subject: Subject) -> tuple[Measurement, Measurement]:
    """The error on the data over that on the training data, for energies and forces."""
    if subject.training_errors is None:
        raise NotRun("the errors on the training data are not known; a folder that finetune wrote holds them")
    training, test = subject.training_errors, _errors(subject)
    pairs = (
        (test.energy_mae_meV_per_atom, training.energy_mae_meV_per_atom, "meV/atom"),
        (test.force_mae_meV_per_A, training.force_mae_meV_per_A, "meV/Å"),
    )
    energy, force = (
        Measurement(new / old if old else math.inf, f"{new:.2f} on the data, {old:.2f} {unit} in training")
        for new, old, unit in pairs
    )
    return energy, force


def errors(subject: Subject) -> tuple[Measurement, Measurement, Measurement]:
    """The mean absolute errors on the data: energy, the same again for its strict limit, and forces."""
    pairs = subject.pairs
    found = _errors(subject)
    atoms = [label.atoms for label, _ in pairs]
    residuals = np.array([label.energy - result.energy for label, result in pairs])
    left = 1000 * float(np.mean(np.abs(left_per_atom(atoms, residuals))))
    energy = Measurement(
        found.energy_mae_meV_per_atom,
        f"mean over {len(pairs)} structures; {left:.1f} with the elements' reference energies refitted"
        + subject.left_out,
    )
    n = sum(len(one) for one in atoms)
    strict = Measurement(found.energy_mae_meV_per_atom, "the same, against the limit of careful fits")
    return energy, strict, Measurement(found.force_mae_meV_per_A, f"mean over the components of {n} atoms")


def worst_group(subject: Subject) -> tuple[Measurement]:
    """The mean absolute energy error of the group that has the largest; a group is two structures or more.

    A few structures of another kind, such as surfaces among bulk crystals, count for little in the mean over all.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for label, result in subject.pairs:
        if label.group is not None:
            groups[label.group].append(1000 * (result.energy - label.energy) / len(label.atoms))
    groups = {name: residuals for name, residuals in groups.items() if len(residuals) > 1}
    if len(groups) < 2:
        raise NotRun("the data name fewer than two groups of two structures or more")
    name, residuals = max(groups.items(), key=lambda group: float(np.mean(np.abs(group[1]))))
    mean = f"{np.mean(residuals):+.1f} meV/atom on average"
    where = f"{name}: {len(residuals)} structures, {mean}; of {len(groups)} groups"
    return (Measurement(float(np.mean(np.abs(residuals))), where),)


def slope(subject: Subject) -> tuple[Measurement]:
    """The slope of the predicted forces against the reference, through the origin."""
    pairs = subject.pairs
    size = float(np.sqrt(np.mean(np.concatenate([label.forces for label, _ in pairs]) ** 2)))
    if size < MIN_FORCE:
        raise NotRun(f"the reference forces are {size:.1e} eV/Å (root mean square), too small for a slope")
    value = _errors(subject).force_slope
    assert value is not None  # there are forces
    return (Measurement(value, "softer than the reference" if value < 1 else "stiffer than the reference"),)


def _errors(subject: Subject) -> Errors:
    labels, results = zip(*subject.pairs, strict=True)
    return Errors.of(labels, results)
