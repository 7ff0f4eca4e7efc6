"""MACE as a ``.model`` file of the mace package."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from uniscreen.potentials.exporter import Exporter
from uniscreen.potentials.mace_package import quietly_and_without_traces

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator
    from torch import Tensor


@dataclass(frozen=True)
class MACEExporter(Exporter):
    """A network of mace, the number of the head that is evaluated, and its reference energies (119,) in eV.

    They are written in float64 whatever the precision of the network. mace sums them in that of the network, and in
    float32 it loses the more of them the more atoms there are, so its calculator is told ``default_dtype="float64"``.
    Other heads are written as they are.
    """

    format: ClassVar[str] = "mace"

    network: Any
    heads: tuple[str, ...]
    head: int
    references: Tensor

    def write(self, path: Path) -> None:
        """Pickle the model, as mace does."""
        model = copy.deepcopy(self.network).cpu()
        numbers = model.atomic_numbers
        energies = model.atomic_energies_fn.atomic_energies.double()
        energies.view(-1, len(numbers))[self.head] = self.references.cpu()[numbers]
        model.atomic_energies_fn.atomic_energies = energies
        torch.save(model, path)

    def calculator(self, path: Path) -> Calculator:
        """The calculator of mace."""
        with quietly_and_without_traces():
            from mace.calculators import MACECalculator

            model = torch.load(path, map_location="cpu", weights_only=False)
            return MACECalculator(models=[model], device="cpu", default_dtype="float64", head=self.heads[self.head])

    def loading_code(self, path: Path) -> str:
        """By the calculator, which has to be told one of several heads."""
        head = f", head={self.heads[self.head]!r}" if len(self.heads) > 1 else ""
        call = f"MACECalculator(model_paths={str(path)!r}, default_dtype='float64'{head})"
        return f"from mace.calculators import MACECalculator; {call}"
