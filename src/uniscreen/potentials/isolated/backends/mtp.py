"""Moment tensor potentials (Shapeev 2016) with motep: energies in eV, read from and written to .mtp files of MLIP-2."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list
from ase_frames import evaluate_each, labelled_atoms
from motep.calculator import MTP
from motep.io.mlip.mtp import read_mtp, write_mtp
from motep.potentials.mtp.data import MTPData
from motep.train.trainer import Trainer
from mtp_basis import make_basis, n_radial_functions
from scipy.optimize import least_squares

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.potentials.isolated.worker import Batch, Training

FILE = "potential.mtp"

LABELS = ("energy", "forces", "stress")

VOIGT = [0, 4, 8, 5, 2, 1]
"""xx, yy, zz, yz, xz, xy among the nine components."""


class FreshMTP(MTP):
    """motep's calculator, which keeps the neighbours of the structure before unless it is told not to."""

    def calculate(self, atoms: Atoms | None = None, *args: Any, **kwargs: Any) -> None:
        """Energy, forces and stress of a structure that has nothing to do with the one before."""
        self.engine.neighbor_list = None
        super().calculate(atoms, *args, **kwargs)


class Model:
    """One .mtp file; its elements are named by the settings, as it only numbers them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        data = read_mtp(settings["weights"])
        data.species = [atomic_numbers[symbol] for symbol in settings["species"]]
        self.elements = settings["species"]
        self.cutoff = float(data.radial_basis.max)
        self.calculator = FreshMTP(data)
        logging.getLogger("motep").setLevel(logging.ERROR)  # a warning for every atom closer than those trained on

    def evaluate(self, batch: Batch) -> dict[str, np.ndarray]:
        """One structure after the other."""
        return evaluate_each(self.calculator, batch)


def load(settings: dict[str, Any]) -> Model:
    """The potential of an .mtp file."""
    return Model(settings)


def train(training: Training) -> tuple[str, float]:
    """A pair potential by least squares, then the linear coefficients, then all of them by nonlinear least squares."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    parameters = training.hyperparameters
    images = labelled_atoms(training.frames)
    data = untrained(parameters, training.frames.elements(), shortest_distance(images, parameters["cutoff"]))
    weights = {f"{name}_weight": parameters[f"{name}_weight"] for name in LABELS}
    steps = [{"method": method, "minimized": LABELS} for method in ("Level2MTP", "LLS")]
    Trainer(data, rng=np.random.default_rng(training.seed), loss=weights, steps=steps).train(images)
    for intermediate in training.folder.glob("intermediate_*.mtp"):
        intermediate.unlink()
    data.optimized = ["moment_coeffs", "species_coeffs", "radial_coeffs"]
    fit = Fit(data, labelled_atoms(training.frames), parameters)

    def stop_when_late(_: Any) -> None:
        if time.monotonic() > training.deadline:
            raise StopIteration

    found = least_squares(
        fit.residuals,
        data.parameters,
        fit.jacobian,
        x_scale="jac",
        max_nfev=parameters["max_iterations"],
        callback=stop_when_late,
    )
    print(found.message)  # noqa: T201  # the log
    data.parameters = found.x
    write_mtp(training.folder / FILE, data, legacy=True)
    return FILE, parameters["cutoff"]


class Fit:
    """Weighted errors of energies per atom, forces and virials per atom, and their derivatives by the coefficients.

    motep's minimisers get only the gradient of the sum of squares and need thousands of steps where these tens do.
    """

    def __init__(self, data: MTPData, images: list[Atoms], weights: dict[str, Any]) -> None:
        self.data = data
        self.images = images
        self.targets = [atoms.calc.results for atoms in images]
        self.weights = {name: np.sqrt(weights[f"{name}_weight"] / len(images)) for name in LABELS}
        self.calculators = [MTP(data, mode="train") for _ in images]
        self.last = np.array([])

    def residuals(self, coefficients: np.ndarray) -> np.ndarray:
        """All errors at these coefficients."""
        self._compute(coefficients)
        blocks = []
        for atoms, target, calculator in zip(self.images, self.targets, self.calculators, strict=True):
            for name, scale in self._scales(atoms, target):
                blocks.append(scale * np.ravel(calculator.results[name] - target[name]))
        result = np.concatenate(blocks)
        print(f"sum of squares {result @ result:.6g}")  # noqa: T201  # the log
        return result

    def jacobian(self, coefficients: np.ndarray) -> np.ndarray:
        """Derivatives of all errors, a column for each coefficient."""
        self._compute(coefficients)
        blocks = []
        for atoms, target, calculator in zip(self.images, self.targets, self.calculators, strict=True):
            for name, scale in self._scales(atoms, target):
                values = getattr(calculator.engine, f"jac_{name}")(atoms).parameters
                if name == "stress":
                    values = values.reshape(-1, 9)[:, VOIGT]
                blocks.append(scale * values.reshape(coefficients.size, -1).T)
        return np.concatenate(blocks)

    def _scales(self, atoms: Atoms, target: dict[str, Any]) -> list[tuple[str, float]]:
        """What a structure's errors are multiplied by, for each label that it has."""
        n = len(atoms)
        scales = [("energy", self.weights["energy"] / n), ("forces", self.weights["forces"] / np.sqrt(n))]
        if "stress" in target:
            scales.append(("stress", self.weights["stress"] * atoms.get_volume() / n))
        return scales

    def _compute(self, coefficients: np.ndarray) -> None:
        """Have motep compute all structures, unless that was the last thing it did."""
        if np.array_equal(coefficients, self.last):
            return
        self.data.parameters = coefficients
        for atoms, calculator in zip(self.images, self.calculators, strict=True):
            calculator.update_parameters(self.data)
            calculator.calculate(atoms)
        self.last = coefficients.copy()


def untrained(parameters: dict[str, Any], species: list[int], min_distance: float) -> MTPData:
    """A potential of a level whose coefficients are yet to be drawn."""
    basis = make_basis(parameters["level"])
    data = MTPData(
        version="1.1.0",
        potential_name=f"MTP{parameters['level']}",
        scaling=1.0,
        species_count=len(species),
        radial_basis={
            "type": "RBChebyshev",
            "min": np.float64(min_distance),
            "max": np.float64(parameters["cutoff"]),
            "size": parameters["radial_basis_size"],
        },
        radial_funcs_count=n_radial_functions(parameters["level"]),
        alpha_moments_count=basis.n_moments,
        alpha_index_basic_count=len(basis.basic),
        alpha_index_basic=np.array(basis.basic, dtype=np.int32),
        alpha_index_times_count=len(basis.times),
        alpha_index_times=np.array(basis.times, dtype=np.int32).reshape(-1, 4),
        alpha_scalar_moments=len(basis.scalars),
        alpha_moment_mapping=np.array(basis.scalars, dtype=np.int32),
    )
    data.species = species
    return data


def shortest_distance(images: list[Atoms], cutoff: float) -> float:
    """The smallest interatomic distance (Å), where the radial basis begins."""
    return min(neighbor_list("d", atoms, cutoff).min(initial=cutoff / 2) for atoms in images)
