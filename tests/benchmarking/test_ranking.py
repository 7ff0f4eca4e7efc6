"""Ranks inside the noise, against scipy's Welch test."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from uniscreen.benchmarking.ranking import Mean, differ, places


@pytest.mark.parametrize("sizes", [(3, 3), (3, 5), (2, 4), (10, 3)])
def test_two_means_differ_as_scipys_welch_test_says(sizes):
    source = np.random.default_rng(sum(sizes))
    found = set()
    for shift in np.linspace(0, 8, 60):
        first = source.normal(10, 1, sizes[0])
        second = source.normal(10 + shift, 2, sizes[1])
        expected = ttest_ind(first, second, equal_var=False).pvalue < 0.05
        assert differ(Mean.of(first.tolist()), Mean.of(second.tolist())) == expected
        found.add(bool(expected))
    assert found == {True, False}


def test_a_single_value_ties_only_through_the_noise_of_the_other():
    several = Mean.of([9.0, 10.0, 11.0])  # standard error 0.577, t(0.975, 2) = 4.303: 2.48
    assert not differ(Mean.of([12.4]), several)
    assert differ(Mean.of([12.6]), several)
    assert differ(Mean.of([10.0]), Mean.of([10.001]))
    assert not differ(Mean.of([10.0]), Mean.of([10.0]))
    assert not differ(Mean.of([89.73571325725428]), Mean.of([89.7357132572543]))  # shifted energies, re-referenced


def test_places_with_a_tie_in_the_middle():
    samples = [[20.0, 20.1, 20.2], [1.0, 1.1, 1.2], [5.0, 6.0, 7.0], [5.5, 6.5, 7.5], [3.0]]
    assert places(samples, [""] * 5) == [(5, 5), (1, 1), (3, 4), (3, 4), (2, 2)]


def test_an_entry_of_much_noise_can_be_first_or_last():
    assert places([[1.0, 1.1, 1.2], [2.0, 2.1, 2.2], [2.0, 3.0, 400.0]], [""] * 3) == [(1, 2), (2, 3), (1, 3)]


def test_a_training_with_one_seed_has_the_noise_of_the_others():
    others = [[1.0, 1.1, 1.2], [2.0, 2.3, 2.6]]
    error, t = 10 * ((0.1 / 1.1) ** 2 / 2 + (0.3 / 2.3) ** 2 / 2) ** 0.5, 2.776445  # of 4 degrees, 97.5 %
    for difference, tie in ((t * error - 0.01, True), (t * error + 0.01, False)):
        samples = [*others, [10.0], [10.0 + difference], [300.0, 301.0]]
        assert (places(samples, ["a", "a", "a", "", "b"])[2] == (3, 4)) == tie  # not that of another kind
        assert places(samples, ["a", "a", "", "", ""])[2:4] == [(3, 3), (4, 4)]
    assert places([[1.0], [1.1], [50.0, 50.1]], ["a", "a", "b"])[:2] == [(1, 1), (2, 2)]  # nobody's noise is known
