"""Splits keep groups together, leave something on both sides, and depend on nothing but the seed."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from uniscreen.errors import InputError
from uniscreen.structures.labels import LabelledStructure
from uniscreen.training.splits import k_folds, other_splits, split, training_order, unlike_the_others


def frames(groups, symbols="He"):
    """One atom each, of the same element or of one each."""
    elements = [symbols] * len(groups) if isinstance(symbols, str) else symbols
    return [
        LabelledStructure(
            Atoms(element, cell=[5, 5, 5], pbc=True),
            0.0,
            np.zeros((1, 3)),
            None,
            None if group is None else str(group),
            f"frame {k + 1}",
        )
        for k, (group, element) in enumerate(zip(groups, elements, strict=True))
    ]


@given(
    groups=st.lists(st.integers(0, 6), min_size=2, max_size=60).filter(lambda found: len(set(found)) > 1),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 5),
)
def test_groups_stay_together_and_neither_side_is_empty(groups, share, seed):
    structures = frames(groups)
    found = split(structures, validation=share, seed=seed)
    assert found == split(structures, validation=share, seed=seed)
    assert found.train
    assert found.validation
    assert sorted(found.train + found.validation) == list(range(len(groups)))
    assert not {groups[k] for k in found.train} & {groups[k] for k in found.validation}


def test_the_share_is_met_where_groups_allow_it():
    structures = frames([k // 5 for k in range(100)])
    assert len(split(structures, validation=0.2).validation) == 20
    assert len(split(structures, by="frame", validation=0.33).validation) == 33
    assert len(split(frames([k // 6 for k in range(30)]), validation=0.33).validation) == 12  # nearer to 10 than 6 is
    assert len(split(frames(range(10)), validation=0.01).validation) == 1


@pytest.mark.parametrize("seed", range(5))
def test_an_element_that_only_one_group_has_is_trained_on(seed):
    groups, elements = [0, 0, 1, 1, 2, 2, 3, 3], ["Na", "Na", "K", "Na", "Na", "Na", "Na", "Na"]
    assert 2 in split(frames(groups, elements), seed=seed).train
    assert 2 in split(frames(groups, elements), validation=0.9, seed=seed).train
    each_its_own = split(frames(range(3), ["Na", "K", "Rb"]), seed=seed)
    assert len(each_its_own.validation) == 1


def test_another_seed_is_another_split():
    structures = frames([k // 5 for k in range(100)])
    assert len({split(structures, seed=seed).validation for seed in range(5)}) > 1


@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda found: len(set(found)) > 1))
def test_other_splits_hold_out_other_groups(groups):
    structures = frames(groups)
    first = split(structures)
    found = other_splits(structures, first, n=2, by="group", validation=0.2, seed=0)
    assert len(found) <= 2
    held = [groups[place] for one in (first, *found) for place in set(one.validation)]
    assert len(set(held)) == sum(len({groups[place] for place in one.validation}) for one in (first, *found))
    assert all(sorted(one.train + one.validation) == list(range(len(groups))) for one in found)


def test_there_are_two_other_splits_where_there_are_groups_enough():
    structures = frames([k // 2 for k in range(20)])
    assert len(other_splits(structures, split(structures), n=2, by="group", validation=0.2, seed=0)) == 2
    by_stretch = split(structures, by="stretch")
    assert other_splits(structures, by_stretch, n=2, by="stretch", validation=0.2, seed=0) == []


@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda found: len(set(found)) > 1))
def test_folds_hold_out_every_frame_once(groups):
    structures = frames(groups)
    folds = k_folds(structures, k=5)
    assert len(folds) == min(5, len(set(groups)))
    assert sorted(place for fold in folds for place in fold.validation) == list(range(len(groups)))
    for fold in folds:
        assert not {groups[k] for k in fold.train} & {groups[k] for k in fold.validation}
        assert fold.train


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_of_similar_size(seed):
    folds = k_folds(frames([0] * 6 + [1] * 3 + [2] * 3), k=2, seed=seed)
    assert [len(fold.validation) for fold in folds] == [6, 6]


def test_the_end_of_each_stretch_validates_and_never_all_of_it():
    """A fifth of 3, 5 and 10 frames, the numbers rounded such that four of 18 are held out."""
    kinds = frames(["a"] * 10 + ["b"] * 5 + ["c"] * 3)
    assert split(kinds, by="stretch", validation=0.2).validation == (8, 9, 14, 17)
    mixed = frames(["a", "b"] * 5)
    assert split(mixed, by="stretch", validation=0.4).validation == (6, 7, 8, 9)
    alone = frames(["a"] * 9 + ["b"])
    assert split(alone, by="stretch", validation=0.6).validation == (3, 4, 5, 6, 7, 8)
    with pytest.raises(InputError, match="0 of 3 frames would validate"):
        split(frames("abc"), by="stretch")
    with pytest.raises(InputError, match="stretch makes one split, not folds"):
        k_folds(kinds, by="stretch")


def test_one_group_or_none_says_what_to_choose():
    with pytest.raises(InputError, match=r"all 8 frames are one group \(md\).*split\.by: block"):
        split(frames(["md"] * 8))
    with pytest.raises(InputError, match=r"3 of 4 frames have no group \(frame 2, for one\).*data\.split\.by=frame"):
        split(frames(["md", None, None, None]))
    with pytest.raises(InputError, match=r"1 frame.*at least 2"):
        split(frames(["md"]), by="frame")
    with pytest.raises(InputError, match="validation is 1"):
        split(frames([1, 2]), validation=1.0)
    with pytest.raises(InputError, match="k is 1"):
        k_folds(frames([1, 2]), k=1)


def test_a_kind_that_only_validates_is_said():
    kinds = frames(["bulk"] * 8 + ["vacancy"] * 4 + ["surface"] * 3)
    found = split(kinds, seed=1)
    (held,) = {kinds[place].group for place in found.validation}
    assert f"There are 3 groups, and all frames of {held} validate" in unlike_the_others(kinds, found)
    many = frames([k // 3 for k in range(15)])
    assert unlike_the_others(many, split(many)) == ""


def test_blocks_of_a_trajectory_are_consecutive():
    held = split(frames([None] * 50), by="block", validation=0.1, seed=3).validation
    assert len(held) == 5
    assert held == tuple(range(held[0], held[0] + 5))


def test_small_training_sets_spread_over_groups_and_lie_in_larger_ones():
    groups = [k // 10 for k in range(60)]
    order = training_order(frames(groups), range(60), seed=1)
    assert sorted(order) == list(range(60))
    for n in (6, 12, 30):
        assert np.bincount([groups[k] for k in order[:n]], minlength=6).tolist() == [n // 6] * 6
    assert order != training_order(frames(groups), range(60), seed=2)


def test_small_training_sets_hold_each_group_by_its_share():
    groups = [0] * 40 + [1] * 20 + [2] * 4
    order = training_order(frames(groups), range(64), seed=3)
    for n in (16, 32, 48):
        counts = np.bincount([groups[k] for k in order[:n]], minlength=3)
        assert np.abs(counts - n * np.array([40, 20, 4]) / 64).max() <= 1
