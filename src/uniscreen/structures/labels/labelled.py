"""Structures with reference labels, and the conventions in which files give them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.crystal import crystal, finite_array
from uniscreen.structures.guard import shorten
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

EnergyKind = Literal["total", "per-atom"]
StressUnit = Literal["eV/A^3", "GPa", "kbar"]
StressSign = Literal["tension-positive", "compression-positive"]
VoigtOrder = Literal["xx yy zz yz xz xy", "xx yy zz xy yz zx"]

PER_EV_PER_CUBIC_ANGSTROM: dict[StressUnit, float] = {
    "eV/A^3": 1.0,
    "GPa": EV_PER_CUBIC_ANGSTROM_TO_GPA,
    "kbar": 10 * EV_PER_CUBIC_ANGSTROM_TO_GPA,
}

NOISE = 1e-5
"""eV/Å³ (0.0016 GPa), what the stress of a structure at rest may lack in symmetry."""

VOIGT_INDICES: dict[VoigtOrder, tuple[tuple[int, int], ...]] = {
    "xx yy zz yz xz xy": ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)),
    "xx yy zz xy yz zx": ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)),
}


@dataclass(frozen=True, eq=False)
class LabelledStructure:
    """A structure with reference labels.

    ``atoms`` without calculator, periodic in any number of directions; ``energy`` eV, total; ``forces`` (n, 3) eV/Å;
    ``stress`` (3, 3) eV/Å³, tension positive, or None; ``group``, what it is correlated with (a trajectory, a parent),
    or None where the file does not say; ``place``, where it was found.
    """

    atoms: Atoms
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None
    group: str | None
    place: str

    @property
    def energy_per_atom(self) -> float:
        """Energy in eV/atom."""
        return self.energy / len(self.atoms)

    @property
    def geometry(self) -> bytes:
        """Equal for frames that are the same structure, its atoms in the same order, within ``SAME_COORDINATE``."""
        cell, positions = (np.round(each / SAME_COORDINATE) for each in (self.atoms.cell.array, self.atoms.positions))
        return self.atoms.numbers.tobytes() + (cell + 0.0).tobytes() + (positions + 0.0).tobytes()  # + 0.0: no -0.0

    @property
    def geometry_digest(self) -> str:
        """16 hexadecimal digits that stand for ``geometry``: what a potential keeps of the frames it was trained on."""
        return sha256(self.geometry).hexdigest()[:16]


SAME_COORDINATE = 1e-3
"""Å: frames are the same structure if no coordinate differs by more, up to rounding."""


@dataclass(frozen=True)
class LabelConventions:
    """How a file gives its labels; None stands for what is usual in its format.

    ``energy``: of the structure or of an atom. ``stress_unit``, ``stress_sign`` and ``stress_order``, the last for
    stresses of six components. ``energy_key``, ``forces_key``, ``stress_key`` and ``group_key`` name the labels in an
    extxyz file, a database or JSON.
    """

    energy: EnergyKind | None = None
    stress_unit: StressUnit | None = None
    stress_sign: StressSign | None = None
    stress_order: VoigtOrder | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    group_key: str | None = None

    def over(self, usual: LabelConventions) -> LabelConventions:
        """These conventions, and the usual ones where these are None."""
        return replace(usual, **{name: value for name, value in vars(self).items() if value is not None})


ASE_CONVENTIONS = LabelConventions(
    energy="total", stress_unit="eV/A^3", stress_sign="tension-positive", stress_order="xx yy zz yz xz xy"
)

VASP_CONVENTIONS = LabelConventions(
    energy="total", stress_unit="kbar", stress_sign="compression-positive", stress_order="xx yy zz xy yz zx"
)


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One frame as a file gives it, not yet checked: values may be missing (None), of any shape, or not numbers.

    ``stress`` is in the ``usual`` conventions unless the user gives others; ``virial`` (eV, -stress times volume, so
    that its usual sign is compression positive) stands in for it.
    """

    place: str
    atoms: Atoms
    energy: Any
    forces: Any
    stress: Any = None
    virial: Any = None
    group: str | None = None
    usual: LabelConventions = ASE_CONVENTIONS

    def conventions(self, given: LabelConventions) -> LabelConventions:
        """Those in which the labels are read: the ones given, else the usual ones."""
        is_virial = self.stress is None and self.virial is not None
        return given.over(replace(self.usual, stress_sign="compression-positive") if is_virial else self.usual)

    def checked(self, given: LabelConventions) -> LabelledStructure:
        """The frame in our units, checked.

        Raises:
            InvalidStructureError: a label is missing, not finite or of the wrong shape, or the structure is not one
                that can be computed.
        """
        conventions = self.conventions(given)
        atoms = checked_atoms(self.atoms)
        n = len(atoms)
        for name, value in (("energy", self.energy), ("forces", self.forces)):
            if value is None:
                raise InvalidStructureError(
                    f"has no {name}. If they are there under another name, give it as {name}_key."
                )
        energy = _number(self.energy)
        forces = finite_array(self.forces, (n, 3), "forces")
        return LabelledStructure(
            atoms=atoms,
            energy=energy * n if conventions.energy == "per-atom" else energy,
            forces=forces,
            stress=self._stress(atoms, conventions) if atoms.pbc.all() else None,
            group=self.group,
            place=self.place,
        )

    def _stress(self, atoms: Atoms, conventions: LabelConventions) -> NDArray[np.float64] | None:
        """(3, 3) eV/Å³, tension positive, or None where the frame has none."""
        if self.stress is None and self.virial is None:
            return None
        assert conventions.stress_order is not None
        assert conventions.stress_unit is not None
        sign = 1.0 if conventions.stress_sign == "tension-positive" else -1.0
        unit = PER_EV_PER_CUBIC_ANGSTROM[conventions.stress_unit]
        values, what = self.stress, "stress"
        if self.stress is None:
            values, what, unit = self.virial, "virial", unit * atoms.get_volume()
        return sign * full_tensor(values, conventions.stress_order, what, NOISE * unit) / unit


