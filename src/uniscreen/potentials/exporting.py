"""A trained potential as a file or folder of its own package, which then gives the same numbers without uniscreen.

What was written is loaded with the package and compared before it gets its name, so that a package that evaluates the
weights differently, as another version may, is found here and not in somebody's results.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from uniscreen.durable import rename_durably, sync_folder
from uniscreen.errors import InputError
from uniscreen.potentials.base import SystemResult
from uniscreen.potentials.committee import Committee
from uniscreen.potentials.testing.structures import LOW_SYMMETRY, ONE_ATOM, contract_structures
from uniscreen.potentials.trainable import TrainablePotential
from uniscreen.structures.graph import AtomicGraph
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from numpy.typing import ArrayLike

    from uniscreen.potentials.base import Potential
    from uniscreen.potentials.exporter import Exporter

ENERGY_LIMIT = 1e-3
"""eV/atom: what rounding may cost without a warning."""

ROUNDING = 1e-3
"""Largest difference of forces over the largest force (at least 1 eV/Å) that is taken for rounding.

The same holds for stresses (at least 1 GPa) and magnetic moments (at least 1 μ_B).
"""

FLOAT32_ROUNDING = 2.0**-22
"""Largest error per atom, over the total energy, that is taken for rounding: 4 times that of a sum in float32."""


class Differences(NamedTuple):
    """The largest over some crystals, package against uniscreen; no magnetic moments for a model without them."""

    n_crystals: int
    energy_eV_per_atom: float  # noqa: N815
    forces_eV_per_A: float  # noqa: N815
    stress_GPa: float  # noqa: N815
    magnetic_moments_muB: float | None  # noqa: N815


class Export(NamedTuple):
    """What was written, in which format, the Python that loads it, and how far the package is from uniscreen."""

    path: Path
    format: str
    loading_code: str
    differences: Differences


def export(potential: Potential, path: Path, package: str | None = None) -> Export:
    """Write a potential in its own package's format, reference energies included.

    Args:
        potential: one that can be trained.
        path: a file, for matgl a folder, that is not there yet.
        package: the format that is expected; it is checked, as the potential has only one.

    Raises:
        InputError: the potential cannot be exported, or not in this format; the path exists or cannot be written; the
            installed package gives other numbers than uniscreen.
    """
    trained = _trainable(potential)
    exporter = trained.exporter()
    if package not in (None, exporter.format):
        raise InputError(
            f"{potential.card.name} is a {potential.card.architecture}, which can be exported for {exporter.format} "
            f"only, not for {package}: no other package evaluates it. Leave --format out."
        )
    try:
        differences = _write(trained, exporter, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}.") from error
    return Export(path, exporter.format, exporter.loading_code(path), differences)


def _write(potential: TrainablePotential, exporter: Exporter, path: Path) -> Differences:
    """Write it beside its place, compare it, and give it its name."""
    if path.exists():
        raise InputError(f"{path} exists already. Give another path, or remove it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        written = Path(folder) / path.name  # torch puts the name into the file
        exporter.write(written)
        differences = _compare(potential, exporter, written)
        _sync(written)
        rename_durably(written, path)
    return differences


def _trainable(potential: Potential) -> TrainablePotential:
    if isinstance(potential, TrainablePotential):
        return potential
    if isinstance(potential, Committee):
        names = ", ".join(member.card.name for member in potential.members)
        raise InputError(f"{potential.card.name} has several members ({names}); export them one by one.")
    raise InputError(
        f"{potential.card.name} cannot be exported: uniscreen does not hold the weights of this "
        f"{potential.card.architecture}. Models of CHGNet, M3GNet, TensorNet and MACE can be."
    )


def _compare(potential: TrainablePotential, exporter: Exporter, written: Path) -> Differences:
    """How far what was written is from the potential.

    Raises:
        InputError: farther than rounding explains.
    """
    crystals = _crystals(potential)
    ours = potential.evaluate(crystals)
    with warnings.catch_warnings(action="ignore"):  # they are the package's own
        calculator = exporter.calculator(written)
        theirs = [_calculated(calculator, atoms) for atoms in crystals]
    pairs = list(zip(ours, theirs, strict=True))
    found = Differences(
        n_crystals=len(crystals),
        energy_eV_per_atom=_largest([(a.energy - b.energy) / len(a.forces) for a, b in pairs]),
        forces_eV_per_A=_largest([_largest(a.forces - b.forces) for a, b in pairs]),
        stress_GPa=_largest([_largest(a.stress - b.stress) for a, b in pairs]) * EV_PER_CUBIC_ANGSTROM_TO_GPA,
        magnetic_moments_muB=_moments(pairs),
    )
    if not _is_rounding(found, ours):
        moments = "" if found.magnetic_moments_muB is None else f", {found.magnetic_moments_muB:.3g} μ_B"
        raise InputError(
            f"The {exporter.format} that is installed evaluates the exported {potential.card.name} differently, by "
            f"{1000 * found.energy_eV_per_atom:.3g} meV/atom, {1000 * found.forces_eV_per_A:.3g} meV/Å, "
            f"{found.stress_GPa:.3g} GPa{moments}, so nothing was written. Install the version that uniscreen asks for."
        )
    return found


def _is_rounding(found: Differences, ours: Sequence[SystemResult]) -> bool:
    """Whether all differences are numbers, and none is larger than what rounding explains."""
    stresses = [_largest(result.stress) * EV_PER_CUBIC_ANGSTROM_TO_GPA for result in ours]
    moments = [_largest(result.magnetic_moments) for result in ours if result.magnetic_moments is not None]
    return (
        found.energy_eV_per_atom <= ENERGY_LIMIT + FLOAT32_ROUNDING * _largest([result.energy for result in ours])
        and found.forces_eV_per_A <= ROUNDING * max(1.0, *(_largest(result.forces) for result in ours))
        and found.stress_GPa <= ROUNDING * max(1.0, *stresses)
        and (found.magnetic_moments_muB is None or found.magnetic_moments_muB <= ROUNDING * max(1.0, *moments))
    )


def _crystals(potential: TrainablePotential) -> list[Atoms]:
    """Small crystals of any elements that it knows, and of the three whose reference energies are hardest to keep."""
    energies = potential.reference_energies
    hardest = sorted(energies, key=lambda symbol: -abs(energies[symbol]))[:3]
    crystals = []
    for elements in (energies, hardest):
        structures = contract_structures(elements)
        for name in (ONE_ATOM, *LOW_SYMMETRY):
            graph = AtomicGraph.from_atoms([structures[name]], potential.card.cutoff, potential.device)
            if not bool(graph.isolated_atoms().any()):  # as in a perovskite of large atoms
                crystals.append(structures[name])
    return crystals


def _calculated(calculator: Calculator, atoms: Atoms) -> SystemResult:
    """What an ASE calculator says about a crystal."""
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    results = calculator.results
    stress = np.asarray(results["stress"])
    return SystemResult(
        energy=float(results["energy"]),
        forces=np.asarray(results["forces"]),
        stress=stress if stress.shape == (3, 3) else voigt_6_to_full_3x3_stress(stress),
        magnetic_moments=results.get("magmoms"),
    )


def _moments(pairs: list[tuple[SystemResult, SystemResult]]) -> float | None:
    found = [(a.magnetic_moments, b.magnetic_moments) for a, b in pairs]
    differences = [_largest(a - b) for a, b in found if a is not None and b is not None]
    return _largest(differences) if differences else None


def _largest(values: ArrayLike) -> float:
    """The largest absolute value; NaN if there is one."""
    return float(np.abs(values).max())


def _sync(written: Path) -> None:
    """Have a file, or a folder and its files, on the disk."""
    for path in written.iterdir() if written.is_dir() else (written,):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if written.is_dir():
        sync_folder(written)
