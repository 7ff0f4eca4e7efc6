"""Atomic cluster expansions (GRACE/FS, Bochkarev et al. 2024) of tensorpotential."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from ace_arrays import PARTS, chunks, joined
from ase.data import chemical_symbols
from schedule import Schedule, batches
from tensorpotential import constants as key
from tensorpotential.potentials.presets import FS
from tensorpotential.tpmodel import ComputeBatchEnergyForcesVirials, TPModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.potentials.isolated.worker import Batch, Frames, Training

tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))  # as many as other backends
tf.config.threading.set_inter_op_parallelism_threads(1)

WEIGHTS = "weights.npz"

CONFIGURATION = "configuration.json"

NINE = [0, 3, 4, 3, 1, 5, 4, 5, 2]
"""Where the nine components of a virial are among xx, yy, zz, xy, xz, yz."""


class Model:
    """An expansion in a folder."""

    def __init__(self, settings: dict[str, Any]) -> None:
        path = Path(settings["weights"])
        configuration = json.loads(path.with_name(CONFIGURATION).read_text(encoding="utf-8"))
        self.species = [int(number) for number in configuration["reference_energies"]]
        self.elements = [chemical_symbols[number] for number in self.species]
        self.cutoff = float(configuration["hyperparameters"]["cutoff"])
        self.expansion = build(configuration)
        with np.load(path, allow_pickle=False) as weights:
            for variable, name in zip(self.expansion.variables_to_train, sorted(weights.files), strict=True):
                variable.assign(weights[name])
        self.compute = tf.function(lambda inputs: self.expansion(inputs), reduce_retracing=True)

    def evaluate(self, batch: Batch) -> dict[str, np.ndarray]:
        """All structures at once."""
        inputs = joined(batch, self.cutoff, self.species)
        found = self.compute({name: tf.constant(value) for name, value in inputs.items()})
        stress = np.full((len(batch.cells), 3, 3), np.nan)
        if batch.stress:
            volume = np.abs(np.linalg.det(batch.cells))
            virial = found[key.PREDICT_VIRIAL].numpy()[:, NINE].reshape(-1, 3, 3)
            full = batch.pbc.all(axis=1)
            stress[full] = -virial[full] / volume[full, None, None]
        return {
            "energy": found[key.PREDICT_TOTAL_ENERGY].numpy().ravel(),
            "forces": found[key.PREDICT_FORCES].numpy(),
            "stress": stress,
        }


def load(settings: dict[str, Any]) -> Model:
    """That of a folder."""
    return Model(settings)


def build(configuration: dict[str, Any]) -> TPModel:
    """An expansion whose parameters are drawn with TensorFlow's seed."""
    p, references = configuration["hyperparameters"], configuration["reference_energies"]
    instructions = FS(
        {chemical_symbols[int(number)]: place for place, number in enumerate(references)},
        rcut=p["cutoff"],
        avg_n_neigh=configuration["mean_neighbours"],
        constant_out_scale=configuration["scale"],
        atomic_shift_map=dict(enumerate(references.values())),
        max_order=3,
        lmax=[p["l_max"], p["l_max"], p["l_max"] - 1],
        n_rad_base=p["n_radial"],
        n_rad_max=[p["n_radial"], p["n_radial_2"], p["n_radial_3"]],
        embedding_size=p["embedding_size"],
        fs_parameters=[[1.0, 1.0], [1.0, 0.5]],
    )
    model = TPModel(instructions.get_instructions(), train_function=ComputeBatchEnergyForcesVirials())
    model.build(tf.float64, jit_compile=False)
    return model


