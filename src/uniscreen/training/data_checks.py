"""Are the labels in the units and signs they are taken to be in? A potential that knows the chemistry can tell.

A universal potential is wrong by tens of percent (its forces are 0.5 to 0.9 of the true ones, as a rule), while a wrong
unit is wrong by a factor of 10 or more and a wrong sign by its sign. So each check asks which of a few hypotheses the
potential agrees with, by medians over frames, and says "undecided" where none is clearly better. Labels that are
smaller than the potential's may be those of structures that DFT has relaxed, and only noise in the potential's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from ase import units

from uniscreen.errors import InputError
from uniscreen.structures.labels.labelled import PER_EV_PER_CUBIC_ANGSTROM, VOIGT_INDICES
from uniscreen.training.predictions import Predictions
from uniscreen.training.reference_energies import left_per_atom
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from uniscreen.structures.labels import LabelConventions, LabelledData, LabelledStructure

    Array = NDArray[np.float64]
    Told = tuple[int | None, str]  # which of two hypotheses, and what was seen, with a place for the name of each

Verdict = Literal["agrees", "disagrees", "undecided"]

MIN_STRESS = 0.5 / EV_PER_CUBIC_ANGSTROM_TO_GPA
"""eV/Å³ of the potential's own stress: below it a stress is no larger than what models get wrong."""

MIN_FORCE = 0.1
"""eV/Å, root mean square over a frame: below it forces are no larger than what models get wrong."""

ALIKE = 0.6
"""Labels that deviate from the potential's by less of their size, apart from a factor, go together with them: a
correlation of 0.8."""

MIN_FRAMES = 3
SIGN_SHARE = 0.8
"""A sign is decided if this share of the frames agrees on it."""

ENERGY_MARGIN = 3.0
"""An energy hypothesis is decided if it is off by this factor less than the other one."""

NOTHING_LEFT = 1e-4
"""eV/atom: where both hypotheses fit as well, there are as many elements as structures, and any energies would."""

SIMILAR_SIZE = 0.2
"""Energies within this share of the potential's count from similar atoms."""

ENERGY_UNITS = {
    "Hartree": units.Ha,
    "Rydberg": units.Ry,
    "kJ/mol": units.kJ / units.mol,
    "kcal/mol": units.kcal / units.mol,
}
"""eV, of units that are often met instead of it."""

UNIT_MARGIN = 1.6
"""Energies that rise so many times faster or slower than a unit would make them may still be in it."""

ORDER_MARGIN = 1.5
"""An order of the shear stresses is decided if it is off by this factor less than the other one."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: what was looked at, the verdict, what was seen, and what to do if it disagrees."""

    check: str
    verdict: Verdict
    seen: str
    fix: str = ""


def check_data(data: LabelledData, predictions: Predictions) -> list[Finding]:
    """Compare labels with a potential's own: of all files together, then of each, where these found nothing wrong."""
    findings = check_conventions(data.structures, predictions, data.conventions)
    wrong = {finding.check for finding in findings if finding.verdict == "disagrees"}
    for file in data.files if len(data.files) > 1 else ():
        of_file = {place: predictions.results[place] for place in file.places if place in predictions.results}
        findings += [
            replace(finding, check=f"{finding.check}, {file.name}", seen=f"{file.name}: {finding.seen}")
            for finding in check_conventions(data.structures, Predictions(of_file, {}), file.conventions)
            if finding.verdict == "disagrees" and finding.check not in wrong
        ]
    return findings


def check_conventions(
    structures: Sequence[LabelledStructure], predictions: Predictions, conventions: LabelConventions
) -> list[Finding]:
    """Compare labels with a potential's own; ``conventions`` are those in which they were read."""
    return [
        check_energy(structures, predictions, conventions),
        check_forces(structures, predictions),
        *check_stress(structures, predictions, conventions),
    ]


