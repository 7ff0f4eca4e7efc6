"""What every reader of candidates returns, and the checks of ids that are common to all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.structures.guard import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from uniscreen.structures.candidate import StructureSource

ID_NAMES = ("id", "material_id", "candidate_id")
"""Names of the id column, in the order of preference where an input has several."""

MAX_NAMED = 5
"""How many offending rows an error names."""


@dataclass(frozen=True)
class Rows:
    """The candidates of an input: ids, the place of each in it (``line 3``), sources, and carried columns."""

    ids: Sequence[str]
    places: Sequence[str]
    sources: Sequence[StructureSource]
    columns: pd.DataFrame


class ScalarColumns:
    """Columns of values that come a row at a time; what a row lacks is NaN."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {}
        self._n_rows = 0

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row, by column."""
        for name in row:
            if name not in self._columns:
                self._columns[name] = [math.nan] * self._n_rows
        for name, values in self._columns.items():
            values.append(row.get(name, math.nan))
        self._n_rows += 1

    def frame(self) -> pd.DataFrame:
        """All rows."""
        import pandas as pd

        return pd.DataFrame(self._columns, index=pd.RangeIndex(self._n_rows))


def check_ids(name: str, ids: Sequence[str], places: Sequence[str]) -> None:
    """Check that the input called ``name`` has candidates, and that each has an id of its own.

    Raises:
        InputError: there are none, an id is empty, or two are the same; it names their places.

    """
    if not ids:
        raise InputError(f"{name} holds no candidates.")
    if empty := [place for given, place in zip(ids, places, strict=True) if not given]:
        raise InputError(f"{name}: no id in {_listed(empty)}. Give every candidate an id.")
    first: dict[str, str] = {}
    twice = []
    for given, place in zip(ids, places, strict=True):
        if given in first:
            twice.append(f"{shorten(given, 80)!r} in {first[given]} and {place}")
        first.setdefault(given, place)
    if twice:
        raise InputError(f"{name}: the same id twice: {_listed(twice)}. Give every candidate its own id.")


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else ""
    return ", ".join(items[:MAX_NAMED]) + more
