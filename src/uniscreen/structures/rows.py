"""What every reader of candidates returns, and the checks of ids that are common to all."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.messages import listed
from uniscreen.structures.guard import shorten

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from uniscreen.structures.candidate import StructureSource

ID_NAMES = ("id", "material_id", "candidate_id")
"""Names of the id column, in the order of preference where an input has several."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, which would break a line of the results in two, and bytes of a file name that are no text."""


@dataclass(frozen=True)
class Rows:
    """The candidates of an input: ids, the place of each in it (``line 3``), sources, and carried columns."""

    ids: Sequence[str]
    places: Sequence[str]
    sources: Sequence[StructureSource]
    columns: pd.DataFrame


class ScalarColumns:
    """Columns of values that come a row at a time; what a row lacks is NaN, and what is no Unicode in a text is '?'."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {}
        self._n_rows = 0

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row, by column."""
        given = {_as_text(name): _as_text(value) if isinstance(value, str) else value for name, value in row.items()}
        for name in given:
            if name not in self._columns:
                self._columns[name] = [math.nan] * self._n_rows
        for name, values in self._columns.items():
            values.append(given.get(name, math.nan))
        self._n_rows += 1

    def frame(self) -> pd.DataFrame:
        """All rows."""
        import pandas as pd

        return pd.DataFrame(self._columns, index=pd.RangeIndex(self._n_rows))


def carried_names(names: Iterable[str], taken: Collection[str]) -> list[str]:
    """Names for an input's own columns: those that are ``taken`` become ``input_<name>``, and none is there twice."""
    given = [str(name) for name in names]
    own = set(given).difference(taken)
    carried = []
    for name in given:
        new = name
        while new in taken or (new != name and new in own):
            new = f"input_{new}"
        own.add(new)
        carried.append(new)
    return carried


def storable(columns: pd.DataFrame) -> pd.DataFrame:
    """The columns, as text where their values are of several kinds or too large, which no Parquet file can hold."""
    import pyarrow as pa
    from pandas.api.types import is_object_dtype

    stored = columns.copy(deep=False)
    for name in [name for name, kind in columns.dtypes.items() if is_object_dtype(kind)]:
        try:
            pa.array(columns[name], from_pandas=True)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            stored[name] = columns[name].map(_as_text, na_action="ignore").astype("string")
    return stored


def _as_text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()


def check_ids(name: str, ids: Sequence[str], places: Sequence[str]) -> None:
    """Check that the input called ``name`` has candidates, and that each has an id of its own.

    Raises:
        InputError: there are none, an id is empty or holds control characters, or two are the same; it names their
            places.

    """
    if not ids:
        raise InputError(f"{name} holds no candidates.")
    if empty := [place for given, place in zip(ids, places, strict=True) if not given]:
        raise InputError(f"{name}: no id in {listed(empty)}. Give every candidate an id.")
    if bad := [place for given, place in zip(ids, places, strict=True) if UNPRINTABLE.search(given)]:
        where = shorten(listed(bad), 400)
        raise InputError(f"{name}: a line break or another character that is no text in the id of {where}. Change it.")
    first: dict[str, str] = {}
    twice = []
    for given, place in zip(ids, places, strict=True):
        if given in first:
            twice.append(f"{shorten(given, 80)!r} in {first[given]} and {place}")
        first.setdefault(given, place)
    if twice:
        raise InputError(f"{name}: the same id twice: {listed(twice)}. Give every candidate its own id.")
