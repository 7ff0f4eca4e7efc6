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
