"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uniscreen.structures import ReadLimits

if TYPE_CHECKING:
    from collections.abc import Callable

REAL_DATA = (Path(__file__).parents[2] / "../shared/data").resolve()


@pytest.fixture
def limits() -> ReadLimits:
    return ReadLimits(max_atoms=200, max_bytes=200_000, seconds=10.0)


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Return a file of the real data that lies outside the project, or skip the test."""

    def find(name: str) -> Path:
        path = REAL_DATA / name
        if not path.exists():
            pytest.skip(f"the real data set {name} is not here")
        return path

    return find
