"""Specs of benchmarks, as YAML: data, models, regimes, sizes and seeds. Unknown keys are errors; defaults are here."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic looks it up
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from uniscreen.benchmarking.result_columns import REGIMES, Regime
from uniscreen.errors import InputError
from uniscreen.training.recipe import Count, DataSection, Positive, Share
from uniscreen.training.yaml_file import innermost, read_mapping

Size = Count | Literal["all"]

Label = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^./\\\n][^/\\\n]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSection(DataSection):
    """Files of labelled structures, as in a recipe.

    Without ``test``, whole groups of ``train``, about the share ``test_share`` of its frames, are the test set and
    train nothing. ``properties`` is a file of crystals to measure properties of. ``elsewhere`` are files of other
    labelled structures, by name, on which forces and stresses are compared too: what training made of them.
    """

    test_share: Share = 0.3
    properties: Path | None = None
    elsewhere: dict[Label, Path] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _what_the_benchmark_decides(self) -> DatasetSection:
        if self.train is None:
            raise ValueError("train is missing: a file of labelled structures")
        for name in ("n_train", "validation"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is decided by the benchmark: leave it out")
        if self.split.folds is not None:
            raise ValueError("split.folds makes several potentials of one: leave it out")
        return self


class ModelSection(_Section):
    """A universal potential: zero-shot, re-referenced, and what ``recipe`` with ``settings`` makes of it.

    ``model`` is its name where the label of the section is not. ``settings`` changes keys of the recipe, such as
    ``optimiser.steps``. ``regimes`` are those of the benchmark unless given; without a recipe nothing is trained.
    """

    model: str = ""
    head: str = ""
    recipe: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    regimes: Annotated[
        tuple[Literal["zero-shot", "re-referenced", "fine-tuned", "from-scratch"], ...] | None, Field(min_length=1)
    ] = None

    @model_validator(mode="after")
    def _settings_are_of_a_recipe(self) -> ModelSection:
        if self.settings and not self.recipe:
            raise ValueError("settings are of a recipe: give recipe as well")
        return self


class DedicatedSection(_Section):
    """A kind of dedicated model, trained from nothing; ``baseline`` is its name where the label is not.

    ``cell_hours`` stands in for the benchmark's.
    """

    baseline: str = ""
    hyperparameters: dict[str, float | int | str | bool] = Field(default_factory=dict)
    cell_hours: Positive | None = None


class PublishedSection(_Section):
    """A potential that others trained, evaluated as it is: on ``n_train`` labelled structures, by ``source``."""

    model: str
    head: str = ""
    n_train: Count | None = None
    source: str = Field(min_length=1)


class BenchmarkSpec(_Section):
    """What is compared, on which data.

    ``n_train`` are numbers of labelled structures, those of validation included; ``all`` is all there are. A seed from
    0 to ``seeds`` - 1 draws other structures and trains with other random numbers. ``cell_hours`` is when one training
    with its evaluation is given up; a dedicated model that trains in steps fits them into 80 % of it.
    """

    benchmark: Label
    datasets: dict[Label, DatasetSection] = Field(min_length=1)
    models: dict[Label, ModelSection] = Field(default_factory=dict)
    dedicated: dict[Label, DedicatedSection] = Field(default_factory=dict)
    published: dict[Label, PublishedSection] = Field(default_factory=dict)
    regimes: tuple[Regime, ...] = REGIMES
    n_train: tuple[Size, ...] = Field(default=(10, 30, 100, "all"), min_length=1)
    seeds: Count = 3
    cell_hours: Positive = 24.0

    @field_validator("models", "dedicated", mode="before")
    @classmethod
    def _nothing_is_defaults(cls, value: Any) -> Any:
        """``gap:`` with nothing after it."""
        return {name: {} if section is None else section for name, section in (value or {}).items()}

    @model_validator(mode="after")
    def _compares_something(self) -> BenchmarkSpec:
        if not (self.models or self.dedicated or self.published):
            raise ValueError("there is nothing to compare: give models, dedicated or published")
        labels = [*self.models, *self.dedicated, *self.published]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is the label of two sections: give each its own")
        return self

    def as_yaml(self) -> str:
        """The whole spec with its defaults."""
        values = self.model_dump(mode="json")
        return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None))


def read_spec(path: Path, **changes: Any) -> BenchmarkSpec:
    """Read a spec, whose paths are taken from the working directory; ``changes`` that are not None stand in for values.

    Raises:
        InputError: the file cannot be read, a key is unknown, or a value is wrong; each is named.
    """
    values = read_mapping(path, BenchmarkSpec.model_fields)
    values |= {key: value for key, value in changes.items() if value is not None}
    try:
        return BenchmarkSpec.model_validate(values)
    except ValidationError as error:
        problems = dict.fromkeys(map(_problem, innermost(error)))
        raise InputError(f"{path}: {'; '.join(problems)}.") from None


def _problem(problem: dict[str, Any]) -> str:
    """One thing that is wrong: where, what was given, what was expected."""
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    where = ".".join(place) or "spec"
    if problem["type"] == "extra_forbidden":
        return f"{where} is no key of a benchmark. Expected one of {', '.join(_keys(place[:-1]))}"
    if place[:1] == ["n_train"] and len(place) > 1:
        return f"n_train: expected whole numbers from 1 on, or all (given: {problem['input']})"
    given = problem["input"]
    if problem["type"] == "tuple_type":
        return f"{where}: expected a list, e.g. [{given}]"
    shown = "" if isinstance(given, (dict, list, BaseModel)) else f" (given: {given})"
    return f"{where}: {str(problem['msg']).removeprefix('Value error, ')}{shown}"


def _keys(place: list[str]) -> list[str]:
    """The keys of the section at a place."""
    sections: dict[str, type[BaseModel]] = {
        "datasets": DatasetSection,
        "models": ModelSection,
        "dedicated": DedicatedSection,
        "published": PublishedSection,
    }
    section = sections[place[0]] if place else BenchmarkSpec
    if place[2:] == ["split"]:
        section = type(DatasetSection.model_fields["split"].default)
    return list(section.model_fields)
