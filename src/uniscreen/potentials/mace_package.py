"""What importing and running mace does to the process, and how it is undone."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOAD_VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@contextlib.contextmanager
def quietly_and_without_traces() -> Iterator[None]:
    """Undo what importing mace does to the process: it prints, warns and lets torch.load unpickle anything."""
    before = os.environ.get(_LOAD_VARIABLE)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ.pop(_LOAD_VARIABLE, None)
        if before is not None:
            os.environ[_LOAD_VARIABLE] = before
