"""Any potential as an ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from uniscreen.potentials.base import Potential


class PotentialCalculator(Calculator):
    """ASE calculator: energy eV, forces eV/Å, stress eV/Å³ (Voigt, tension positive), magnetic moments μ_B."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "magmoms"]

    def __init__(self, potential: Potential, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = potential

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluate the atoms; all properties come from one evaluation."""
        super().calculate(atoms, properties, system_changes)
        self.results = {}  # should these atoms fail, they do not have the numbers of those before
        result = self.potential.evaluate([self.atoms])[0]
        self.results = {
            "energy": result.energy,
            "free_energy": result.energy,
            "forces": result.forces,
            "stress": full_3x3_to_voigt_6_stress(result.stress),
        }
        if result.magnetic_moments is not None:
            self.results["magmoms"] = result.magnetic_moments
