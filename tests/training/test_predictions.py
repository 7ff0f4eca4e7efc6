"""Predictions that are no use, and those that only lack what their structure cannot have."""

from __future__ import annotations

import math

import numpy as np

from uniscreen.potentials.base import SystemResult
from uniscreen.training.predictions import Predictions


def test_a_slab_without_a_stress_is_evaluated_and_what_has_no_force_is_not():
    forces, unknown = np.zeros((2, 3)), np.full((3, 3), math.nan)
    found = Predictions(
        {
            0: SystemResult(-1.0, forces, unknown, None),
            1: SystemResult(math.nan, forces, np.zeros((3, 3)), None),
            2: SystemResult(-1.0, np.full((2, 3), math.inf), np.zeros((3, 3)), None),
        },
        {3: "it holds Xe"},
    ).finite()
    assert set(found.results) == {0}
    assert set(found.refused) == {1, 2, 3}
