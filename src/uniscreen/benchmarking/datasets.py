"""The data sets of a benchmark: what there is to train on, the test set, and what a cell draws."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from uniscreen.benchmarking.physics import read_properties, require_measurable
from uniscreen.durable import sha256_of
from uniscreen.errors import InputError
from uniscreen.structures.labels import LabelConventions, labelled_extxyz, read_labelled
from uniscreen.training.dataset import chosen_places, splits_of
from uniscreen.training.recipe import DataSection
from uniscreen.training.splits import split

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from uniscreen.benchmarking.spec import BenchmarkSpec, DatasetSection
    from uniscreen.structures.labels import LabelledStructure


@dataclass(frozen=True)
class Dataset:
    """A data set whose test structures are in a file of their own, and checksums.

    ``pool`` is what there is to train on, ``test`` what is tested on; ``files`` are the contents of those that have to
    be written: what was split off, and what was left.
    """

    name: str
    data: DataSection
    section: DatasetSection
    pool: tuple[LabelledStructure, ...]
    test: tuple[LabelledStructure, ...]
    sha256: dict[str, str]
    files: dict[Path, bytes]


def read_datasets(spec: BenchmarkSpec, folder: Path) -> list[Dataset]:
    """Read the files, and split the test structures off where they have no file, for which ``folder`` is the place.

    Raises:
        InputError: a file cannot be read, or holds too little to split a test set off.
        MissingPackageError: phonons are asked for, and phonopy is not installed.
    """
    return [_read(name, section, folder / name) for name, section in spec.datasets.items()]


def draw(
    data: DataSection, pool: Sequence[LabelledStructure]
) -> tuple[list[LabelledStructure], list[LabelledStructure]]:
    """Return the structures to train on and those to validate with: the same as a recipe's.

    Raises:
        InputError: there is too little to hold anything out.
    """
    chosen = [pool[place] for place in chosen_places(data, pool)]
    (split,) = splits_of(data, chosen)
    return [chosen[place] for place in split.train], [chosen[place] for place in split.validation]


def _read(name: str, section: DatasetSection, folder: Path) -> Dataset:
    assert section.train is not None
    data = DataSection.model_validate(section.model_dump(include=set(DataSection.model_fields)))
    train = read_labelled(section.train, section.conventions)
    train.require_named()
    others = {f"elsewhere.{label}": read_labelled(path).sha256 for label, path in section.elsewhere.items()}
    if section.properties is not None:
        asked = read_properties(section.properties)
        require_measurable(asked)
        others["properties"] = sha256_of(section.properties)
        files = {name: crystal.structure for name, crystal in asked.crystals.items() if crystal.structure is not None}
        others |= {f"properties.{name}": sha256_of(path) for name, path in files.items()}
    if section.test is not None:
        test = read_labelled(section.test, section.conventions)
        _require_disjoint(train.structures, test.structures, name)
        sums = {"train": train.sha256, "test": test.sha256, **others}
        return Dataset(name, data, section, tuple(train.structures), tuple(test.structures), sums, {})
    try:
        chosen = split(train.structures, by=section.split.by, validation=section.test_share, seed=section.split.seed)
    except InputError as error:
        raise InputError(f"{name}: no test set can be split off: {error}") from None
    parts = {"train": chosen.train, "test": chosen.validation}
    contents = {part: labelled_extxyz([train.structures[k] for k in places]) for part, places in parts.items()}
    paths = {part: folder / f"{part}.extxyz" for part in parts}
    usual = dict.fromkeys(LabelConventions.__dataclass_fields__)
    return Dataset(
        name=name,
        data=data.model_copy(update=paths | usual),
        section=section,
        pool=tuple(train.structures[k] for k in chosen.train),
        test=tuple(train.structures[k] for k in chosen.validation),
        sha256={part: sha256(content).hexdigest() for part, content in contents.items()} | others,
        files={paths[part]: content for part, content in contents.items()},
    )


def _require_disjoint(train: Sequence[LabelledStructure], test: Sequence[LabelledStructure], name: str) -> None:
    """Raise an InputError if a test structure is also one to train on."""
    known = {one.geometry: one.place for one in train}
    found = [(one.place, known[one.geometry]) for one in test if one.geometry in known]
    if found:
        raise InputError(
            f"{name}: {len(found)} of {len(test)} test structures are also among those to train on: {found[0][0]} of "
            f"the test file is {found[0][1]} of the other. Take them out of one of the files."
        )
