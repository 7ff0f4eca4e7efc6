"""Where numbers come from: versions, model, settings, hardware."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.machine import usable_cores
from uniscreen.potentials.loading import own_environment

if TYPE_CHECKING:
    from uniscreen.potentials.cards import ModelCard

PACKAGES = ("torch", "chgnet", "pymatgen", "pymatgen-core", "ase", "numpy", "scipy", "spglib", "vesin", "pandas")


@dataclass(frozen=True)
class Timer:
    """When a run began, by the calendar and by a clock that nobody sets."""

    started: datetime
    clock: float

    @classmethod
    def start(cls) -> Timer:
        """Begin now."""
        return cls(datetime.now(UTC), time.monotonic())

    @property
    def seconds(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self.clock

    def as_dict(self) -> dict[str, Any]:
        """Beginning, end (now) and seconds, as plain values."""
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
        }


def environment() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware(device: str, n_workers: int) -> dict[str, Any]:
    """What the run was computed on."""
    described: dict[str, Any] = {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": usable_cores(),
        "device": device,
        "workers": n_workers,
    }
    if device == "cuda":
        import torch

        described["gpu"] = torch.cuda.get_device_name()
    return described


def describe_card(card: ModelCard) -> dict[str, Any]:
    """The model card as plain values; for a model with an environment of its own, with the packages in that."""
    described = card.as_dict()
    own = own_environment(card)
    if own is not None:
        described["environment"] = own.packages()
    return described


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
