"""The frames of a fine-tuning: read, checked against the pretrained potential, and split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniscreen.errors import InputError
from uniscreen.structures.labels import read_labelled
from uniscreen.training.data_checks import check_data, require_agreement
from uniscreen.training.oddities import all_at_rest, free_reference_energies, large_forces, two_sets_of_energies
from uniscreen.training.predictions import Predictions, predict
from uniscreen.training.splits import Split, k_folds, other_splits, split, training_order, unlike_the_others

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uniscreen.potentials.base import Potential, SystemResult
    from uniscreen.structures.labels import LabelledData, LabelledStructure
    from uniscreen.training.data_checks import Finding
    from uniscreen.training.recipe import DataSection

OTHERS = 2
"""Other splits that are asked where the first one says that training is worth nothing."""


@dataclass(frozen=True)
class Frames:
    """Labelled structures, and what the pretrained potential says about them, in order."""

    labels: tuple[LabelledStructure, ...]
    pretrained: tuple[SystemResult, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def elements(self) -> frozenset[str]:
        """The chemical symbols that occur."""
        return frozenset(symbol for label in self.labels for symbol in label.atoms.symbols)

    def at(self, places: Sequence[int]) -> Frames:
        """Some of the frames."""
        return Frames(tuple(self.labels[k] for k in places), tuple(self.pretrained[k] for k in places))


@dataclass(frozen=True)
class TrainingData:
    """What is trained on, and how it is split: one split for all members of an ensemble, or one a fold.

    ``known`` are the frames that the splits count by place: those of the training file, then those of a validation
    file. ``other_splits`` hold out other frames than a single split does. ``groups`` are all that these files name,
    whether their frames are drawn or not. ``left_out`` says which frames are not used and why; ``findings`` are those
    of the checks of units and signs in the training file; ``note`` is what to know about the split, if anything.
    """

    known: Frames
    test: Frames
    splits: tuple[Split, ...]
    other_splits: tuple[Split, ...]
    groups: frozenset[str]
    left_out: tuple[str, ...]
    findings: tuple[Finding, ...]
    sha256: Mapping[str, str]
    note: str

    @property
    def elements(self) -> frozenset[str]:
        """The chemical symbols that occur in what is trained on."""
        return self.known.elements

    @property
    def n_test_known(self) -> int:
        """How many test frames are the same structures as some that train or validate."""
        known = {label.geometry for label in self.known.labels}
        return sum(label.geometry in known for label in self.test.labels)

    @property
    def n_validation_known(self) -> int:
        """How many frames that validate are the same structures as some that train (in the first split)."""
        split = self.splits[0]
        train = {self.known.labels[place].geometry for place in split.train}
        return sum(self.known.labels[place].geometry in train for place in split.validation)

    def notes(self, *, refit: bool, rereferenced: bool) -> str:
        """What to know about the frames, if anything.

        With ``refit`` those that validate are trained on too; with ``rereferenced`` the reference energies are fitted.
        """
        found = [] if refit or not self.note else [self.note]
        if self.n_test_known:
            found.append(
                f"{self.n_test_known} of {len(self.test)} test frames are also among those that train or validate: "
                "errors there say nothing of new structures."
            )
        labels = self.known.labels
        odd = large_forces(labels), all_at_rest(labels), two_sets_of_energies(labels, self.known.pretrained)
        found += filter(None, odd)
        if rereferenced and (free := free_reference_energies(labels)):
            found.append(free)
        if self.n_validation_known:
            found.append(
                f"{self.n_validation_known} of {len(self.splits[0].validation)} frames that validate are also among "
                "those that train: their errors, and the epoch chosen by them, say nothing of new structures."
            )
        return " ".join(found)


def read_data(section: DataSection, potential: Potential) -> TrainingData:
    """Read, check and split the frames of a recipe.

    Raises:
        InputError: there is no training file, a file or a frame is wrong, an element is one that the potential does not
            know, units or signs are not what they are taken to be, or there is too little to hold anything out.
    """
    if section.train is None:
        raise InputError("The recipe names no training data. Give data.train in it, or --train FILE.")
    files = {"train": section.train, "validation": section.validation, "test": section.test}
    for name, path in files.items():
        if path is not None and not path.exists():
            advice = f"Give yours with --{name} FILE, or in the recipe."
            raise InputError(f"data.{name} is {path}, which does not exist. {advice}")
    read = {name: read_labelled(path, section.conventions) for name, path in files.items() if path is not None}
    read["train"].require_named()
    left_out: list[str] = []
    frames = {name: _evaluated(potential, data, left_out) for name, data in read.items()}
    train = frames["train"]
    findings = {name: _checked(frames[name], data) for name, data in read.items()} if section.check_units else {}
    groups = {one.group for name in frames if name != "test" for one in frames[name].labels}
    drawn = {read["train"].structures[place] for place in chosen_places(section, read["train"].structures)}
    train = train.at([place for place, label in enumerate(train.labels) if label in drawn])
    validation = frames.get("validation", Frames((), ()))
    known = Frames(train.labels + validation.labels, train.pretrained + validation.pretrained)
    splits = splits_of(section, train.labels, len(validation))
    folds, note = section.split.folds, ""
    if folds is not None and len(splits) < folds:
        note = f"There are {len(splits)} groups, so as many folds and members, and not {folds} (data.split.folds)."
    elif section.split.by == "group" and folds is None and not len(validation):
        note = unlike_the_others(train.labels, splits[0])
    return TrainingData(
        known=known,
        test=frames.get("test", Frames((), ())),
        splits=splits,
        other_splits=_other_splits(section, train.labels, splits[0]) if folds is None and not len(validation) else (),
        groups=frozenset(name for name in groups if name is not None),
        left_out=tuple(left_out),
        findings=findings.get("train", ()),
        sha256={name: data.sha256 for name, data in read.items()},
        note=note,
    )


def _evaluated(potential: Potential, data: LabelledData, left_out: list[str]) -> Frames:
    """The frames that the potential can evaluate.

    Raises:
        InputError: one holds an element that it does not know, or it can evaluate none.
    """
    unknown: dict[str, str] = {}
    for one in data.structures:
        for symbol in potential.card.unsupported_elements(one.atoms.numbers):
            unknown.setdefault(symbol, one.place)
    if unknown:
        (symbol, place), *others = unknown.items()
        more = f" (nor {', '.join(other for other, _ in others)})" if others else ""
        raise InputError(
            f"{data.name}: {place} holds {symbol}, which {potential.card.name} does not know{more}. Fine-tuning cannot "
            "add elements: choose a model that knows them ('uniscreen models show NAME' lists them)."
        )
    predictions = predict(potential, data.structures).finite()
    left_out += [f"{data.name}, {data.structures[k].place}: {why}" for k, why in predictions.refused.items()]
    if not predictions.results:
        raise InputError(f"{potential.card.name} can evaluate no frame of {data.name}: {left_out[-1]}.")
    left_out += [f"{data.name}, {reason}" for reason in data.left_out]
    places = sorted(predictions.results)
    return Frames(tuple(data.structures[k] for k in places), tuple(predictions.results[k] for k in places))


def _checked(frames: Frames, data: LabelledData) -> tuple[Finding, ...]:
    """What the checks of units and signs find in a file.

    Raises:
        InputError: one disagrees.
    """
    place_of = {id(one): place for place, one in enumerate(data.structures)}
    places = [place_of[id(one)] for one in frames.labels]
    findings = check_data(data, Predictions(dict(zip(places, frames.pretrained, strict=True)), {}))
    require_agreement(findings, data.name)
    return tuple(findings)


def chosen_places(section: DataSection, train: Sequence[LabelledStructure]) -> list[int]:
    """Return the places of the frames that are drawn: ``n_train`` of them, spread over the groups.

    All frames of the file count, so that every potential draws the same, whichever of them it can evaluate.

    Raises:
        InputError: there are not as many.
    """
    places = range(len(train))
    if section.n_train is None:
        return list(places)
    if section.n_train > len(train):
        raise InputError(f"data.n_train is {section.n_train}, but {section.train} has {len(train)} frames to use.")
    return sorted(training_order(train, places, seed=section.split.seed)[: section.n_train])


def _other_splits(section: DataSection, train: Sequence[LabelledStructure], first: Split) -> tuple[Split, ...]:
    rule = section.split
    return tuple(other_splits(train, first, n=OTHERS, by=rule.by, validation=rule.validation, seed=rule.seed))


def splits_of(section: DataSection, train: Sequence[LabelledStructure], n_validation: int = 0) -> tuple[Split, ...]:
    """Split by a validation file, in folds, or once; the frames of the validation file come after those of training.

    Raises:
        InputError: there is too little to hold anything out.
    """
    rule = section.split
    if n_validation:
        held = range(len(train), len(train) + n_validation)
        return (Split(train=tuple(range(len(train))), validation=tuple(held)),)
    if rule.folds is not None:
        return tuple(k_folds(train, k=rule.folds, by=rule.by, seed=rule.seed))
    return (split(train, by=rule.by, validation=rule.validation, seed=rule.seed),)
