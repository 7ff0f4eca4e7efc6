"""Values as text: numbers with their precision, formulas with subscripts, long and missing values."""

from __future__ import annotations

import math
import re
from html import escape
from typing import Any

from markupsafe import Markup

MISSING = "–"  # noqa: RUF001 (an en dash is what tables use)
_SUBSCRIPT = re.compile(r"(?<=[A-Za-z)\]])\d+(?:\.\d+)?")


def number(value: float, decimals: int) -> str:
    """Format with a true minus sign; a dash where there is no number."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")  # noqa: RUF001 (a minus sign as wide as the digits)


def decimals_of(value: float) -> int:
    """With how many decimals, up to 5, a number shows three digits; 0 and what is no number need none."""
    if not math.isfinite(value) or value == 0:
        return 0
    return min(5, max(0, 2 - int(f"{value:.2e}".partition("e")[2])))


def shortened(text: str, length: int) -> str:
    """Cut to ``length`` characters, the last of them an ellipsis where something was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def plain(value: Any) -> str:
    """Any value of a table as text; "" where it is missing."""
    return "" if is_missing(value) else str(value)


def is_missing(value: Any) -> bool:
    """Whether a cell is empty; lists and arrays are not, whatever they hold."""
    import pandas as pd

    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """Count and noun: ``1 candidate``, ``2 candidates``."""
    return f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"


def chemical(text: str) -> Markup:
    """Escaped text of formulas, their numbers as subscripts."""
    parts = []
    end = 0
    for match in _SUBSCRIPT.finditer(text):
        parts += [escape(text[end : match.start()]), "<sub>", match.group(), "</sub>"]
        end = match.end()
    return Markup("".join([*parts, escape(text[end:])]))  # noqa: S704 (each part is escaped)


def breakable(text: str) -> Markup:
    """Escaped text that may break after an underscore."""
    return Markup(escape(text).replace("_", "_<wbr>"))  # noqa: S704 (escaped)


def plotly_text(text: str, length: int = 80) -> str:
    """Text for a plotly figure, which reads a subset of HTML in labels and hover text."""
    return escape(shortened(" ".join(text.split()), length), quote=False)