def require_agreement(findings: Sequence[Finding], name: str) -> None:
    """Raise if a check disagrees.

    Raises:
        InputError: it says what was seen in the file ``name`` and which option fixes it.
    """
    wrong = [f"{finding.seen}. {finding.fix}" for finding in findings if finding.verdict == "disagrees"]
    if wrong:
        raise InputError(f"{name}: {' And '.join(wrong)} (data.check_units=false trains on them as they are.)")


def check_energy(
    structures: Sequence[LabelledStructure], predictions: Predictions, conventions: LabelConventions
) -> Finding:
    """Check whether the energies are of the structure or of an atom, and in eV.

    Both hypotheses are put to three tests, of which the first that tells them apart decides: the deviation from the
    potential that re-referencing leaves, the slope against the potential's energies, and the size of the energies.
    Another unit shows in the slope.
    """
    check = "energy of the structure or of an atom"
    chosen = [(structures[place], result.energy) for place, result in predictions.results.items()]
    if len(chosen) < MIN_FRAMES:
        return Finding(check, "undecided", f"{len(chosen)} frames are too few to tell")
    atoms = [one.atoms for one, _ in chosen]
    n = np.array([len(one) for one in atoms], dtype=float)
    if n.max() == 1:
        return Finding(check, "undecided", "every structure has one atom, so both are the same")
    as_read = np.array([one.energy for one, _ in chosen])
    model = np.array([energy for _, energy in chosen])
    per_atom = conventions.energy == "per-atom"
    hypotheses = (as_read, as_read / n if per_atom else as_read * n)
    names = ("per-atom", "total") if per_atom else ("total", "per-atom")
    rise = _rise(atoms, as_read, model)
    if rise.unit is not None and not _rise(atoms, hypotheses[1], model).is_alike:
        seen = f"energies taken as {names[0]} rise {rise.slope:.3g} times as fast as the potential's"
        return Finding(check, "disagrees", seen, f"They seem to be in {rise.unit}: convert them to eV in the file.")
    seen = ""
    for test in (_by_deviation, _by_slope, _by_size):
        better, what = test(atoms, hypotheses, model)
        seen = seen or what.format(*names)
        if better is not None:
            fix = f"The energies seem to be {names[1]}: set data.energy={names[1]}." if better else ""
            if better and rise.unit is not None:
                fix += f" Or they are in {rise.unit}, which looks the same here: convert them to eV in the file then."
            return Finding(check, "disagrees" if better else "agrees", what.format(*names), fix)
    return Finding(check, "undecided", seen)


class _Rise(NamedTuple):
    """How many times as fast energies rise as the potential's, and whether the two rise together at all."""

    slope: float
    together: bool

    @property
    def is_alike(self) -> bool:
        """Whether it is about one to one."""
        return self.together and 0.5 < self.slope < 2.0

    @property
    def unit(self) -> str | None:
        """The unit other than eV that the energies seem to be in, if any."""
        off = {name: abs(float(np.log(max(self.slope, 1e-9) * size))) for name, size in ENERGY_UNITS.items()}
        nearest = min(off, key=lambda name: off[name])
        return nearest if self.together and off[nearest] < np.log(UNIT_MARGIN) else None


def _rise(atoms: Sequence[Atoms], energies: Array, model: Array) -> _Rise:
    """How energies rise with the potential's, when a shift is taken off for each element."""
    x, y = _deviation(atoms, model), _deviation(atoms, energies)
    slope = float(np.vdot(x, y)) / max(float(np.vdot(x, x)), 1e-30)
    return _Rise(slope, _relative(y, x) < ALIKE)


def _by_deviation(atoms: Sequence[Atoms], hypotheses: tuple[Array, Array], model: Array) -> Told:
    """Compare the deviations from the potential that are left after a shift for each element."""
    left = [float(np.median(np.abs(_deviation(atoms, energies - model)))) for energies in hypotheses]
    what = (
        f"energies taken as {{}} deviate from the potential by {1000 * left[0]:.1f} meV/atom after re-referencing, "
        f"taken as {{}} by {1000 * left[1]:.1f}"
    )
    return (None if max(left) < NOTHING_LEFT else _lower(left, ENERGY_MARGIN)), what


