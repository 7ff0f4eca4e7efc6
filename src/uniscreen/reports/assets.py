"""The JavaScript and styles that make a report interactive, taken from the installed packages."""

from __future__ import annotations

import json
from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def plotly_js() -> Markup:
    """Plotly's library, to stand inside a script element."""
    from plotly.offline import get_plotlyjs

    source = get_plotlyjs()
    assert "</script" not in source.lower()
    assert "<!--" not in source
    return Markup(source)  # noqa: S704 (a package's file, not data)


def datatables_js() -> str:
    """Give the DataTables module that itables bundles, as base64: its text holds HTML comments and script tags."""
    return b64encode(_itables_file("dt_bundle.js")).decode("ascii")


def datatables_css() -> Markup:
    """Styles of the same bundle; its images are data URLs."""
    source = _itables_file("dt_bundle.css").decode("utf-8")
    assert "</style" not in source.lower()
    return Markup(source)  # noqa: S704 (a package's file, not data)


def figure_json(figure: Figure) -> Markup:
    """Give a figure as JSON to stand inside a script element: no character in it can end the element."""
    text = json.dumps(json.loads(figure.to_json()), separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 (escaped above)


def _itables_file(name: str) -> bytes:
    return files("itables").joinpath("html", name).read_bytes()