def train(training: Training) -> tuple[str, float]:
    """All parameters by Adam; those with the least validation loss are kept."""
    tf.keras.utils.set_random_seed(training.seed)
    p = training.hyperparameters
    assert training.validation is not None
    species = training.frames.elements()
    inputs = joined(training.frames.batch, p["cutoff"], species)
    configuration = {
        "hyperparameters": p,
        "reference_energies": training.frames.reference_energies(),
        "mean_neighbours": len(inputs[key.BOND_VECTOR]) / len(inputs[key.ATOMIC_MU_I]),
        "scale": training.frames.scale(),
    }
    (training.folder / CONFIGURATION).write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")
    model = build(configuration)
    loss = Loss(model, training.frames, p, species)
    validation = Loss(model, training.validation, p, species)
    best = descend(loss, validation, training)
    loss.assign(best)
    values = {f"{i:03d}": variable.numpy() for i, variable in enumerate(model.variables_to_train)}
    np.savez(training.folder / WEIGHTS, **values)
    return WEIGHTS, p["cutoff"]


def descend(loss: Loss, validation: Loss, training: Training) -> np.ndarray:
    """The averaged parameters with the least validation loss: Adam, a chunk a step."""
    p = training.hyperparameters
    schedule = Schedule(p, len(loss.chunks), training.deadline)
    x = loss.parameters()
    average, best, least = x.copy(), x.copy(), np.inf
    first, second = np.zeros_like(x), np.zeros_like(x)
    for (place,) in batches(len(loss.chunks), 1, training.seed):
        gradient, n = loss.gradient(x, place), schedule.n_steps + 1
        first += (1 - 0.9) * (gradient - first)
        second += (1 - 0.999) * (gradient**2 - second)
        x = x - schedule.rate * (first / (1 - 0.9**n)) / (np.sqrt(second / (1 - 0.999**n)) + 1e-12)
        average += (1 - min(p["ema_decay"], (1 + n) / (10 + n))) * (x - average)
        if schedule.step():
            value = validation(average)
            schedule.report(value)
            if value < least:
                best, least = average.copy(), value
        if schedule.progress == 1:
            break
    if not np.isfinite(least):
        raise ArithmeticError("the validation loss is never finite: choose a smaller learning_rate")
    return best


class Loss:
    """Mean squares of the errors in eV/atom, eV/Å and, of the virial, eV/atom; each with its weight.

    Structures are computed in chunks, filled to arrays of one size, for which TensorFlow compiles once.
    """

    def __init__(self, model: TPModel, frames: Frames, p: dict[str, Any], species: Sequence[int]) -> None:
        self.model = model
        self.variables = model.variables_to_train
        arrays = chunks(frames, p, species)
        self.chunks = [{name: tf.constant(value) for name, value in chunk.items()} for chunk in arrays]
        self.compiled = tf.function(self._of_chunk, jit_compile=True)
        self.compiled_gradient = tf.function(self._gradient_of_chunk, jit_compile=True)

    def parameters(self) -> np.ndarray:
        """All parameters in a row."""
        return np.concatenate([variable.numpy().ravel() for variable in self.variables])

    def assign(self, x: np.ndarray) -> None:
        """Set the parameters."""
        start = 0
        for variable in self.variables:
            size = int(np.prod(variable.shape))
            variable.assign(x[start : start + size].reshape(variable.shape))
            start += size

    def __call__(self, x: np.ndarray) -> float:
        """The loss at these parameters."""
        self.assign(x)
        return sum(float(self.compiled(chunk)) for chunk in self.chunks)

    def gradient(self, x: np.ndarray, place: int) -> np.ndarray:
        """The gradient at these parameters, estimated from one chunk."""
        self.assign(x)
        by_variable = self.compiled_gradient(self.chunks[place])
        return len(self.chunks) * np.concatenate([one.numpy().ravel() for one in by_variable])

    def _of_chunk(self, chunk: dict[str, tf.Tensor]) -> tf.Tensor:
        found = self.model(dict(chunk), training=True)
        loss = 0.0
        for name in PARTS:
            loss += tf.reduce_sum(chunk[f"factor {name}"] * tf.square(found[name] - chunk[f"target {name}"]))
        return loss

    def _gradient_of_chunk(self, chunk: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = self._of_chunk(chunk)
        return tape.gradient(loss, self.variables)