def _by_slope(atoms: Sequence[Atoms], hypotheses: tuple[Array, Array], model: Array) -> Told:
    """Compare how the energies rise with the potential's, which should be one to one, if they rise together at all."""
    rises = [_rise(atoms, energies, model) for energies in hypotheses]
    slopes, together = [rise.slope for rise in rises], [rise.together for rise in rises]
    what = (
        f"energies taken as {{}} rise {slopes[0]:.3g} times as fast as the potential's, "
        f"taken as {{}} {slopes[1]:.3g} times as fast"
    )
    off = [abs(float(np.log(max(slope, 1e-9)))) for slope in slopes]
    best = int(np.argmin(off))
    decided = together[best] and off[best] < np.log(2) and off[1 - best] > np.log(4)
    return (best if decided else None), what


def _by_size(_: Sequence[Atoms], hypotheses: tuple[Array, Array], model: Array) -> Told:
    """Compare the sizes of the energies, which tell only where both count from similar atoms."""
    away = [float(np.median(np.abs(energies - model) / np.abs(model))) for energies in hypotheses]
    what = f"energies taken as {{}} differ from the potential's by {away[0]:.0%}, taken as {{}} by {away[1]:.0%}"
    better = _lower(away, ENERGY_MARGIN)
    return (better if min(away) < SIMILAR_SIZE else None), what


def check_forces(structures: Sequence[LabelledStructure], predictions: Predictions) -> Finding:
    """Check that the forces are in eV/Å, and not gradients."""
    check = "forces in eV/Å"
    pairs = [(structures[place].forces, result.forces) for place, result in predictions.results.items()]
    pairs = [(label, model) for label, model in pairs if _rms(model) > MIN_FORCE]
    if len(pairs) < MIN_FRAMES:
        return Finding(
            check, "undecided", f"{len(pairs)} frames with forces above {MIN_FORCE} eV/Å are too few to tell"
        )
    ratio = float(np.median([_rms(label) / _rms(model) for label, model in pairs]))
    share = float(np.mean([np.vdot(label, model) > 0 for label, model in pairs]))
    seen = f"forces are {ratio:.3g} times the potential's, with the same sign in {share:.0%} of {len(pairs)} frames"
    if n_zero := sum(not label.any() for label, _ in pairs):
        seen = f"forces are exactly zero in {n_zero} of {len(pairs)} frames in which the potential has some"
        return Finding(check, "disagrees", seen, "They seem to stand for forces that were not computed.")
    if share < 1 - SIGN_SHARE:
        return Finding(check, "disagrees", seen, "They seem to be gradients: change their sign in the file.")
    labels, models = (np.concatenate(each) for each in zip(*pairs, strict=True))
    if ratio > 10 or (ratio < 0.1 and _relative(labels, models) < ALIKE):
        fix = "They seem to be in another unit (1 Ha/Bohr is 51.4 eV/Å, 1 Ry/Bohr 25.7): convert them in the file."
        return Finding(check, "disagrees", seen, fix)
    return Finding(check, "agrees" if share > SIGN_SHARE and ratio > 0.1 else "undecided", seen)


def check_stress(
    structures: Sequence[LabelledStructure], predictions: Predictions, conventions: LabelConventions
) -> list[Finding]:
    """Check unit, sign and order of the stress; there is no finding where there is no stress."""
    chosen = [place for place in predictions.results if structures[place].stress is not None]
    if not chosen:
        return []
    labels = np.array([structures[place].stress for place in chosen])
    model = np.array([predictions.results[place].stress for place in chosen])
    large = np.linalg.norm(model, axis=(1, 2)) > MIN_STRESS
    labels, model, check = labels[large], model[large], "stress unit and sign"
    if len(labels) < MIN_FRAMES:
        return [Finding(check, "undecided", f"{len(labels)} frames with stresses above 0.5 GPa are too few to tell")]
    volumes = np.array([structures[place].atoms.get_volume() for place in np.array(chosen)[large]])
    return [_unit_and_sign(check, labels, model, volumes, conventions), _order(labels, model, conventions)]


