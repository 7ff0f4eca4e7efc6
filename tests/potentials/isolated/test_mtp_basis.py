"""The basis of moment tensor potentials against published ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from backend_modules import backend_module

if TYPE_CHECKING:
    from types import ModuleType

PUBLISHED = Path(__file__).parents[4] / "shared" / "weights" / "mtp"


@pytest.fixture(scope="module")
def mtp_basis() -> ModuleType:
    return backend_module("mtp_basis")


def scalars(basic: int, times: list, n_moments: int, mapping: list, values: np.ndarray) -> np.ndarray:
    """The basis functions for given components of the moments, as an .mtp file's tables say."""
    moments = np.concatenate([values, np.zeros(n_moments - basic)])
    for i, j, factor, k in times:
        moments[k] += factor * moments[i] * moments[j]
    return moments[mapping]


# 288 and 864 are those of the potentials of Zuo et al. 2020; the others are counted by hand up to level 8
@pytest.mark.parametrize(("level", "n"), [(2, 1), (4, 2), (6, 5), (8, 9), (20, 288), (24, 864)])
def test_number_of_basis_functions(level: int, n: int, mtp_basis: ModuleType) -> None:
    basis = mtp_basis.make_basis(level)
    assert len(basis.scalars) == len(set(basis.scalars)) == n


@pytest.mark.parametrize("level", [8, 12, 16])
def test_basis_functions_do_not_change_with_a_rotation(level: int, mtp_basis: ModuleType) -> None:
    basis = mtp_basis.make_basis(level)
    random = np.random.default_rng(level)
    directions = random.normal(size=(7, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    radial = random.normal(size=(mtp_basis.n_radial_functions(level), 7))
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]

    def evaluate(n: np.ndarray) -> np.ndarray:
        x, y, z = n.T
        values = np.array([np.sum(radial[mu] * x**a * y**b * z**c) for mu, a, b, c in basis.basic])
        return scalars(len(values), basis.times, basis.n_moments, basis.scalars, values)

    np.testing.assert_allclose(evaluate(directions @ rotation), evaluate(directions), rtol=1e-9)
    assert np.linalg.matrix_rank(np.outer(evaluate(directions), [1.0])) == 1  # none is identically zero
    assert np.all(np.abs(evaluate(directions)) > 0)


@pytest.mark.parametrize(("element", "level"), [("Mo", 20), ("Si", 24)])
def test_basis_functions_are_those_of_the_published_potentials(element: str, level: int, mtp_basis: ModuleType) -> None:
    """The same functions of the same moments, in whatever order."""
    if not PUBLISHED.is_dir():
        pytest.skip("needs the published potentials in ../shared/weights/mtp")
    text = (PUBLISHED / f"{element}.mtp").read_text()

    def table(name: str) -> list:
        found = re.search(rf"^{name} = \{{(.*)\}}$", text, flags=re.MULTILINE)
        assert found is not None
        numbers = [int(word) for word in re.findall(r"\d+", found[1])]
        return numbers if name == "alpha_moment_mapping" else list(zip(*[iter(numbers)] * 4, strict=True))

    basic = table("alpha_index_basic")
    n_moments = int(re.search(r"alpha_moments_count = (\d+)", text)[1])  # type: ignore[index]
    basis = mtp_basis.make_basis(level)
    assert set(basic) == set(basis.basic)
    values = dict(zip(basic, np.random.default_rng(0).uniform(0.5, 1.5, len(basic)), strict=True))
    theirs = scalars(
        len(basic),
        table("alpha_index_times"),
        n_moments,
        table("alpha_moment_mapping"),
        np.array([values[row] for row in basic]),
    )
    ours = scalars(
        len(basic), basis.times, basis.n_moments, basis.scalars, np.array([values[row] for row in basis.basic])
    )
    np.testing.assert_allclose(np.sort(ours), np.sort(theirs), rtol=1e-9)
