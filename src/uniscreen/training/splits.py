"""Which frames train and which validate: whole groups at a time, since frames of one trajectory know each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from uniscreen.structures.labels import LabelledStructure

SplitBy = Literal["group", "composition", "block", "stretch", "frame"]

BLOCKS = 10
"""Consecutive stretches into which a single trajectory is cut by ``block``."""

TRIES = 20
"""Draws among which other splits are looked for."""

FEW_GROUPS = 5
"""With fewer groups than this, one that is held out may well be a kind of structures that nothing else is like."""


@dataclass(frozen=True)
class Split:
    """Places of the frames that train and of those that validate; sorted, disjoint, none empty."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


def split(
    structures: Sequence[LabelledStructure], *, by: SplitBy = "group", validation: float = 0.2, seed: int = 0
) -> Split:
    """Hold out whole groups until about the share ``validation`` of the frames is held out; at least one frame.

    Groups that alone have an element are left to train, if any other can be held out.

    ``by``: ``group``, as the file says; ``composition``; ``block``, ten consecutive stretches of one trajectory;
    ``stretch``, the last frames of every group, for a few groups of different kinds, which should all validate;
    ``frame``, each for itself, which lets frames of one trajectory leak into the validation.

    Raises:
        InputError: there are not two groups, or the share is not between 0 and 1.
    """
    if not 0 < validation < 1:
        raise InputError(f"validation is {validation}, expected a share between 0 and 1, e.g. 0.2.")
    if by == "stretch":
        return _stretches(structures, validation)
    groups = _shuffled_groups(structures, by, seed)
    target = max(1, round(validation * len(structures)))
    training = _frames_of_elements(structures, range(len(structures)))

    def may_go(group: Sequence[int]) -> bool:
        return all(training[number] > n for number, n in _frames_of_elements(structures, group).items())

    held: list[int] = []
    for group in groups:
        overshoot = len(held) + len(group) - target
        if overshoot <= max(target - len(held), 0) and may_go(group):
            held += group
            training -= _frames_of_elements(structures, group)
        if len(held) >= target:
            break
    if not held:
        held = min(groups, key=lambda group: (not may_go(group), len(group)))
    return Split(train=_rest(structures, held), validation=tuple(sorted(held)))


def other_splits(
    structures: Sequence[LabelledStructure], first: Split, *, n: int, by: SplitBy, validation: float, seed: int
) -> list[Split]:
    """Up to ``n`` more splits by the same rule, each holding out frames that neither ``first`` nor the others do.

    None by ``stretch``, which knows only one.
    """
    found: list[Split] = []
    held = set(first.validation)
    for other_seed in range(seed + 1, seed + 1 + TRIES if by != "stretch" else 0):
        drawn = split(structures, by=by, validation=validation, seed=other_seed)
        if len(found) < n and held.isdisjoint(drawn.validation):
            found.append(drawn)
            held.update(drawn.validation)
    return found


def k_folds(
    structures: Sequence[LabelledStructure], *, k: int = 5, by: SplitBy = "group", seed: int = 0
) -> list[Split]:
    """Return k splits that each hold out other groups, every frame once; fewer than k where there are fewer groups.

    Raises:
        InputError: k is below 2, or there are not two groups.
    """
    if k < 2:
        raise InputError(f"k is {k}, expected at least 2 folds.")
    if by == "stretch":
        raise InputError("split.by: stretch makes one split, not folds. Choose group, composition, block or frame.")
    folds: list[list[int]] = [[] for _ in range(k)]
    for group in sorted(_shuffled_groups(structures, by, seed), key=len, reverse=True):
        min(folds, key=len).extend(group)  # largest first into the emptiest: folds of similar size
    return [Split(train=_rest(structures, fold), validation=tuple(sorted(fold))) for fold in folds if fold]


