"""M3GNet and TensorNet as a folder of the matgl package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ase.data import atomic_numbers

from uniscreen.potentials.exporter import Exporter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ase.calculators.calculator import Calculator
    from torch import Tensor


@dataclass(frozen=True)
class MatglExporter(Exporter):
    """A network, how matgl makes one, the scale of its energies and its reference energies.

    ``state`` are the network's tensors by name; ``scale`` are matgl's ``data_mean`` and ``data_std`` in eV;
    ``references`` (119,) are in eV by atomic number. These are written in float64, so that matgl sums them in it; it
    evaluates the network, and gives the total energy, in float32.
    """

    format: ClassVar[str] = "matgl"

    network_class: type
    arguments: Mapping[str, Any]
    state: Mapping[str, Tensor]
    scale: Mapping[str, Tensor]
    references: Tensor

    def write(self, path: Path) -> None:
        """Have matgl write its ``Potential``."""
        from matgl.apps.pes import Potential

        network = self.network_class(**self.arguments).to(self.scale["data_std"].dtype)
        network.load_state_dict(self.state)
        numbers = [atomic_numbers[symbol] for symbol in self.arguments["element_types"]]
        references = self.references.cpu()[numbers].double()
        scale = {name: value.cpu() for name, value in self.scale.items()}
        Potential(network, **scale, element_refs=references).save(path)

    def calculator(self, path: Path) -> Calculator:
        """The calculator of matgl."""
        import matgl
        from matgl.ext.ase import PESCalculator

        return PESCalculator(matgl.load_model(path).cpu(), stress_unit="eV/A3", use_voigt=False)

    def loading_code(self, path: Path) -> str:
        """By the folder; matgl imports the classes that are named there."""
        own = self.network_class.__module__.startswith("matgl.")
        return f"import matgl; matgl.load_model({str(path)!r})" + ("" if own else "  # uniscreen must be installed")
