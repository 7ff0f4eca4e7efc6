"""What is recorded of one candidate as soon as it is done; all else in the results is derived from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from uniscreen.thermodynamics import Correction

if TYPE_CHECKING:
    from ase import Atoms

Status = Literal[
    "ok",
    "not_converged",
    "stopped_early",
    "unsupported_element",
    "invalid_structure",
    "isolated_atoms",
    "too_large",
    "exploded",
    "failed",
    "worker_crash",
]
STATUSES: tuple[Status, ...] = get_args(Status)

EVALUATED: frozenset[Status] = frozenset({"ok", "not_converged", "stopped_early"})
"""The statuses whose rows have energies."""

Steps = list[tuple[float, float]]
"""Of each step of a relaxation the energy, eV, and the largest force left, eV/Å, the cell's included."""


@dataclass(frozen=True)
class Crystal:
    """A structure as plain values: atomic numbers, positions (n, 3) Å, cell (3, 3) Å, moments (n,) μ_B or None."""

    numbers: list[int]
    positions: list[list[float]]
    cell: list[list[float]]
    magnetic_moments: list[float] | None = None

    @classmethod
    def of(cls, atoms: Atoms, *, moments: bool) -> Crystal:
        """Take the values out of ASE Atoms."""
        return cls(
            numbers=atoms.numbers.tolist(),
            positions=atoms.positions.tolist(),
            cell=atoms.cell.array.tolist(),
            magnetic_moments=atoms.get_initial_magnetic_moments().tolist() if moments else None,
        )

    def atoms(self) -> Atoms:
        """Periodic ASE Atoms, without the moments."""
        from ase import Atoms

        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=True)


@dataclass(frozen=True)
class Record:
    """The outcome of one candidate.

    ``index`` is its place in the input. ``energy`` is the model's own total energy in eV and ``initial_energy`` that of
    the structure as it was given; ``max_force`` in eV/Å, ``max_stress`` in eV/Å³; of an ensemble ``energy_std``, the
    standard deviation of its members' energies in eV/atom, and ``max_force_std``, the largest of those of the forces on
    an atom in eV/Å; ``volume_change`` the final over the initial volume minus one. ``crystal`` is the relaxed
    structure. ``correction`` is the one that raw energies of it call for, whether or not the model's are raw, and
    ``initial_correction`` that of the structure as it was given; both only where there is a scheme for the model's
    functional. ``steps`` are kept of the pilot of a prescreening. All that could not be had is None.
    """

    index: int
    id: str
    status: Status
    reason: str = ""
    formula: str = ""
    n_atoms: int | None = None
    n_steps: int | None = None
    initial_energy: float | None = None
    energy: float | None = None
    max_force: float | None = None
    max_stress: float | None = None
    energy_std: float | None = None
    max_force_std: float | None = None
    volume_change: float | None = None
    space_group_initial: str = ""
    space_group_final: str = ""
    crystal: Crystal | None = None
    correction: Correction | None = None
    initial_correction: Correction | None = None
    steps: Steps | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; floats survive the round trip to the last bit."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Record:
        """Read what ``as_dict`` wrote."""
        kinds: dict[str, Any] = {"crystal": Crystal, "correction": Correction, "initial_correction": Correction}
        nested = {name: kind(**values[name]) for name, kind in kinds.items() if values.get(name) is not None}
        return cls(**{**values, **nested})
