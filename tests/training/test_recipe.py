"""Recipes: what is unknown or wrong is named, and what is written back is the whole of it."""

from __future__ import annotations

import pytest
import yaml

from uniscreen.errors import InputError
from uniscreen.training.recipe import Blocks, Delta, LoRA
from uniscreen.training.recipe_file import read_recipe
from uniscreen.training.shipped import find_recipe, purpose, shipped_recipes


@pytest.fixture
def recipe_file(tmp_path):
    def write(text="model: chgnet-0.3.0\n"):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", shipped_recipes())
def test_recipes_that_ship_are_valid_and_say_what_they_are_for(name):
    path = find_recipe(shipped_recipes()[name])
    assert read_recipe(path).model
    assert purpose(path)


def test_what_is_written_back_makes_the_same_recipe(recipe_file, tmp_path):
    text = "model: chgnet-0.3.0\nstrategy: {kind: lora, rank: 2}\nreplay: {structures: a.extxyz}\nseed: 3\n"
    recipe = read_recipe(recipe_file(text))
    path = tmp_path / "resolved.yaml"
    path.write_text(recipe.as_yaml(), encoding="utf-8")
    assert read_recipe(path) == recipe
    assert yaml.safe_load(recipe.as_yaml())["optimiser"]["batch_size"] == 4  # a default, written out


def test_values_are_overridden_by_key(recipe_file, tmp_path):
    recipe = read_recipe(
        recipe_file("model: chgnet-0.3.0\noptimiser: {epochs: 7, clip: 2}\n"),
        ["optimiser.epochs=9", "data.split.by=frame", "strategy={kind: blocks, blocks: [readout]}"],
        train=tmp_path / "mine.extxyz",
    )
    assert (recipe.optimiser.epochs, recipe.optimiser.clip, recipe.data.split.by) == (9, 2.0, "frame")
    assert recipe.strategy == Blocks(kind="blocks", blocks=("readout",))
    assert recipe.data.train == tmp_path / "mine.extxyz"


@pytest.mark.parametrize(
    ("text", "strategy"),
    [("{kind: lora}", LoRA(kind="lora", rank=4)), ("{kind: delta, decay: 2}", Delta(kind="delta", decay=2.0))],
    ids=["lora", "delta"],
)
def test_strategies_are_told_apart_by_kind(recipe_file, text, strategy):
    assert read_recipe(recipe_file(), [f"strategy={text}"]).strategy == strategy


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optimiser.epoch=3", "optimiser.epoch is no key of a recipe. Did you mean optimiser.epochs?"),
        ("epochs=3", "epochs is no key of a recipe. Did you mean optimiser.epochs?"),
        ("optimiser.momentum=3", "Expected one of optimiser.kind, optimiser.learning_rate"),
        ("optimiser.lr=1e-3", "optimiser.lr is no key of a recipe. Expected one of optimiser.kind"),
        ("seed=-1", "seed: Input should be greater than or equal to 0 (given: -1)"),
        ("optimiser.learning_rate=-1", "optimiser.learning_rate: Input should be greater than 0 (given: -1)"),
        ("optimiser.learning_rate=.nan", "optimiser.learning_rate: Input should be"),
        ("strategy={kind: blocks, blocks: []}", "strategy.blocks"),
        ("strategy={kind: blocks, blocks: [head]}", "'embedding', 'interaction' or 'readout' (given: head)"),
        ("strategy.rank=3", "expected kind: full, blocks, lora, delta or scratch"),
        (
            "strategy={kind: full, rank: 3}",
            "strategy.rank is no key of kind: full. Give strategy={kind: ..., rank: ...}",
        ),
        ("reference_energies=fit", "expected refit, keep or {isolated_atoms: FILE}"),
        ("loss={energy: 0, forces: 0, stress: 0}", "loss: all weights are 0"),
        ("data.split.validation=1", "data.split.validation: Input should be less than 1 (given: 1)"),
        ("data.stress_unit=bar", "data.stress_unit"),
        ("ensemble=3", "ensemble is a section. Give one of its keys: ensemble.members (given: 3)"),
        ("checks=false", "checks is a section. Give one of its keys: checks.run, checks.md_ps (given: False)"),
        ("data.split=frame", "data.split is a section. Give one of its keys: data.split.by, data.split.validation"),
        ("strategy=lora", "strategy is a section. Give one of its keys: strategy.kind, strategy.blocks"),
        ("ensemble.members=0", "ensemble.members"),
        ("model=", "model"),
        ("nothing", "expected key=value"),
    ],
)
def test_what_is_wrong_is_named(recipe_file, override, said):
    with pytest.raises(InputError) as caught:
        read_recipe(recipe_file(), [override])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("reference_energies=fit", "expected refit"),
        ("strategy={kind: lora, depth: 3}", "strategy.kind"),
        ("strategy={kind: blocks, blocks: [head]}", "strategy.blocks"),
    ],
)
def test_nothing_is_said_twice(recipe_file, override, said):
    with pytest.raises(InputError) as caught:
        read_recipe(recipe_file(), [override])
    assert str(caught.value).count(said) == 1


def test_folds_and_members_are_not_both_given(recipe_file):
    with pytest.raises(InputError, match="folds makes one member a fold"):
        read_recipe(recipe_file(), ["data.split.folds=5", "ensemble.members=3"])


@pytest.mark.parametrize(
    ("settings", "n_frames", "all_frames"),
    [
        ([], 30, True),
        ([], 31, False),
        (["optimiser.refit=true"], 31, True),
        (["optimiser.refit=false"], 30, False),
        (["data.split.folds=5"], 30, False),
        (["data.validation=other.extxyz"], 30, False),
        (["data.validation=other.extxyz", "optimiser.refit=true"], 30, True),
    ],
)
def test_few_frames_are_not_held_out_to_the_end(recipe_file, settings, n_frames, all_frames):
    assert read_recipe(recipe_file(), settings).refits(n_frames) is all_frames


def test_folds_leave_no_frame_to_train_on_in_the_end(recipe_file):
    with pytest.raises(InputError, match=r"leave optimiser\.refit out"):
        read_recipe(recipe_file(), ["data.split.folds=5", "optimiser.refit=true"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing"),
        ("- 1\n", "holds list"),
        ("model: [", "is not YAML"),
        ("model: a\ndata: {n_train: 3}\ndata: {n_train: 4}\n", "the key data is there twice"),
        ("model: a\noptimiser: {steps: 3, steps: 4}\n", "the key steps is there twice"),
    ],
    ids=["empty", "list", "broken", "twice", "twice below"],
)
def test_a_file_that_is_no_recipe(recipe_file, text, said):
    with pytest.raises(InputError, match=said):
        read_recipe(recipe_file(text))


def test_labelled_structures_are_no_recipe(tmp_path):
    for name in ("mine.extxyz", "vasprun.xml.gz", "OUTCAR"):
        (tmp_path / name).write_text("8\n", encoding="utf-8")
        with pytest.raises(InputError, match=f"{name} is no recipe but labelled .* finetune chgnet-quick --train"):
            find_recipe(tmp_path / name)
    with pytest.raises(InputError, match="is no recipe but a folder"):
        find_recipe(tmp_path)


def test_a_recipe_that_does_not_ship_is_named(tmp_path):
    some = next(iter(shipped_recipes()))
    with pytest.raises(InputError, match=f"Did you mean {some}"):
        find_recipe(tmp_path / f"{some}s")
