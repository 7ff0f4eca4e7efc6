"""Structures that are to be computed: what makes two alike, and which are chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from hypothesis import given
from hypothesis import strategies as st

from finetuning_frames import rattled
from uniscreen.errors import InputError, UnsupportedElementError
from uniscreen.potentials import load_potential
from uniscreen.structures import candidates_from_structures, read_candidates
from uniscreen.training.selection import EnergyGradient, _clusters, select, write_selection

MODEL = "chgnet-0.3.0"


@pytest.fixture(scope="module")
def potential(loaded):
    return loaded(MODEL)


@pytest.fixture(scope="module")
def gradient(potential):
    return EnergyGradient(potential)


def exact(potential, atoms):
    """The whole gradient of the energy per atom."""
    energy = potential.predict(potential.graph([atoms])).energy.sum() / len(atoms)
    found = torch.autograd.grad(energy, list(potential.model.parameters()), allow_unused=True)
    return torch.cat([one.flatten() for one in found if one is not None]).double().numpy()


def test_distances_between_gradients_are_kept(potential, gradient):
    frames = rattled(8)
    whole, short = (np.array([f(one) for one in frames]) for f in (lambda one: exact(potential, one), gradient))
    assert len(short[0]) < len(whole[0]) / 500
    distances = [[np.linalg.norm(found[i] - found[j]) for i in range(8) for j in range(i)] for found in (whole, short)]
    assert distances[1] == pytest.approx(distances[0], rel=0.2)


def test_a_crystal_is_the_same_turned_and_in_a_larger_cell(gradient):
    atoms = rattled(1)[0]
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    scale = np.linalg.norm(gradient(atoms) - gradient(rattled(2)[1]))
    for same in (turned, atoms * (2, 1, 1)):
        assert np.linalg.norm(gradient(same) - gradient(atoms)) < 1e-3 * scale


def test_what_cannot_be_evaluated_has_none(gradient):
    with pytest.raises(UnsupportedElementError):
        gradient(bulk("Am", "fcc", a=4.9))


@given(seed=st.integers(0, 1000), n=st.integers(1, 12), n_known=st.integers(0, 8))
def test_there_are_as_many_clusters_as_asked_for_and_none_holds_what_is_known(seed, n, n_known):
    features = np.random.default_rng(seed).normal(size=(13 + n_known, 3))
    found = _clusters(features, n, n_known)
    members = [row for rows in found for row in rows]
    assert len(found) == n
    assert len(set(members)) == len(members)
    assert max(members) < 13
    assert n_known or len(members) == 13
    assert [len(rows) for rows in found] == sorted((len(rows) for rows in found), reverse=True)


@given(seed=st.integers(0, 1000))
def test_of_what_is_apart_each_is_chosen_but_what_is_known(seed):
    source = np.random.default_rng(seed)
    kinds = source.permutation(np.repeat(np.arange(4), 5))
    features = np.vstack([10 * np.eye(4)[kinds] + source.normal(0, 0.1, (20, 4)), 10 * np.eye(4)[[2]]])
    found = _clusters(features, 3, n_known=1)
    assert sorted({kinds[row] for row in rows}.pop() for rows in found) == [0, 1, 3]
    assert [len({kinds[row] for row in rows}) for rows in found] == [1, 1, 1]


def test_one_of_each_kind_is_chosen_and_written(potential, tmp_path):
    kinds = {
        "rock salt": bulk("NaCl", "rocksalt", a=5.6),
        "metal": bulk("Na"),
        "fluoride": bulk("NaF", "rocksalt", a=4.6),
    }
    source = np.random.default_rng(0)
    frames = []
    for k in range(12):
        kind = list(kinds)[k % 3]
        frames.append(kinds[kind] * (2, 1, 1))
        frames[-1].positions += source.normal(0, 0.02, frames[-1].positions.shape)
        frames[-1].info = {"group": kind}
        frames[-1].calc = SinglePointCalculator(frames[-1], energy=1.0)
    write(tmp_path / "frames.extxyz", frames)
    table = read_candidates(tmp_path / "frames.extxyz")
    found = select(table, 3, potential)
    assert list(found.stands_for.values()) == [4, 4, 4]
    write_selection(found, table, tmp_path / "chosen.extxyz")
    chosen = read(tmp_path / "chosen.extxyz", ":")
    assert {one.info["group"] for one in chosen} == set(kinds)
    assert {one.info["stands_for"] for one in chosen} == {4}
    assert [one.info["id"] for one in chosen] == [table.candidates[place].id for place in found.stands_for]
    assert all(one.calc is None for one in chosen)  # nothing that label or finetune would take for a label
    write(tmp_path / "metals.extxyz", [one for one in chosen if one.info["group"] == "metal"])
    others = select(table, 2, potential, known=read_candidates(tmp_path / "metals.extxyz"))
    assert {table.groups[place] for place in others.stands_for} == set(kinds) - {"metal"}


@pytest.mark.parametrize(
    ("n", "known", "expected"),
    [
        (0, None, "-n is 0, expected 1 to 3"),
        (4, None, "-n is 4, expected 1 to 3: .* has 4 structures"),
        (3, None, "-n is 3, and 1 of 4 structures cannot be compared: .*Am"),
        (1, [bulk("Am", "fcc", a=4.9)], "of the known structures cannot be compared: .*Am"),
    ],
)
def test_what_cannot_be_chosen_from_is_said(potential, n, known, expected):
    table = candidates_from_structures([*rattled(3), bulk("Am", "fcc", a=4.9)])
    before = None if known is None else candidates_from_structures(known)
    with pytest.raises(InputError, match=expected):
        select(table, n, potential, known=before)


def test_only_what_can_be_trained_can_choose():
    emt = load_potential("ase:ase.calculators.emt:EMT", trust_model_file=True)
    with pytest.raises(InputError, match="no weights to be trained"):
        select(candidates_from_structures([bulk("Cu"), bulk("Al")]), 1, emt)
