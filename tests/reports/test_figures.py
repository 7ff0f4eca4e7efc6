"""Figures of values at their limits."""

import pytest

from uniscreen.reports.figures import binned, hull_distance_figure, n_outside


@pytest.mark.parametrize("distances", [[], [30.0], [1688.8], [-5000.0], [-5000.0, 1688.8]])
def test_the_histogram_shows_the_hull_however_far_the_candidates_are(distances):
    edges, counts = binned(distances)
    assert edges[0] < 0 < 100 <= edges[-1]
    assert sum(counts) == len(distances) - n_outside(distances)
    low, high = hull_distance_figure(distances).layout.xaxis.range
    assert low < 0 < 100 < high


def test_what_lies_below_the_shown_range_is_within_every_distance():
    curve = hull_distance_figure([-300.0, -50.0, 20.0, 20.0, 900.0]).data[1]
    assert list(zip(curve.x, curve.y, strict=True)) == [(-200.0, 1), (-50.0, 2), (20.0, 4), (500.0, 4)]
