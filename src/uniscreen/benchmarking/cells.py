"""The cells of a benchmark: what each trains and evaluates, all decided before the first one runs."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from uniscreen.benchmarking.baselines import find_baseline
from uniscreen.benchmarking.datasets import draw
from uniscreen.benchmarking.result_columns import COMPUTED, Regime
from uniscreen.durable import sha256_of
from uniscreen.errors import InputError
from uniscreen.potentials import find_card
from uniscreen.potentials.isolated.mtp_files import SCHEME
from uniscreen.potentials.saved import DESCRIPTION
from uniscreen.training.finetuning import require_startable
from uniscreen.training.recipe import DataSection, Recipe
from uniscreen.training.recipe_file import read_recipe
from uniscreen.training.safety import read_trained_on
from uniscreen.training.shipped import find_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uniscreen.benchmarking.datasets import Dataset
    from uniscreen.benchmarking.spec import BenchmarkSpec, ModelSection

TRAINED: frozenset[Regime] = frozenset({"re-referenced", "fine-tuned", "from-scratch", "dedicated"})
"""The regimes that use training data, and so have sizes and seeds."""

DECIDED = ("model", "head", "data", "seed", "checks")
"""Sections of a recipe that are not its own in a benchmark."""


class Cell(BaseModel):
    """One potential in one regime, on a number of structures that a seed draws, and its test set.

    ``potential`` (and its ``head``) is evaluated where nothing is trained; ``recipe`` fine-tunes; ``baseline`` names a
    kind of dedicated model. ``n_train`` is None where nobody knows it. ``data_sha256`` are checksums of the data set's
    files, ``model_sha256`` of those that the potential is or the recipe names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    dataset: str
    label: str
    regime: Regime
    n_train: int | None
    seed: int
    data: DataSection
    data_sha256: dict[str, str]
    model_sha256: dict[str, str] = {}
    properties: Path | None = None
    elsewhere: dict[str, Path] = {}
    potential: str = ""
    head: str = ""
    recipe: Recipe | None = None
    baseline: str = ""
    hyperparameters: dict[str, float | int | str | bool] = {}
    source: str = COMPUTED
    hours: float = 24.0

    @property
    def name(self) -> str:
        """The name of its folder: what it is, and a checksum of all that decides what is trained and tested."""
        files = {"train": True, "test": True}  # checksums stand for them, wherever they are
        what = self.model_dump(
            mode="json",
            exclude={
                "benchmark": True,
                "source": True,
                "properties": True,
                "elsewhere": True,
                "data": files,
                "data_sha256": set(self._measured),
                "recipe": {"data": files},
                "hours": not self.baseline,  # dedicated ones use their time
            },
        )
        digest = _digest(what)
        size = "" if self.regime not in TRAINED else f"-{self.n_train}-{self.seed}"
        words = re.sub(r"[^\w.+-]+", "-", f"{self.dataset}-{self.label}-{self.regime}{size}")
        return f"{words}-{digest}"

    @property
    def rows_name(self) -> str:
        """The name of the file of its rows in that folder: what else is measured needs new rows, no new training."""
        return f"rows-{_digest(self._measured)}.json" if self._measured else "rows.json"

    @property
    def _measured(self) -> dict[str, str]:
        """The checksums of files that decide nothing but what else is measured."""
        return {name: value for name, value in self.data_sha256.items() if name not in {"train", "test"}}


def _digest(what: dict[str, Any]) -> str:
    return sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]


def cells(spec: BenchmarkSpec, datasets: list[Dataset]) -> list[Cell]:
    """All cells of a benchmark, those of few structures and of the first seed first.

    Raises:
        UnknownModelError: a model is unknown.
        InputError: a size is beyond the structures that there are or leaves too little to hold anything out, a recipe
            or a setting is wrong, or no cell is left.
    """
    found = []
    for dataset in datasets:
        planned = list(_cells(spec, dataset))
        for cell in {(one.n_train, one.seed): one for one in planned if one.regime in TRAINED}.values():
            _require_draws(cell, dataset)
        found += planned
    if not found:
        raise InputError(f"{spec.benchmark}: no model has any of the regimes {', '.join(spec.regimes)}.")
    return sorted(found, key=lambda cell: (cell.seed, cell.n_train or 0))


def _cells(spec: BenchmarkSpec, dataset: Dataset) -> Iterator[Cell]:
    """The cells of one data set."""
    for label, section in spec.models.items():
        potential = section.model or label
        _require_testable(potential, dataset)
        for regime in section.regimes or _usual_regimes(section):
            if regime not in spec.regimes:
                continue
            for n_train, seed in _draws(spec, dataset) if regime in TRAINED else [(0, 0)]:
                cell = _cell(spec, dataset, label, regime, n_train, seed)
                recipe = _recipe(section, label, cell) if regime in {"fine-tuned", "from-scratch"} else None
                named = {"potential": potential, "head": section.head, "recipe": recipe}
                yield cell.model_copy(update=named | {"model_sha256": _model_sha256(potential, recipe)})
    if "dedicated" in spec.regimes:
        for label, dedicated in spec.dedicated.items():
            baseline = find_baseline(dedicated.baseline or label)
            baseline.resolved(dedicated.hyperparameters)
            trained = {
                "baseline": baseline.name,
                "hyperparameters": dedicated.hyperparameters,
                "hours": dedicated.cell_hours or spec.cell_hours,
            }
            for n_train, seed in _draws(spec, dataset):
                yield _cell(spec, dataset, label, "dedicated", n_train, seed).model_copy(update=trained)
    if "published" in spec.regimes:
        for label, published in spec.published.items():
            _require_testable(published.model, dataset)
            given = {"potential": published.model, "head": published.head, "source": f"{COMPUTED}; {published.source}"}
            cell = _cell(spec, dataset, label, "published", published.n_train, 0)
            yield cell.model_copy(update=given | {"model_sha256": _model_sha256(published.model)})