def _number(value: Any) -> float:
    """A finite number, of any type that stands for one.

    Raises:
        InvalidStructureError: it is not one.
    """
    try:
        number = float(np.asarray(value, dtype=np.float64).reshape(()))
    except (TypeError, ValueError):
        raise InvalidStructureError(f"has the energy {shorten(str(value), 40)}; expected one number.") from None
    if not np.isfinite(number):
        raise InvalidStructureError(f"has the energy {number}; expected a finite number.")
    return number


def full_tensor(values: Any, order: VoigtOrder, what: str, noise: float) -> NDArray[np.float64]:
    """A symmetric tensor (3, 3) from itself, from nine components or from six; ``noise`` is no asymmetry.

    Raises:
        InvalidStructureError: another shape, not finite, or not symmetric.
    """
    shape = np.shape(values)
    if shape == (6,):
        six = finite_array(values, (6,), what)
        tensor = np.empty((3, 3))
        for value, (i, j) in zip(six, VOIGT_INDICES[order], strict=True):
            tensor[i, j] = tensor[j, i] = value
        return tensor
    if shape not in {(3, 3), (9,)}:
        raise InvalidStructureError(f"{what} has shape {shape}; expected (3, 3), (9,) or (6,).")
    tensor = finite_array(np.reshape(values, (3, 3)), (3, 3), what)
    if not np.allclose(tensor, tensor.T, atol=max(1e-3 * float(np.abs(tensor).max()), noise)):
        raise InvalidStructureError(f"{what} is not symmetric; expected xx xy xz, yx yy yz, zx zy zz.")
    return 0.5 * (tensor + tensor.T)


def checked_atoms(atoms: Atoms) -> Atoms:
    """The structure without calculator and constraints, checked; periodic in any number of directions.

    Raises:
        InvalidStructureError: no atoms, positions that are not finite, or a periodic cell without volume.
    """
    from ase import Atoms

    magmoms = atoms.get_initial_magnetic_moments() if atoms.has("initial_magmoms") else None
    if atoms.pbc.all():
        return crystal(atoms.numbers, atoms.positions, atoms.cell.array, magmoms)
    if len(atoms) == 0:
        raise InvalidStructureError("holds 0 atoms.")
    if (atoms.numbers < 1).any():
        raise InvalidStructureError("holds an atom that is not a chemical element.")
    positions = finite_array(atoms.positions, (len(atoms), 3), "positions")
    cell = finite_array(atoms.cell.array, (3, 3), "lattice vectors")
    if (atoms.pbc & ~cell.any(axis=1)).any():
        raise InvalidStructureError("is periodic along a lattice vector that is zero.")
    return Atoms(numbers=atoms.numbers, positions=positions, cell=cell, pbc=atoms.pbc, magmoms=magmoms)
