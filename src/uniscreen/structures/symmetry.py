"""What spglib finds, or None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def spglib_answer(ask: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """The answer of a function of spglib; None where it has none.

    spglib tells of that by None or by an error, as a switch says that other packages set (phonopy does).
    """
    from spglib import SpglibError

    try:
        return ask(*arguments, **settings)
    except SpglibError:
        return None