def training_order(structures: Sequence[LabelledStructure], places: Sequence[int], *, seed: int = 0) -> list[int]:
    """Order places so that the first n hold every group by its share, whatever n; the sets of smaller n are in larger.

    Within a group the order is random; its k-th frame comes at (k + u) / size of the way, u random between 0 and 1.
    """
    source = np.random.default_rng(seed)
    by_group: dict[str, list[int]] = {}
    for place in places:
        by_group.setdefault(structures[place].group or "", []).append(place)
    at: dict[int, float] = {}
    for name in sorted(by_group):
        order = source.permutation(by_group[name]).tolist()
        offset = source.random()
        at |= {place: (k + offset) / len(order) for k, place in enumerate(order)}
    return sorted(at, key=lambda place: at[place])


def unlike_the_others(structures: Sequence[LabelledStructure], found: Split) -> str:
    """What to know about a split by group if there are few of them; empty otherwise."""
    groups = {one.group for one in structures}
    held = sorted({str(structures[place].group) for place in found.validation})
    if len(groups) >= FEW_GROUPS:
        return ""
    return (
        f"There are {len(groups)} groups, and all frames of {', '.join(held)} validate: none of them trains. If groups "
        "are kinds of structures and not trajectories, data.split.by=stretch validates with the end of each."
    )


def _stretches(structures: Sequence[LabelledStructure], validation: float) -> Split:
    """Hold out the end of every group, never all of it; shares are rounded such that the number held out is right."""
    held: list[int] = []
    seen = 0
    for group in sorted(_members(structures, "group").values(), key=len):
        seen += len(group)
        n_held = min(round(validation * seen) - len(held), len(group) - 1)
        held += group[len(group) - n_held :] if n_held > 0 else []
    if not held or len(held) == len(structures):
        raise InputError(
            f"{len(held)} of {len(structures)} frames would validate; expected some that train and some that validate."
        )
    return Split(train=_rest(structures, held), validation=tuple(sorted(held)))


def _frames_of_elements(structures: Sequence[LabelledStructure], places: Iterable[int]) -> Counter[int]:
    """How many frames hold each atomic number."""
    return Counter(int(number) for place in places for number in np.unique(structures[place].atoms.numbers))


def _shuffled_groups(structures: Sequence[LabelledStructure], by: SplitBy, seed: int) -> list[list[int]]:
    """The places of each group, groups in an order that the seed decides."""
    found = _members(structures, by)
    if len(found) < 2:
        raise InputError(_one_group(len(structures), by, next(iter(found), None)))
    ordered = [found[name] for name in sorted(found)]
    return [ordered[k] for k in np.random.default_rng(seed).permutation(len(ordered))]


def _members(structures: Sequence[LabelledStructure], by: SplitBy) -> dict[str, list[int]]:
    """The places of each group, in the order of the file."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(_group_names(structures, by)):
        found.setdefault(name, []).append(place)
    return found


def _group_names(structures: Sequence[LabelledStructure], by: SplitBy) -> list[str]:
    if by == "frame":
        return [f"{place:09d}" for place in range(len(structures))]
    if by == "block":
        count = len(structures)
        return [f"{place * min(BLOCKS, count) // count:02d}" for place in range(count)]
    if by == "composition":
        return [one.atoms.get_chemical_formula(empirical=True) for one in structures]
    without = [one.place for one in structures if one.group is None]
    if without:
        raise InputError(
            f"{len(without)} of {len(structures)} frames have no group ({without[0]}, for one), so nothing says which "
            "belong together. Give each frame a 'group', or choose split.by: composition, block for one trajectory, or "
            "frame for frames that are independent (for a fine-tuning, data.split.by=frame)."
        )
    return [str(one.group) for one in structures]


def _one_group(count: int, by: SplitBy, name: str | None) -> str:
    if count < 2:
        return f"{count} frame(s): expected at least 2, one to train on and one to validate with."
    return (
        f"all {count} frames are one {by} ({name}), so none can be held out. "
        "Choose split.by: block for one trajectory, or frame for frames that are independent (for a fine-tuning, "
        "data.split.by=frame)."
    )


def _rest(structures: Sequence[LabelledStructure], held: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(range(len(structures))) - set(held)))
