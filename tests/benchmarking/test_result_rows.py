"""Reading results: files, folders, published figures, and what is refused."""

import json
import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from benchmark_rows import SOURCE, benchmark_rows, cell, frame, published
from uniscreen.benchmarking.result_columns import COLUMNS, OPTIONAL
from uniscreen.benchmarking.result_rows import read_rows
from uniscreen.errors import InputError


def test_a_folder_its_parquet_file_and_its_csv_file_hold_the_same(tmp_path):
    rows = benchmark_rows()
    rows.to_parquet(tmp_path / "results.parquet")
    rows.to_csv(tmp_path / "results.csv", index=False)
    expected = read_rows(rows)
    assert len(expected) == len(rows)
    for given in (
        tmp_path,
        str(tmp_path / "results.parquet"),
        [tmp_path / "results.csv"],
        [tmp_path, tmp_path / "results.csv"],
    ):
        pd.testing.assert_frame_equal(read_rows(given), expected)


def test_a_model_may_be_called_na(tmp_path):
    frame(cell({"energy_mae": 1.0}, model="NA")).to_csv(tmp_path / "results.csv", index=False)
    assert read_rows(tmp_path / "results.csv")["model"].tolist() == ["NA"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "done"}, r"unknown status: 'done' \(from row 0 on\). Expected one of ok, failed"),
        ({"regime": "tuned"}, "unknown regime: 'tuned'"),
        ({"metric": "energy"}, "unknown metric: 'energy'"),
        ({"unit": "eV/atom"}, r"energy_mae is in eV/atom \(row 0\); expected meV/atom"),
        ({"value": "much"}, "value is no number: 'much'"),
        ({"n_train": 10.5}, r"n_train is no count: '10.5'"),
        ({"seed": -1}, "seed is no count"),
        ({"n_test": float("inf")}, "n_test is no count: 'inf'"),
        ({"n_train": 1e20}, "n_train is no count"),
        ({"model": None}, "empty model"),
        ({"source": ""}, "empty source"),
        ({"colour": "red"}, "unknown column colour"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_values_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        read_rows(frame(cell({"energy_mae": 1.0})).assign(**changes))


def test_no_text_tells_a_terminal_what_to_do():
    rows = read_rows(frame(cell({"energy_mae": 1.0})).assign(model="red \x1b[31m", reason="line\n\x9b2Jnext"))
    assert rows.loc[0, ["model", "reason"]].tolist() == ["red  [31m", "line\n 2Jnext"]


def test_rows_from_elsewhere_need_no_reason_and_no_source():
    rows = frame(cell({"energy_mae": 1.0}))
    pd.testing.assert_frame_equal(read_rows(rows.drop(columns=["reason", "source"])), read_rows(rows))


def test_frames_stand_beside_files(tmp_path):
    ours, theirs, quoted = (frame(cell({"energy_mae": 1.0}, model=name)) for name in ("ours", "theirs", "quoted"))
    theirs.to_csv(tmp_path / "results.csv", index=False)
    quoted = quoted[["dataset", "model", "metric", "value", "unit"]].assign(source=SOURCE)
    assert read_rows([ours, tmp_path / "results.csv", quoted])["model"].tolist() == ["ours", "theirs", "quoted"]


@pytest.mark.parametrize("column", [column for column in COLUMNS if column not in OPTIONAL])
def test_a_missing_column_is_named(column):
    with pytest.raises(InputError, match=f"no column {column}. Expected benchmark, dataset"):
        read_rows(benchmark_rows().drop(columns=column))


def test_two_values_of_one_cell_are_refused():
    with pytest.raises(InputError, match="bench, Si: m fine-tuned, n_train 100, energy_mae: several rows"):
        read_rows(frame(cell({"energy_mae": 1.0}), cell({"energy_mae": 1.1})))
    assert len(read_rows(frame(cell({"energy_mae": 1.0}), cell({"energy_mae": 1.0})))) == 1


def test_folders_of_one_benchmark_have_one_test_set(tmp_path):
    for name, model, checksum in (("a", "m", "1"), ("b", "n", "1"), ("c", "o", "2")):
        (tmp_path / name).mkdir()
        frame(cell({"energy_mae": 1.0}, model=model)).to_parquet(tmp_path / name / "results.parquet")
        provenance = {"benchmark": "bench", "data_sha256": {"Si": {"train": name, "test": checksum}}}
        (tmp_path / name / "provenance.json").write_text(json.dumps(provenance))
    assert read_rows([tmp_path / "a", tmp_path / "b"])["model"].tolist() == ["m", "n"]
    message = r"/a and .*/c both have the benchmark bench and the dataset Si, but were tested on different files"
    with pytest.raises(InputError, match=message):
        read_rows([tmp_path / "a", tmp_path / "b", tmp_path / "c"])


def test_files_that_are_none(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"no")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no")
    for path, message in (
        (tmp_path / "absent.csv", "There is no file"),
        (tmp_path, "holds no results.parquet"),
        (tmp_path / "bad.parquet", "cannot be read as a table"),
        (tmp_path / "empty.csv", "cannot be read as a table"),
        (tmp_path / "notes.txt", "expected a .parquet or .csv"),
    ):
        with pytest.raises(InputError, match=message):
            read_rows(path)
    with pytest.raises(InputError, match="No results were given"):
        read_rows([])
    with pytest.raises(InputError, match="hold no row"):
        read_rows(benchmark_rows().head(0))


@pytest.fixture
def with_published(tmp_path):
    """Read results together with a table of published figures."""
    benchmark_rows().to_parquet(tmp_path / "results.parquet")

    def read(table):
        table.to_csv(tmp_path / "published.csv", index=False)
        return read_rows([tmp_path, tmp_path / "published.csv"])

    return read


def test_published_figures_stand_beside_the_results_of_their_dataset(with_published):
    (row,) = with_published(published()).query("source != 'computed'").to_dict("records")
    expected = {
        "benchmark": "bench",
        "regime": "published",
        "n_train": 214,
        "value": 4.2,
        "source": SOURCE,
        "status": "ok",
    }
    assert {name: row[name] for name in expected} == expected
    assert pd.isna(row["seed"])
    assert with_published(published(regime="dedicated", benchmark="x"))["benchmark"].unique().tolist() == ["bench", "x"]


def test_a_table_written_by_hand_may_have_blanks_and_any_angstrom(with_published):
    expected = with_published(published(metric="force_mae", unit="meV/\u00c5"))
    for unit in ("meV/\u212b", "meV/A\u030a", " meV/\u00c5 "):  # the sign, a letter with a ring put on it
        table = published(metric="force_mae", unit=unit, dataset=" Si ").rename(columns=lambda name: f" {name}")
        pd.testing.assert_frame_equal(with_published(table), expected)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (published(source=""), "no source"),
        (published(source="computed"), "no source: 'computed'"),
        (published(unit="eV/atom"), "energy_mae is in eV/atom"),
        (published(unit=None), "energy_mae is in no unit"),
        (published(value=None), "no value"),
        (published(value=float("inf")), "no value: 'inf'"),
        (published(value=-4.2), "negative error: 'energy_mae'"),
        (published(regime="fine-tuned"), "unknown regime: 'fine-tuned'"),
        (published(metric="error"), "unknown metric: 'error'"),
        (published(dataset="Ge"), "Published figures of Ge name no benchmark, and no other results"),
        (published(year="2018"), "unknown column year"),
        (published().drop(columns="unit"), "no column unit"),
    ],
    ids=[
        "no source",
        "computed",
        "unit",
        "no unit",
        "no value",
        "infinite",
        "negative",
        "regime",
        "metric",
        "dataset",
        "column",
        "no column",
    ],
)
def test_published_figures_that_are_refused(with_published, table, message):
    with pytest.raises(InputError, match=message):
        with_published(table)


def test_the_example_of_the_documentation_is_read(with_published):
    text = (Path(__file__).parents[2] / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```csv\n(.+?)```", text, flags=re.DOTALL)
    rows = with_published(pd.read_csv(StringIO(example), dtype=str))
    assert rows["source"].tolist()[-1] == SOURCE


def test_published_figures_of_a_dataset_in_two_benchmarks(tmp_path):
    rows = frame(cell({"energy_mae": 1.0}), cell({"energy_mae": 1.0}, benchmark="second"))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    published().to_csv(tmp_path / "published.csv", index=False)
    with pytest.raises(InputError, match="bench, second have it: fill in that column"):
        read_rows([tmp_path / "rows.csv", tmp_path / "published.csv"])
