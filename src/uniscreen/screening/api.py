"""Screening as one call, with one model or with several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uniscreen.screening.committee import run_committee
from uniscreen.screening.pipeline import run_screen
from uniscreen.screening.settings import ScreenSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.screening.pipeline import Progress, ScreenRun


def run_models(
    candidates: Path | str | Sequence[Atoms | Structure],
    models: Sequence[str],
    *,
    out: Path | str | None = None,
    references: Path | str = "elements",
    self_consistent: bool = False,
    workers: int | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_fetch: Callable[[str, int, int], None] | None = None,
    **settings: Any,
) -> ScreenRun:
    """Run one model, or several as a committee; arguments and errors as for ``run_screen`` and ``run_committee``."""
    members = [ScreenSettings(model=name, **settings) for name in models]
    how: dict[str, Any] = {
        "out": out,
        "references": references,
        "self_consistent": self_consistent,
        "workers": workers,
        "restart": restart,
        "on_progress": on_progress,
        "on_fetch": on_fetch,
    }
    if len(members) == 1:
        return run_screen(candidates, members[0], **how)
    return run_committee(candidates, members, **how)
