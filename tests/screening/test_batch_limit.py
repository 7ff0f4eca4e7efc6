"""What a run remembers of the memory of its devices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from uniscreen.screening.batch_limit import FILE, keep_limit, known_limit

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CUDA = torch.device("cuda")


def test_a_limit_is_kept_by_the_kind_of_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on with another GPU begins with the limit for all."""
    names = iter(["small", "small", "large", "large", "small"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: next(names))
    assert known_limit(tmp_path, CUDA) is None
    keep_limit(tmp_path, CUDA, 4000.0)
    assert known_limit(tmp_path, CUDA) is None
    keep_limit(tmp_path, CUDA, 9000.0)
    assert known_limit(tmp_path, CUDA) == 4000.0
    assert json.loads((tmp_path / FILE).read_text()) == {"small": 4000.0, "large": 9000.0}
