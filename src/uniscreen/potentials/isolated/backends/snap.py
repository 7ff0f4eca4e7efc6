"""Spectral neighbour analysis potentials (Thompson et al. 2015), linear and quadratic, with LAMMPS.

LAMMPS computes the bispectrum components and their derivatives, and evaluates the potential; its coefficients are a
linear least-squares problem, which is solved here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from lammps_structures import VOIGT, Structures
from ridge import Ridge

if TYPE_CHECKING:
    from uniscreen.potentials.isolated.worker import Batch, Training

FILE = "potential.snapcoeff"

RADIUS = 0.5
"""Of every element, as a factor of the cutoff: two atoms are neighbours within the sum of theirs."""

RFAC0 = 0.99363
"""How far the cutoff is from the pole of the sphere that neighbours are mapped to (LAMMPS' examples)."""


class Model:
    """A pair of files in LAMMPS' formats, .snapcoeff and .snapparam."""

    def __init__(self, settings: dict[str, Any]) -> None:
        coefficients = Path(settings["weights"])
        parameters = coefficients.with_suffix(".snapparam")
        self.elements = settings["species"]
        self.cutoff = cutoff_of(parameters)
        self.structures = Structures([atomic_numbers[symbol] for symbol in self.elements], self.cutoff)
        self.commands = [
            "pair_style snap",
            f'pair_coeff * * "{coefficients}" "{parameters}" {" ".join(self.elements)}',
            "compute p all pressure NULL virial",
        ]

    def evaluate(self, batch: Batch) -> dict[str, np.ndarray]:
        """One structure after the other."""
        energy, forces, stress = [], [], []
        for system in batch.systems():
            self.structures.place(system, self.commands)
            energy.append(self.structures.energy())
            forces.append(self.structures.forces())
            periodic = batch.stress and system[3].all()
            stress.append(self.structures.stress("p") if periodic else np.full((3, 3), np.nan))
        return {"energy": np.array(energy), "forces": np.concatenate(forces), "stress": np.array(stress)}


def load(settings: dict[str, Any]) -> Model:
    """The potential of a .snapcoeff file, with the .snapparam file beside it."""
    return Model(settings)


def cutoff_of(parameters: Path) -> float:
    """The cutoff (Å) of a potential whose elements all have the same radius."""
    words = (line.split() for line in parameters.read_text(encoding="utf-8").splitlines())
    return next(2 * RADIUS * float(value) for key, value in words if key == "rcutfac")


def train(training: Training) -> tuple[str, float]:
    """Solve for the coefficients; how much their size is held down is decided by cross-validation."""
    p = training.hyperparameters
    species = training.frames.elements()
    references = training.frames.reference_energies()
    fit = Ridge(n_folds=5, seed=training.seed)
    bispectrum = Bispectrum(species, p)
    for system, energy, forces, stress in training.frames.structures():
        residual = energy - sum(references[int(number)] for number in system[0])
        fit.add(*weighted_rows(bispectrum, system, residual, forces, stress, p))
    coefficients = fit.solve().reshape(len(species), -1)
    coefficients[:, 0] += [references[number] for number in species]
    print(fit.report)  # noqa: T201  # the log
    bispectrum.write(training.folder / FILE, coefficients)
    return FILE, p["cutoff"]


class Bispectrum:
    """Sums of bispectrum components and their derivatives, by element of the central atom."""

    def __init__(self, species: list[int], p: dict[str, Any]) -> None:
        self.species = species
        self.structures = Structures(species, p["cutoff"])
        self.weights = np.linspace(1.0, p["last_weight"], len(species)).tolist()
        self.keywords = {"rmin0": 0, "switchflag": 1, "bzeroflag": 1, "quadraticflag": int(p["quadratic"])}
        self.scale = {"rcutfac": p["cutoff"], "rfac0": RFAC0, "twojmax": p["twojmax"]}
        radii = [RADIUS] * len(species)
        words = [
            *self.scale.values(),
            *radii,
            *self.weights,
            *(word for pair in self.keywords.items() for word in pair),
        ]
        self.commands = [
            f"pair_style zero {p['cutoff'] + 0.01}",  # LAMMPS wants one that reaches as far
            "pair_coeff * *",
            f"compute b all snap {' '.join(map(str, words))}",
        ]

    def __call__(self, system: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the coefficients (elements, components) give: energy (c,), forces (n, 3, c), virial (3, 3, c) in eV.

        The first component is 1; the virial is minus stress times volume. c counts those of all elements.
        """
        numbers, n = system[0], len(system[0])
        self.structures.place(system, self.commands)
        rows = self.structures.array("b")[:, :-1].reshape(1 + 3 * n + 6, len(self.species), -1)
        counts = [np.sum(numbers == number) for number in self.species]
        rows = np.pad(rows, ((0, 0), (0, 0), (1, 0)))
        rows[0, :, 0] = counts
        rows = rows.reshape(len(rows), -1)
        turn = self.structures.turn
        forces = np.einsum("nic,ij->njc", rows[1:-6].reshape(n, 3, -1), turn)
        virial = np.empty((3, 3, rows.shape[1]))
        for (i, j), row in zip(VOIGT, rows[-6:], strict=True):
            virial[i, j] = virial[j, i] = row
        return rows[0], forces, np.einsum("ik,ijc,jl->klc", turn, virial, turn)

    def write(self, path: Path, coefficients: np.ndarray) -> None:
        """Both files of a potential."""
        lines = [f"{len(self.species)} {coefficients.shape[1]}"]
        for number, weight, values in zip(self.species, self.weights, coefficients, strict=True):
            lines += [f"{chemical_symbols[number]} {RADIUS} {weight!r}", *map(repr, values.tolist())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        settings = "".join(f"{key} {value}\n" for key, value in (self.scale | self.keywords).items())
        path.with_suffix(".snapparam").write_text(settings, encoding="utf-8")


def weighted_rows(
    bispectrum: Bispectrum,
    system: tuple[np.ndarray, ...],
    energy: float,
    forces: np.ndarray,
    stress: np.ndarray | None,
    p: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Equations for energy per atom, force components and virial per atom: squares of their errors are as in MTP."""
    n = len(system[0])
    by_energy, by_forces, by_virial = bispectrum(system)
    scale = [np.sqrt(p["energy_weight"]) / n, np.sqrt(p["forces_weight"] / n), np.sqrt(p["stress_weight"]) / n]
    rows = [scale[0] * by_energy[None], scale[1] * by_forces.reshape(3 * n, -1)]
    targets = [[scale[0] * energy], scale[1] * forces.ravel()]
    if stress is not None:
        volume = abs(np.linalg.det(system[2]))
        rows.append(scale[2] * by_virial.reshape(9, -1))
        targets.append(-scale[2] * volume * stress.ravel())
    return np.concatenate(rows), np.concatenate(targets)
