"""A backend that trains: a Lennard-Jones ε by least squares on the energies, with σ as a hyperparameter."""

import json
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lj import LennardJones

spec = spec_from_file_location("lennard_jones", Path(__file__).with_name("lennard_jones_backend.py"))
lennard_jones = module_from_spec(spec)
spec.loader.exec_module(lennard_jones)


def load(settings):
    parameters = json.loads(Path(settings["weights"]).read_text())
    model = lennard_jones.Model(parameters)
    model.elements = settings["species"]
    return model


def train(training):
    fault = training.hyperparameters.get("fault")
    print("fitting", training.hyperparameters, "seed", training.seed)  # noqa: T201
    if fault == "hangs":
        time.sleep(1000)
    if fault == "raises":
        raise ArithmeticError("the matrix is singular")
    if fault == "dies":
        sys.stderr.flush()
        import faulthandler

        faulthandler._sigsegv()
    if fault == "writes nothing":
        return "parameters.json", 8.0
    sigma = training.hyperparameters["sigma_angstrom"]
    calculator = LennardJones(epsilon=1.0, sigma=sigma, rc=8.0, ro=6.0, smooth=True)
    unit, energies = [], []
    for (numbers, positions, cell, pbc), energy, forces, stress in training.frames.structures():
        assert forces.shape == positions.shape
        assert stress is None or stress.shape == (3, 3)
        unit.append(Atoms(numbers, positions, cell=cell, pbc=pbc, calculator=calculator).get_potential_energy())
        energies.append(energy)
    epsilon = float(np.dot(unit, energies) / np.dot(unit, unit))
    n_validation = 0 if training.validation is None else len(training.validation.energy)
    parameters = {"epsilon_eV": epsilon, "sigma_angstrom": sigma, "n_validation": n_validation}
    (training.folder / "parameters.json").write_text(json.dumps(parameters))
    return "parameters.json", 8.0
