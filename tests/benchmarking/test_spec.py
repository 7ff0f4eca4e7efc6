"""Specs: defaults, and what is wrong in one line that says what is expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from uniscreen.benchmarking.cells import cells
from uniscreen.benchmarking.datasets import read_datasets
from uniscreen.benchmarking.spec import read_spec
from uniscreen.errors import InputError

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "benchmarks").glob("*.yaml"))

DATA = "datasets: {si: {train: si.extxyz}}\n"
MODELS = "models: {chgnet-0.3.0: {recipe: chgnet-quick}}\n"


def written(folder, text):
    path = folder / "spec.yaml"
    path.write_text("benchmark: trial\n" + text, encoding="utf-8")
    return path


def test_defaults_and_sections_without_keys(tmp_path):
    spec = read_spec(written(tmp_path, DATA + "models:\n  chgnet-0.3.0:\ndedicated:\n  gap:\n  mtp: {}\n"))
    assert (spec.n_train, spec.seeds) == ((10, 30, 100, "all"), 3)
    assert list(spec.dedicated) == ["gap", "mtp"]
    assert spec.models["chgnet-0.3.0"].regimes is None
    assert spec.datasets["si"].test_share == 0.3


def test_what_is_written_back_reads_the_same(tmp_path):
    spec = read_spec(written(tmp_path, DATA + MODELS), seeds=5, n_train=None)
    assert spec.seeds == 5
    again = tmp_path / "again.yaml"
    again.write_text(spec.as_yaml(), encoding="utf-8")
    assert read_spec(again) == spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DATA, "there is nothing to compare"),
        (MODELS, "datasets: Field required"),
        (DATA + "models: {chgnet-0.3.0: {recpe: x}}", "models.chgnet-0.3.0.recpe is no key of a benchmark. Expected"),
        (DATA + MODELS + "sede: 3", "sede is no key of a benchmark. Expected one of benchmark, datasets"),
        (DATA + MODELS + "n_train: [10, some]", "n_train: expected whole numbers from 1 on, or all (given: some)"),
        (DATA + MODELS + "n_train: []", "n_train"),
        (DATA + MODELS + "n_train: 10", "n_train: expected a list, e.g. [10]"),
        (DATA + MODELS + "regimes: zero-shot", "regimes: expected a list, e.g. [zero-shot]"),
        (DATA + "models: {chgnet-0.3.0: {settings: {optimiser.steps: 3}}}", "settings are of a recipe: give recipe"),
        (DATA + "models: {chgnet-0.3.0: {regimes: []}}", "models.chgnet-0.3.0.regimes"),
        (DATA + MODELS + "seeds: 0", "seeds: Input should be greater than or equal to 1 (given: 0)"),
        (DATA + MODELS + "regimes: [zero]", "'zero-shot', 're-referenced', 'fine-tuned'"),
        (DATA + MODELS + "dedicated: {chgnet-0.3.0: {baseline: gap}}", "chgnet-0.3.0 is the label of two sections"),
        (DATA + "published: {zuo: {model: 'mtp:Si.mtp:Si'}}", "published.zuo.source: Field required"),
        ("datasets: {si: {train: a, n_train: 5}}\n" + MODELS, "datasets.si: n_train is decided by the benchmark"),
        ("datasets: {si: {test: a}}\n" + MODELS, "datasets.si: train is missing"),
        ("datasets: {si: {train: a, split: {bi: group}}}\n" + MODELS, "datasets.si.split.bi is no key"),
        ("datasets: {a/b: {train: a}}\n" + MODELS, "datasets.a/b"),
        ("datasets: {..: {train: a}}\n" + MODELS, "datasets..."),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        read_spec(written(tmp_path, text))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_the_specs_that_ship_are_right(path, monkeypatch):
    """All recipes, hyperparameters and property files are; the data beside the repository are read where they are."""
    monkeypatch.chdir(ROOT)
    chosen = read_spec(path)
    files = [file for one in chosen.datasets.values() for file in (one.train, one.test, *one.elsewhere.values())]
    for file in files:
        if file is not None and not file.is_file():
            pytest.skip(f"needs {file}")
    assert len(cells(chosen, read_datasets(chosen, ROOT / "runs"))) > 1
