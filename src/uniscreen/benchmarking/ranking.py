"""Ranks of what was measured with noise: between which places an entry lies."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95

ROUNDING = 1e-9
"""Relative difference below which two means are one: the same errors summed up from other energies of reference."""


class Mean(NamedTuple):
    """A mean, the square of its standard error, and that one's degrees of freedom; both are 0 for an exact value."""

    value: float
    squared_error: float
    freedom: int

    @classmethod
    def of(cls, sample: Sequence[float]) -> Mean:
        """The mean of one value or more."""
        freedom = len(sample) - 1
        squared_error = statistics.variance(sample) / len(sample) if freedom else 0.0
        return cls(statistics.fmean(sample), squared_error, freedom)


class Places(NamedTuple):
    """The best and the worst place that an entry can have; the same where it ties with no other."""

    best: int
    worst: int


def places(samples: Sequence[Sequence[float]], noise: Sequence[str]) -> list[Places]:
    """Give each entry its places; ``samples`` are its values, one a seed, and lower is better.

    ``best`` is one more than the number of entries that are better beyond the noise, ``worst`` counts all that are not
    worse beyond it. ``noise`` is the kind of what differs between the seeds of an entry, and empty where nothing does.
    One value without noise is exact; one with noise has the relative noise of the samples of several values of its
    kind, pooled, if there are any.
    """
    pooled = {
        kind: _pooled([sample for sample, other in zip(samples, noise, strict=True) if other == kind])
        for kind in {*noise} - {""}
    }
    means = [
        Mean(sample[0], pooled[kind][0] * sample[0] ** 2, pooled[kind][1])
        if len(sample) == 1 and kind
        else Mean.of(sample)
        for sample, kind in zip(samples, noise, strict=True)
    ]
    found = []
    for mean in means:
        told_apart = [other for other in means if differ(mean, other)]
        better = sum(other.value < mean.value for other in told_apart)
        found.append(Places(1 + better, len(means) - (len(told_apart) - better)))
    return found


def _pooled(samples: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The variance over the squared mean of samples of several values, pooled by degrees of freedom, and their sum."""
    several = [sample for sample in samples if len(sample) > 1 and statistics.fmean(sample)]
    freedom = sum(len(sample) - 1 for sample in several)
    if not freedom:
        return 0.0, 0
    weighted = ((len(sample) - 1) * statistics.variance(sample) / statistics.fmean(sample) ** 2 for sample in several)
    return sum(weighted) / freedom, freedom


def differ(first: Mean, second: Mean) -> bool:
    """Whether two means differ beyond the noise: Welch's t-test (Biometrika 34, 28 (1947)), two-sided, at 95 %.

    Two exact values differ unless they are equal up to rounding.
    """
    from scipy.special import stdtrit

    difference = abs(first.value - second.value)
    if difference <= ROUNDING * max(abs(first.value), abs(second.value)):
        return False
    squared_error = first.squared_error + second.squared_error
    if squared_error == 0:
        return True
    freedom = squared_error**2 / sum(
        mean.squared_error**2 / mean.freedom for mean in (first, second) if mean.squared_error
    )
    return bool(difference > stdtrit(freedom, (1 + CONFIDENCE) / 2) * squared_error**0.5)