def _require_testable(potential: str, dataset: Dataset) -> None:
    """Raise an UnknownModelError if a potential is none, an InputError if it is of a fine-tuning with the test set."""
    if ":" not in potential and not Path(potential).exists():
        find_card(potential)
    used = read_trained_on(Path(potential))
    found = [one.place for one in dataset.test if one.geometry_digest in used]
    if found:
        raise InputError(
            f"{potential} was trained on or chosen by {len(found)} of the {len(dataset.test)} test structures of "
            f"{dataset.name} ({found[0]} is the first). Test it on others, or leave it out."
        )


def _model_sha256(potential: str, recipe: Recipe | None = None) -> dict[str, str]:
    """Checksums of the file or folder that a potential is, and of the files that a recipe names besides its data."""
    files = {} if recipe is None else recipe.files()
    found = {key: path for key, path in files.items() if not key.startswith("data.") and path.is_file()}
    place = Path(potential.removeprefix(SCHEME).rpartition(":")[0] if potential.startswith(SCHEME) else potential)
    if place.is_file():
        found["potential"] = place
    elif place.is_dir():  # a description has the checksums of its weights
        found |= {str(path.relative_to(place)): path for path in sorted(place.rglob(DESCRIPTION))}
    return {key: sha256_of(path) for key, path in found.items()}


def _usual_regimes(section: ModelSection) -> tuple[Regime, ...]:
    """Those that need no recipe, and with one all that a universal potential can have."""
    untrained: tuple[Regime, ...] = ("zero-shot", "re-referenced")
    return (*untrained, "fine-tuned", "from-scratch") if section.recipe else untrained


def _draws(spec: BenchmarkSpec, dataset: Dataset) -> list[tuple[int, int]]:
    """The sizes, each once, with all seeds."""
    there = len(dataset.pool)
    sizes = {there if size == "all" else int(size) for size in spec.n_train}
    if "n_train" not in spec.model_fields_set:
        sizes = {size for size in sizes if size <= there}
    if max(sizes) > there:
        raise InputError(
            f"n_train is {max(sizes)}, but {dataset.name} has {there} structures to train on. Name smaller "
            "sizes, or all."
        )
    if min(sizes) < 2:
        raise InputError("n_train is 1; expected at least 2 structures, one to train on and one to validate with.")
    return [(size, seed) for size in sorted(sizes) for seed in range(spec.seeds)]


def _require_draws(cell: Cell, dataset: Dataset) -> None:
    try:
        draw(cell.data, dataset.pool)
    except InputError as error:
        raise InputError(
            f"{dataset.name}: {cell.n_train} structures for seed {cell.seed} cannot be split: {error}"
        ) from None


def _cell(spec: BenchmarkSpec, dataset: Dataset, label: str, regime: Regime, n_train: int | None, seed: int) -> Cell:
    rule = dataset.data.split.model_copy(update={"seed": seed})
    drawn = n_train if regime in TRAINED else None
    return Cell(
        benchmark=spec.benchmark,
        dataset=dataset.name,
        label=label,
        regime=regime,
        n_train=n_train,
        seed=seed,
        data=dataset.data.model_copy(update={"n_train": drawn, "split": rule}),
        data_sha256=dataset.sha256,
        properties=dataset.section.properties,
        elsewhere=dataset.section.elsewhere,
        hours=spec.cell_hours,
    )


def _recipe(section: ModelSection, label: str, cell: Cell) -> Recipe:
    """The recipe of a model with what the cell decides: data, seed, and no checks, which a benchmark makes itself."""
    if not section.recipe:
        raise InputError(f"models.{label} has no recipe, which {cell.regime} needs, e.g. recipe: chgnet-quick.")
    if wrong := [key for key in section.settings if key.partition(".")[0] in DECIDED]:
        raise InputError(f"models.{label}: settings.{wrong[0]} is decided by the benchmark: leave it out.")
    settings = [f"{key}={json.dumps(value)}" for key, value in section.settings.items()]
    decided = [f"model={json.dumps(section.model or label)}", f"head={json.dumps(section.head)}", f"seed={cell.seed}"]
    decided += ["checks.run=false"] + (["strategy={kind: scratch}"] if cell.regime == "from-scratch" else [])
    recipe = read_recipe(find_recipe(Path(section.recipe)), [*settings, *decided])
    if recipe.ensemble.members > 1 or recipe.data.split.folds is not None:
        raise InputError(f"models.{label}: a benchmark trains one potential a seed; its recipe makes several.")
    require_startable(recipe)
    return recipe.model_copy(update={"data": cell.data})
