"""How much work a batch may take on a device, as a run has found out by running out of memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from uniscreen.durable import write_json

if TYPE_CHECKING:
    from pathlib import Path

FILE = "batch-limits.json"


def known_limit(records: Path, device: torch.device) -> float | None:
    """The limit that an earlier worker of the run has left for this kind of device, if there is one."""
    return _limits(records).get(_kind(device))


def keep_limit(records: Path, device: torch.device, limit: float) -> None:
    """Leave it for the workers to come. One that another worker replaces at the same time is found out again."""
    write_json(records / FILE, _limits(records) | {_kind(device): limit})


def _limits(records: Path) -> dict[str, float]:
    path = records / FILE
    return json.loads(path.read_bytes()) if path.exists() else {}


def _kind(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
