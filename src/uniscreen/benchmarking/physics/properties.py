"""The properties of a system that potentials are asked about, and what they should be."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

if TYPE_CHECKING:
    from ase import Atoms

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Supercell = tuple[Count, Count, Count]
ElasticConstant = Annotated[str, Field(pattern=r"^c([1-6])[1-6]$")]
PointLabel = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]*$")]
CrystalName = Annotated[str, Field(pattern=r"^[\w.+() -]+$")]

PROTOTYPES = {
    name: name.replace("caesium-chloride", "cesiumchloride")
    for name in (
        *("sc", "fcc", "bcc", "hcp", "diamond"),
        *("rocksalt", "caesium-chloride", "zincblende", "wurtzite", "fluorite"),
    )
}
"""Structure types by the name that they have here: those that ``ase.build.bulk`` makes."""

HEXAGONAL = ("hcp", "wurtzite")

FOLDER = "folder"
"""The key of pydantic's context that holds the folder of structure files."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Referenced(_Table):
    """A property; ``source`` says where its reference values come from, and must where there are any."""

    source: str = ""

    @model_validator(mode="after")
    def _says_its_source(self) -> _Referenced:
        if self.has_reference() and not self.source.strip():
            raise ValueError("reference values need a source, e.g. source = 'PBE, VASP, this work'")
        return self

    def has_reference(self) -> bool:
        """Whether there is a value to compare with."""
        raise NotImplementedError


class EquationOfState(_Referenced):
    """The volume at which the energy is lowest, and its curvature there."""

    volume_A3_per_atom: Positive | None = None  # noqa: N815
    bulk_modulus_GPa: Positive | None = None  # noqa: N815

    def has_reference(self) -> bool:
        """Whether there is a value to compare with."""
        return self.volume_A3_per_atom is not None or self.bulk_modulus_GPa is not None


class Elastic(_Referenced):
    """Elastic constants by name (``c11``), with relaxed ions, in the axes of the conventional cell.

    Those of a monoclinic or triclinic crystal are in the Cartesian axes of the crystal as given.
    """

    constants_GPa: dict[ElasticConstant, Finite] = {}  # noqa: N815

    @field_validator("constants_GPa")
    @classmethod
    def _named_once(cls, values: dict[str, float]) -> dict[str, float]:
        for name, value in values.items():
            if name[1] > name[2]:
                raise ValueError(f"{name} is c{name[2]}{name[1]}; give it by that name")
            if value == 0:
                raise ValueError(f"{name} is 0, of which no error in % can be taken; leave it out")
        return values

    def has_reference(self) -> bool:
        """Whether there is a value to compare with."""
        return bool(self.constants_GPa)


class Phonons(_Referenced):
    """Frequencies at points of the Brillouin zone, ascending, from displacements in a supercell.

    ``displacement_A`` is how far an atom is displaced, that of the reference where there is one: CHGNet's forces are
    not linear in displacements of a hundredth of an ångström where bonds are straight. The default is phonopy's.
    A point with no frequencies is only measured. At ``G`` the three acoustic modes, which are zero, are left out; in a
    polar crystal its frequencies are those without the macroscopic field (no splitting of LO and TO).
    """

    supercell: Supercell
    displacement_A: Annotated[float, Field(gt=0, le=0.2)] = 0.01  # noqa: N815
    frequencies_THz: dict[PointLabel, tuple[Finite, ...]] = {}  # noqa: N815

    def has_reference(self) -> bool:
        """Whether there is a value to compare with."""
        return any(self.frequencies_THz.values())


class Vacancy(_Referenced):
    """Atoms ``removed`` (by index, from 0) from the first cell of a supercell, which keeps its shape.

    The formation energy is the energy without them less that of as many atoms of the crystal at rest. In a compound
    they must be whole formula units, since no other chemical potentials are given.
    """

    supercell: Supercell
    removed: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    relaxed: bool = True
    formation_energy_eV: Finite | None = None  # noqa: N815

    def has_reference(self) -> bool:
        """Whether there is a value to compare with."""
        return self.formation_energy_eV is not None


