"""Rows of benchmark results, read from files and folders and put together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from uniscreen.benchmarking.published import is_published, published_rows
from uniscreen.benchmarking.result_columns import checked
from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    OneOfResults: TypeAlias = pd.DataFrame | str | Path
    Results: TypeAlias = OneOfResults | Iterable[OneOfResults]

RESULTS = "results.parquet"
"""The file of the rows in a benchmark's folder."""

PROVENANCE = "provenance.json"
"""What else is in it: of which data they are, and by what they were made."""

_ONE_VALUE = ["benchmark", "dataset", "model", "regime", "n_train", "seed", "source", "metric"]


def read_rows(results: Results) -> pd.DataFrame:
    """Read and check result rows: of a frame, a file (.parquet, .csv) or a benchmark's folder, or of several of these.

    A frame or a file may be one of published figures (``published.py``). The columns are COLUMNS of
    ``result_columns.py``. Rows that are the same in every column are taken once.

    Raises:
        InputError: there is no such file or no row, the rows are not as ``checked`` wants them, a cell has two values
            of a metric, or folders of one benchmark were tested on different files.
    """
    import pandas as pd

    given = [results] if isinstance(results, pd.DataFrame | str | Path) else list(results)
    if not given:
        raise InputError("No results were given; expected files (.parquet, .csv) or folders of benchmarks.")
    _require_same_tests([Path(one) for one in given if not isinstance(one, pd.DataFrame)])
    rows = _placed(pd.concat(map(_read, given), ignore_index=True))
    if rows.empty:
        raise InputError("The results hold no row.")
    rows = rows.drop_duplicates(ignore_index=True)
    twice = rows[rows.duplicated(_ONE_VALUE, keep=False)]
    if not twice.empty:
        raise InputError(
            f"{_words(twice.iloc[0])}: several rows of the same cell and metric differ. Give the results of each "
            "benchmark once, and two benchmarks two names."
        )
    return rows


def _read(given: OneOfResults) -> pd.DataFrame:
    """The rows of a frame, a file or a folder."""
    import pandas as pd

    table, name = (given, "results") if isinstance(given, pd.DataFrame) else (_table(Path(given)), str(given))
    return published_rows(table, name) if is_published(table) else checked(table, name)


def _table(path: Path) -> pd.DataFrame:
    """What is in a file, or in that of a folder."""
    import pandas as pd

    file = path / RESULTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path} holds no {RESULTS}; expected the folder of a 'uniscreen benchmark'."
            if path.is_dir()
            else f"There is no file {path}."
        )
    if file.suffix not in {".parquet", ".csv"}:
        raise InputError(f"{path}: expected a .parquet or .csv file of results, or a benchmark's folder.")
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        # only what is empty is missing: a model may be called NA
        table = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
        return table.rename(columns=str.strip)
    except (ValueError, OSError) as error:  # those of pandas and pyarrow are subclasses of these
        raise InputError(f"{file} cannot be read as a table ({error}).") from error


def _require_same_tests(paths: Iterable[Path]) -> None:
    """Raise an InputError if folders of one benchmark and dataset were tested on different files."""
    tested: dict[tuple[str, str], tuple[str, Path]] = {}
    for path in paths:
        file = path / PROVENANCE
        if not file.is_file():
            continue
        found = json.loads(file.read_text(encoding="utf-8"))
        for dataset, sums in found["data_sha256"].items():
            test, other = tested.setdefault((found["benchmark"], dataset), (sums["test"], path))
            if test != sums["test"]:
                raise InputError(
                    f"{other} and {path} both have the benchmark {found['benchmark']} and the dataset {dataset}, but "
                    "were tested on different files, so their errors do not compare. Give the two benchmarks two names."
                )


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """Put published figures that name no benchmark beside the results of their dataset."""
    homeless = rows["benchmark"] == ""
    for dataset in rows.loc[homeless, "dataset"].unique():
        of_dataset = rows["dataset"] == dataset
        homes = sorted(rows.loc[~homeless & of_dataset, "benchmark"].unique())
        if len(homes) != 1:
            where = f"{', '.join(homes)} have it" if homes else "no other results of it were given"
            raise InputError(f"Published figures of {dataset} name no benchmark, and {where}: fill in that column.")
        rows.loc[homeless & of_dataset, "benchmark"] = homes[0]
    return rows


def _words(row: pd.Series[Any]) -> str:
    metric = f", {row['metric']}" if row["metric"] else ""
    return f"{row['benchmark']}, {row['dataset']}: {row['model']} {row['regime']}, n_train {row['n_train']}{metric}"
