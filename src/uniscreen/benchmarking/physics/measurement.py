"""One number that was measured, and what measures several at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from uniscreen.errors import InputError, StructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Measurement:
    """The value of a metric, which is a quantity of ``quantities.py`` and the crystal after a colon.

    ``value`` is NaN where it could not be measured, and ``reason`` says why. ``n`` is how many numbers an error is the
    mean of, or how many atoms moved; None where that says nothing.
    """

    metric: str
    value: float
    n: int | None = None
    reason: str = ""


class NotMeasured(Exception):  # noqa: N818 (it is no error)
    """The potential has no such property, or it cannot be found; the text says why."""


class Found(NamedTuple):
    """A value, and how many numbers are behind it; see ``Measurement``."""

    value: float
    n: int | None = None


@dataclass(frozen=True)
class Probe:
    """What is measured together: ``metrics`` are all that ``measure`` gives, so that each has a row if it fails."""

    what: str
    metrics: tuple[str, ...]
    measure: Callable[[], Mapping[str, Found]]

    def run(self) -> list[Measurement]:
        """Measure; whatever goes wrong becomes rows that say so.

        Raises:
            InputError: nothing can be measured, e.g. an isolated backend does not start any more.
        """
        try:
            found = self.measure()
        except (NotMeasured, StructureError) as why:
            return self._failed(str(why))
        except InputError:
            raise
        except Exception as error:  # the boundary between properties: one must not end the others
            return self._failed(f"{type(error).__name__}: {' '.join(str(error).split())}")
        assert set(found) == set(self.metrics), f"{sorted(found)} instead of {sorted(self.metrics)}"
        return [_measurement(metric, found[metric]) for metric in self.metrics]

    def _failed(self, reason: str) -> list[Measurement]:
        return [Measurement(metric, math.nan, reason=reason) for metric in self.metrics]


def percent(value: float, reference: float) -> float:
    """The size of an error in % of the reference."""
    return 100 * abs(value - reference) / abs(reference)


def _measurement(metric: str, found: Found) -> Measurement:
    if not math.isfinite(found.value):
        return Measurement(metric, math.nan, found.n, f"the value is {found.value}")
    return Measurement(metric, float(found.value), found.n)