class Surface(_Referenced):
    """A slab with two like surfaces, by Miller indices of the crystal's cell as given."""

    miller: tuple[int, int, int]
    layers: Count
    vacuum_A: Positive = 12.0  # noqa: N815
    relaxed: bool = True
    energy_J_per_m2: Finite | None = None  # noqa: N815

    @field_validator("miller")
    @classmethod
    def _is_a_plane(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if not any(value):
            raise ValueError("(0, 0, 0) is no plane")
        if (common := math.gcd(*value)) > 1:
            reduced = tuple(index // common for index in value)
            raise ValueError(f"indices of a plane have no common divisor: give {reduced}")
        return value

    @property
    def label(self) -> str:
        """The plane, as ``(110)`` or ``(1 -1 0)``."""
        between = " " if any(not 0 <= index < 10 for index in self.miller) else ""
        return f"({between.join(map(str, self.miller))})"

    def has_reference(self) -> bool:
        """Whether there is a value to compare with."""
        return self.energy_J_per_m2 is not None


class Crystal(_Table):
    """A crystal, by its structure type or from a file, and which of its properties are asked for."""

    prototype: str | None = None
    formula: str | None = None
    a_A: Positive | None = None  # noqa: N815
    c_A: Positive | None = None  # noqa: N815
    structure: Path | None = None
    equation_of_state: EquationOfState | None = None
    elastic: Elastic | None = None
    phonons: Phonons | None = None
    vacancy: Vacancy | None = None
    surfaces: tuple[Surface, ...] = ()

    @field_validator("structure")
    @classmethod
    def _beside_the_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return value if value is None or info.context is None else Path(info.context[FOLDER]) / value

    @field_validator("prototype")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in PROTOTYPES:
            raise ValueError(f"no structure type of that name; known are {', '.join(PROTOTYPES)}; else give a file")
        return value

    @model_validator(mode="after")
    def _is_one_crystal(self) -> Crystal:
        by_type = (self.prototype, self.formula, self.a_A)
        if self.structure is not None:
            if any(value is not None for value in (*by_type, self.c_A)):
                raise ValueError("give either structure = FILE, or prototype, formula and a_A")
        elif any(value is None for value in by_type):
            raise ValueError("needs prototype, formula and a_A, or structure = FILE")
        if self.c_A is not None and self.prototype not in HEXAGONAL:
            raise ValueError(f"c_A goes with {' and '.join(HEXAGONAL)} only")
        if repeated := [label for label, n in Counter(one.label for one in self.surfaces).items() if n > 1]:
            raise ValueError(f"surface {repeated[0]} is given twice")
        return self

    def build(self) -> Atoms:
        """The atoms: of a structure type in its conventional cell.

        Raises:
            StructureError: the file cannot be read.
            ValueError: the formula does not fit the structure type.
        """
        if self.structure is not None:
            from uniscreen.structures import ReadLimits
            from uniscreen.structures.sources import FileSource

            return FileSource(self.structure.parent, self.structure.name).load(ReadLimits())
        from ase.build import bulk

        assert self.prototype is not None
        cubic = self.prototype not in HEXAGONAL
        return bulk(self.formula, PROTOTYPES[self.prototype], a=self.a_A, c=self.c_A, cubic=cubic)


class Polymorphs(_Referenced):
    """Crystals of one composition, and their energies above the first."""

    crystals: Annotated[tuple[str, ...], Field(min_length=2)]
    energies_meV_per_atom: tuple[Finite, ...] | None = None  # noqa: N815

    @model_validator(mode="after")
    def _fits(self) -> Polymorphs:
        energies = self.energies_meV_per_atom
        if len(set(self.crystals)) < len(self.crystals):
            raise ValueError("a crystal is named twice")
        if energies is not None and (len(energies) != len(self.crystals) or energies[0] != 0):
            raise ValueError("energies_meV_per_atom are one for each of the crystals, above the first: [0, 12.3, ...]")
        return self

    def has_reference(self) -> bool:
        """Whether there is a value to compare with."""
        return self.energies_meV_per_atom is not None


class Dynamics(_Table):
    """Molecular dynamics of a crystal at constant energy, at about 300 K."""

    crystal: str
    supercell: Supercell
    ps: Positive = 1.0


class Speed(_Table):
    """How fast energy, forces and stress of a supercell are evaluated."""

    crystal: str
    supercell: Supercell


class Properties(_Table):
    """All that is asked about a system: its crystals by name, and what is asked of several."""

    crystals: Annotated[dict[CrystalName, Crystal], Field(min_length=1)]
    polymorphs: tuple[Polymorphs, ...] = ()
    dynamics: Dynamics | None = None
    speed: Speed | None = None

    @model_validator(mode="after")
    def _names_its_crystals(self) -> Properties:
        asked = [name for one in self.polymorphs for name in one.crystals]
        asked += [one.crystal for one in (self.dynamics, self.speed) if one is not None]
        if missing := [name for name in asked if name not in self.crystals]:
            raise ValueError(f"there is no crystal {missing[0]!r}; there are {', '.join(self.crystals)}")
        above = Counter(name for one in self.polymorphs for name in one.crystals[1:])
        if twice := [name for name, n in above.items() if n > 1]:
            raise ValueError(f"crystal {twice[0]!r} is above the first of two lists of polymorphs")
        return self
