"""Where numbers come from: versions, model, settings, hardware."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uniscreen
from uniscreen.machine import usable_cores, versions
from uniscreen.potentials.loading import own_environment
from uniscreen.screening.corrections import hull_scheme
from uniscreen.screening.materials_project import describe_origin

if TYPE_CHECKING:
    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.competition import Competition, ModelReferences
    from uniscreen.screening.job import Job

PACKAGES = (
    *("torch", "chgnet", "matgl", "mace-torch", "e3nn", "cuequivariance-torch"),
    *("pymatgen", "pymatgen-core", "ase", "numpy", "scipy", "spglib", "vesin", "pandas"),
)


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


def manifest(job: Job) -> dict[str, Any]:
    """What must be equal for two commands to be one run."""
    return {
        "format": 1,
        "input": {"sha256": job.table.sha256, "n_candidates": len(job.table)},
        "settings": job.settings.as_dict() | {"model": job.card.name},
        "model": {"name": job.card.name, "sha256": job.card.sha256},
        "corrections": {"scheme": str(hull_scheme(job.card)), "pymatgen": version("pymatgen")},
        "references": _describe(job.competition),
    }


def provenance(job: Job, timer: Timer, own: ModelReferences | None) -> dict[str, Any]:
    """What ``run.json`` says of a run that ends now."""
    return {
        "uniscreen": uniscreen.__version__,
        "model": describe_card(job.card),
        "settings": job.settings.as_dict(),
        "input": {"name": job.table.name, "sha256": job.table.sha256, "n_candidates": len(job.table)}
        | describe_origin(job.inputs.database),
        "references": _describe(job.competition) | ({} if own is None else {"self_consistent": own.summary()}),
        "environment": environment(),
        "hardware": hardware(job.machine.device, job.machine.n_workers),
        **timer.as_dict(),
    }


def environment() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    return {name: found or "not installed" for name, found in versions(PACKAGES).items()}


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


def _describe(competition: Competition) -> dict[str, Any]:
    references = competition.references
    return {
        "source": references.source,
        "functional": references.functional,
        "scheme": str(references.scheme),
        "sha256": references.sha256,
        "n_entries": len(references),
        "hull": "candidates" if competition.among_candidates else "references",
        **describe_origin(references.database),
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