def _unit_and_sign(check: str, labels: Array, model: Array, volumes: Array, given: LabelConventions) -> Finding:
    ratio = float(np.median(np.linalg.norm(labels, axis=(1, 2)) / np.linalg.norm(model, axis=(1, 2))))
    share = float(np.mean(np.einsum("nij,nij->n", labels, model) > 0))
    seen = f"stresses are {ratio:.3g} times the potential's, with the same sign in {share:.0%} of {len(labels)} frames"
    if n_zero := int(np.sum(~labels.any(axis=(1, 2)))):
        seen = f"stresses are exactly zero in {n_zero} of {len(labels)} frames in which the potential has some"
        fix = "They seem to stand for stresses that were not computed: take them out of the file."
        return Finding(check, "disagrees", seen, fix)
    assert given.stress_unit is not None
    scale = PER_EV_PER_CUBIC_ANGSTROM[given.stress_unit] * ratio
    unit = min(PER_EV_PER_CUBIC_ANGSTROM, key=lambda name: abs(np.log(scale / PER_EV_PER_CUBIC_ANGSTROM[name])))
    wrong = []
    may_be_noise = ratio < 1 and _relative(labels, model) > ALIKE
    if unit != given.stress_unit and not may_be_noise:
        wrong.append(f"data.stress_unit={unit}")
    if share < 1 - SIGN_SHARE:
        flipped = "compression-positive" if given.stress_sign == "tension-positive" else "tension-positive"
        wrong.append(f"data.stress_sign={flipped}")
    if wrong:
        fix = f"Set {' '.join(wrong)}."
        if abs(np.log(scale / np.median(volumes))) < np.log(2):
            fix += " Or they are virials in eV, of which the stress is minus one over the volume."
        return Finding(check, "disagrees", seen, fix)
    agrees = share > SIGN_SHARE and unit == given.stress_unit
    return Finding(check, "agrees" if agrees else "undecided", seen)


def _order(labels: Array, model: Array, given: LabelConventions) -> Finding:
    """Check whether the other order of six components puts the shear stresses in better agreement."""
    check = "stress order"
    assert given.stress_order is not None
    other = next(order for order in VOIGT_INDICES if order != given.stress_order)
    here, there = (np.array(VOIGT_INDICES[order][3:]) for order in (given.stress_order, other))
    shear, shear_model = labels[:, here[:, 0], here[:, 1]], model[:, here[:, 0], here[:, 1]]
    exchanged = model[:, there[:, 0], there[:, 1]]
    errors = [_relative(shear, shear_model), _relative(shear, exchanged)]
    seen = (
        f"shear stresses deviate by {errors[0]:.2f} of their size as read, "
        f"and by {errors[1]:.2f} in the order {other!r}"
    )
    if errors[1] * ORDER_MARGIN < errors[0]:
        return Finding(check, "disagrees", seen, f"Set data.stress_order='{other}', or exchange the components.")
    return Finding(check, "agrees" if errors[0] * ORDER_MARGIN < errors[1] else "undecided", seen)


def _deviation(atoms: Sequence[Atoms], energies: Array) -> Array:
    """What shifts of the elements leave of energies (eV), per atom, about its median."""
    left = left_per_atom(atoms, energies)
    return left - np.median(left)


def _lower(values: Sequence[float], margin: float) -> int | None:
    """Which of two values is clearly the lower one."""
    best = int(np.argmin(values))
    return best if values[best] * margin < values[1 - best] else None


def _relative(values: Array, model: Array) -> float:
    """The deviation left by the best factor, in the size of the values: it depends on neither unit nor sign."""
    size = float(np.vdot(values, values))
    product, own = float(np.vdot(values, model)), float(np.vdot(model, model))
    return 1.0 if size == 0 or own == 0 else float(np.sqrt(max(0.0, 1.0 - product**2 / (size * own))))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
