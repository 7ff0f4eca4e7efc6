"""CHGNet as a file of the chgnet package."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from uniscreen.potentials.exporter import Exporter

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator
    from torch import Tensor

N_ELEMENTS = 94
"""chgnet's reference energies are those of H to Pu."""


@dataclass(frozen=True)
class CHGNetExporter(Exporter):
    """A network of chgnet without a composition model, and the reference energies (119,) in eV by atomic number.

    chgnet keeps reference energies in float32 and evaluates in it.
    """

    format: ClassVar[str] = "chgnet"

    network: Any
    references: Tensor

    def write(self, path: Path) -> None:
        """Write what ``CHGNet.from_file`` reads: the constructor's arguments and the weights."""
        arguments = dict(self.network.model_args)
        arguments.pop("version", None)  # the name of a checkpoint that chgnet ships
        # Which fit the composition model starts from makes no difference: its weights are read next.
        arguments |= {"composition_model": "MPtrj", "is_intensive": True}
        state = {name: value.detach().cpu() for name, value in self.network.state_dict().items()}
        state["composition_model.fc.weight"] = self.references[1 : N_ELEMENTS + 1].float().cpu()[None]
        torch.save({"model": {"state_dict": state, "model_args": arguments}}, path)

    def calculator(self, path: Path) -> Calculator:
        """The calculator of chgnet."""
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            from chgnet.model import CHGNet, CHGNetCalculator

            return CHGNetCalculator(CHGNet.from_file(str(path)), use_device="cpu")

    def loading_code(self, path: Path) -> str:
        """By the network's class."""
        return f"from chgnet.model import CHGNet; CHGNet.from_file({str(path)!r})"
