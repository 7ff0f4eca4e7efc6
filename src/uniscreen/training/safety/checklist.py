"""The list of checks: what is measured, and the limit of each number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.potentials.testing.tolerances import FLOAT32
from uniscreen.training.safety import accuracy, coverage, dynamics, forgetting, holes, invariance, near_equilibrium
from uniscreen.training.safety.result import AtMost, Below, Between, Check, Measurement, NotRun
from uniscreen.training.safety.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from uniscreen.potentials.base import Potential, SystemResult
    from uniscreen.structures.labels import LabelledStructure
    from uniscreen.training.errors import MeanErrors
    from uniscreen.training.safety.result import CheckStatus, Limit

MD_PS = 10.0
"""Length of the molecular dynamics, ps."""


@dataclass(frozen=True)
class Row:
    """A number of the list: what it is called, its unit and its limit. See ``Check`` for ``required``."""

    name: str
    unit: str
    limit: Limit
    required: bool = True


@dataclass(frozen=True)
class Probe:
    """A measurement, and the rows of the list that it gives, in order."""

    measure: Callable[[Subject], Sequence[Measurement]]
    rows: tuple[Row, ...]

    def run(self, subject: Subject) -> list[Check]:
        """Measure and judge. Whatever is raised becomes rows that say so."""
        try:
            found = self.measure(subject)
        except NotRun as reason:
            return [_row(row, None, "not run", str(reason)) for row in self.rows]
        except Exception as error:  # the boundary between checks: one must not end the list
            return [_row(row, None, "fail", f"{type(error).__name__}: {error}") for row in self.rows]
        return [_judged(row, measured) for row, measured in zip(self.rows, found, strict=True)]


PROBES = (
    Probe(
        accuracy.over_training,
        (
            Row("energy error over that in training", "", AtMost(2.0)),
            Row("force error over that in training", "", AtMost(2.0)),
        ),
    ),
    Probe(
        accuracy.errors,
        (
            Row("energy error", "meV/atom", Below(10.0)),
            Row("energy error, strict", "meV/atom", Below(1.0), required=False),
            Row("force error", "meV/Å", Below(100.0)),
        ),
    ),
    Probe(accuracy.worst_group, (Row("energy error, worst group", "meV/atom", Below(10.0)),)),
    Probe(accuracy.slope, (Row("force slope", "", Between(0.9, 1.1)),)),
    Probe(
        invariance.rotation,
        (
            Row("rotation: energy", "meV/atom", AtMost(1000 * FLOAT32.energy)),
            Row("rotation: forces", "meV/Å", AtMost(1000 * FLOAT32.forces)),
        ),
    ),
    Probe(
        invariance.translation,
        (
            Row("translation: energy", "meV/atom", AtMost(1000 * FLOAT32.energy)),
            Row("translation: forces", "meV/Å", AtMost(1000 * FLOAT32.forces)),
        ),
    ),
    Probe(dynamics.drift, (Row("NVE drift", "meV/atom/ps", AtMost(dynamics.MAX_DRIFT)),)),
    Probe(near_equilibrium.symmetry_lost, (Row("symmetry lost in relaxing", "crystals", AtMost(0)),)),
    Probe(near_equilibrium.largest_force, (Row("largest force near equilibrium", "eV/Å", AtMost(10.0)),)),
    Probe(holes.compression, (Row("energy rises in compression to", "V/V0", AtMost(float(holes.VOLUMES[-1]))),)),
    Probe(holes.dimers, (Row("energy rises in approach to", "d/Σr", AtMost(float(holes.DISTANCES[-1]))),)),
    Probe(
        forgetting.forgetting,
        (
            Row("forgetting: energy", "meV/atom", Below(forgetting.MAX_ENERGY), required=False),
            Row("forgetting: forces", "meV/Å", Below(forgetting.MAX_FORCE), required=False),
        ),
    ),
    Probe(coverage.unseen_elements, (Row("elements outside the fine-tuning", "elements", AtMost(0)),)),
)


def run_checks(
    potential: Potential,
    data: Sequence[LabelledStructure] = (),
    *,
    results: Sequence[SystemResult] | None = None,
    training_errors: MeanErrors | None = None,
    pretrained: Potential | None = None,
    sample: Sequence[LabelledStructure] | None = None,
    md_ps: float = MD_PS,
    on_probe: Callable[[str], None] | None = None,
) -> list[Check]:
    """Carry out every check; the same arguments give the same list.

    Args:
        potential: what is checked.
        data: labelled structures that it was not trained on. Checks that need what is missing are "not run".
        results: what is predicted for ``data``, where the potential was trained on it in the end; by default what it
            says itself.
        training_errors: its errors on the data that it was trained on.
        pretrained: the potential that it was trained from.
        sample: structures on which the two are compared, instead of built crystals of most elements.
        md_ps: length of the molecular dynamics in ps.
        on_probe: told the name of a row when its measurement starts.
    """
    subject = Subject(potential, data, training_errors, pretrained, sample, md_ps, results)
    checks = []
    for probe in PROBES:
        if on_probe is not None:
            on_probe(probe.rows[0].name)
        checks += probe.run(subject)
    return checks


def is_safe(checks: Sequence[Check], *, strict: bool = False) -> bool:
    """Whether no check failed that is required; ``strict``: none at all."""
    return not any(check.status == "fail" and (check.required or strict) for check in checks)


def _judged(row: Row, measured: Measurement) -> Check:
    value = measured.value
    if value is None or not math.isfinite(value):
        what = "" if value is None else f"the value is {value}; "
        return _row(row, None, "fail", what + measured.detail)
    return _row(row, float(value), "pass" if row.limit.holds(value) else "fail", measured.detail)


def _row(row: Row, value: float | None, status: CheckStatus, detail: str) -> Check:
    return Check(row.name, value, row.unit, str(row.limit), status, detail, row.required)
