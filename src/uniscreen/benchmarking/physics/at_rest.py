"""Crystals and defects where their forces vanish."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from uniscreen.benchmarking.physics.measurement import NotMeasured
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.result import RelaxationSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from uniscreen.potentials.base import Potential
    from uniscreen.relaxation.result import Relaxation

CRYSTAL = RelaxationSettings(fmax=2e-4, max_steps=500)
"""Elastic constants and phonons are derivatives at rest, so that crystals must be; float32 reaches 1e-5 eV/Å."""

IN_CELL = RelaxationSettings(fmax=2e-4, max_steps=500, relax_cell=False)

DEFECT = RelaxationSettings(fmax=5e-3, max_steps=500, relax_cell=False)
"""Energies alone are asked for, which are wrong by the square of the force: 1e-5 eV/Å² for a stiffness of 1 eV/Å²."""


class Bulk:
    """A crystal under a potential, relaxed when it is first asked for."""

    def __init__(self, name: str, potential: Potential, given: Atoms) -> None:
        self.name = name
        self.potential = potential
        self.given = given

    @cached_property
    def _relaxation(self) -> Relaxation:
        (relaxation,) = relax(self.potential, [self.given], CRYSTAL)
        return relaxation

    @property
    def atoms(self) -> Atoms:
        """The relaxed crystal, a copy.

        Raises:
            NotMeasured: it does not come to rest.
        """
        return _ended(self._relaxation, f"the crystal {self.name}").atoms.copy()

    @property
    def energy_per_atom(self) -> float:
        """In eV, of the relaxed crystal.

        Raises:
            NotMeasured: it does not come to rest.
        """
        relaxation = _ended(self._relaxation, f"the crystal {self.name}")
        assert relaxation.energy is not None
        return relaxation.energy / len(relaxation.atoms)


def relaxed_in_cell(
    potential: Potential, structures: Sequence[Atoms], settings: RelaxationSettings, what: str
) -> list[Atoms]:
    """The structures with their atoms at rest in the cells as given; ``what`` they are is for the reason.

    Raises:
        NotMeasured: one does not come to rest.
    """
    return [_ended(end, what).atoms for end in relax(potential, structures, settings)]


def _ended(relaxation: Relaxation, what: str) -> Relaxation:
    if relaxation.status != "ok":
        raise NotMeasured(f"{what} does not come to rest: {relaxation.status}, {relaxation.reason}")
    return relaxation
