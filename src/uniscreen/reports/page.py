"""What the reports share: how a page is made from its template, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uniscreen.durable import write_atomically
from uniscreen.reports.text import MISSING

if TYPE_CHECKING:
    from pathlib import Path

    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class ShownFigure:
    """A figure with the id of its place in the page, a text that says what it shows, a caption, and a note on it."""

    name: str
    figure: Figure
    label: str
    caption: str
    note: str = ""


def write_page(path: Path, template: str, **content: Any) -> None:
    """Fill in a template and write all or nothing of the page.

    ``content`` holds, besides what the template wants, the ``nonce`` of its scripts.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from uniscreen.reports import assets

    environment = Environment(
        loader=PackageLoader("uniscreen.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(assets=assets, **content)
    write_atomically(path, text.encode("utf-8", "replace"))


def flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Key and value of a record as text, the keys of a record in it with dots."""
    pairs = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            pairs += flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            pairs.append((name, ", ".join(map(str, value)) or MISSING))
        else:
            pairs.append((name, MISSING if value is None else str(value)))
    return pairs
