"""Isolated Lennard-Jones potentials that need no environment: their workers run in the Python of the tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from toy_card import toy_card
from uniscreen.potentials.isolated.potential import IsolatedPotential, TimeLimits
from uniscreen.potentials.isolated.program import Program

if TYPE_CHECKING:
    from uniscreen.potentials import ModelCard

HERE = Path(__file__).parent
OPTIONS = {"epsilon_eV": 0.0104, "sigma_angstrom": 3.4}
CARD = toy_card({"He", "Ne", "Ar", "Kr", "Xe", "Rn"}, name="noble-gases", architecture="Lennard-Jones", cutoff=8.0)


def start(
    backend: str | Path, *, card: ModelCard = CARD, limits: TimeLimits | None = None, **options: Any
) -> IsolatedPotential:
    """An isolated potential that runs the file of a backend, or that of a name in this folder."""
    path = backend if isinstance(backend, Path) else HERE / f"{backend}_backend.py"
    program = Program(Path(sys.executable), path)
    device, dtype = torch.device("cpu"), torch.float64
    return IsolatedPotential(
        card, Path("none"), device, dtype, program=program, options=OPTIONS | options, limits=limits
    )


def faulty(card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> IsolatedPotential:
    """The faulty backend, as a screen's workers load a potential."""
    program = Program(Path(sys.executable), HERE / "faulty_backend.py")
    return IsolatedPotential(card, weights, device, dtype, program=program, options=OPTIONS)
