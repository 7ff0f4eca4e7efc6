"""What backends with a network in torch share: neighbours, derivatives, one training loop, a folder without pickles.

A backend supplies ``build(hyperparameters, statistics) -> network``, and the network an energy for each atom. The total
is Σ (reference energy of the element + scale × network), in eV. Neighbours, sums over atoms and derivatives are in
float64.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols
from matscipy.neighbours import neighbour_list
from schedule import Schedule, batches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from torch.nn import Module

    from uniscreen.potentials.isolated.worker import Batch, Frames, Training

    Build = Callable[[dict[str, Any], "Statistics"], Module]
    Prepare = Callable[[Any, list["System"]], None]

WEIGHTS = "weights.npz"

CONFIGURATION = "configuration.json"


class Statistics(NamedTuple):
    """What a network has to know of its training structures; ``species`` are atomic numbers, ascending."""

    species: list[int]
    mean_neighbours: float
    most_neighbours: int


class Graph(NamedTuple):
    """A batch: N atoms, B systems, E edges from an atom to each of its neighbours.

    ``vectors`` (E, 3) Å follow the edges, ``species`` (N,) are places in the list of elements.
    """

    numbers: Tensor
    species: Tensor
    system: Tensor
    centre: Tensor
    neighbour: Tensor
    vectors: Tensor
    n_systems: int


class System(NamedTuple):
    """One structure with its neighbours, and its labels if it has any; stress NaN where there is none."""

    numbers: Tensor
    positions: Tensor
    cell: Tensor
    centre: Tensor
    neighbour: Tensor
    shift: Tensor
    energy: float = math.nan
    forces: Tensor | None = None
    stress: Tensor | None = None


class Derivatives(NamedTuple):
    """Energies (B,) eV, forces (N, 3) eV/Å, stresses (B, 3, 3) eV/Å³."""

    energy: Tensor
    forces: Tensor
    stress: Tensor


class Energy:
    """The total energy of a network, and its derivatives."""

    def __init__(self, network: Module, configuration: Mapping[str, Any], device: str) -> None:
        self.network = network.to(device)
        self.device = torch.device(device)
        self.scale = configuration["scale"]
        self.places = torch.full((len(chemical_symbols),), -1, device=device)
        self.references = torch.zeros(len(chemical_symbols), dtype=torch.float64, device=device)
        for place, (number, energy) in enumerate(configuration["reference_energies"].items()):
            self.places[int(number)] = place
            self.references[int(number)] = energy

    def derivatives(self, systems: list[System], *, training: bool = False) -> Derivatives:
        """Forces F = -dE/dx and stress σ = (1/V) dE/dε with a symmetric strain ε of positions and cells."""
        numbers, positions, centre, neighbour, shift = (self._joined(systems, name) for name in JOINED)
        n_atoms = torch.tensor([len(one.numbers) for one in systems], device=self.device)
        first = torch.cumsum(n_atoms, 0) - n_atoms
        n_edges = torch.tensor([len(one.centre) for one in systems], device=self.device)
        edges_from = torch.repeat_interleave(first, n_edges)
        system = torch.repeat_interleave(n_atoms)
        cells = torch.stack([one.cell for one in systems]).to(self.device)
        positions = positions.requires_grad_(True)
        strain = torch.zeros_like(cells, requires_grad=True)
        deform = torch.eye(3, dtype=cells.dtype, device=self.device) + (strain + strain.mT) / 2
        strained = torch.einsum("ni,nij->nj", positions, deform[system])
        centre, neighbour = centre + edges_from, neighbour + edges_from
        offsets = torch.einsum("ei,eij->ej", shift, (cells @ deform)[system[centre]])
        vectors = strained[neighbour] - strained[centre] + offsets
        graph = Graph(numbers, self.places[numbers], system, centre, neighbour, vectors, len(systems))
        atoms = self.references[numbers] + self.scale * self.network(graph).double()
        energy = torch.zeros(len(systems), dtype=torch.float64, device=self.device).index_add(0, system, atoms)
        by_position, by_strain = torch.autograd.grad(energy.sum(), [positions, strain], create_graph=training)
        volume = torch.linalg.det(cells).abs()
        return Derivatives(energy, -by_position, by_strain / volume[:, None, None])

    def _joined(self, systems: list[System], name: str) -> Tensor:
        return torch.cat([getattr(one, name) for one in systems]).to(self.device)


JOINED = ("numbers", "positions", "centre", "neighbour", "shift")


def systems_of(batch: Batch, cutoff: float) -> list[System]:
    """Each system with the neighbours of its atoms."""
    found = []
    for numbers, positions, cell, pbc in batch.systems():
        centre, neighbour, shift = neighbour_list("ijS", positions=positions, cell=cell, pbc=pbc, cutoff=cutoff)
        ends = [torch.tensor(end.astype(np.int64)) for end in (centre, neighbour)]
        places = [torch.tensor(array) for array in (numbers, positions, cell)]
        found.append(System(places[0], places[1], places[2], ends[0], ends[1], torch.tensor(shift.astype(float))))
    return found


def labelled_systems(frames: Frames, cutoff: float) -> list[System]:
    """The systems of a batch with their labels."""
    unknown = np.full((3, 3), np.nan)
    return [
        system._replace(
            energy=energy, forces=torch.tensor(forces), stress=torch.tensor(unknown if stress is None else stress)
        )
        for system, (_, energy, forces, stress) in zip(
            systems_of(frames.batch, cutoff), frames.structures(), strict=True
        )
    ]


class TorchModel:
    """A network of a folder, as the worker wants it."""

    def __init__(self, settings: dict[str, Any], build: Build) -> None:
        path = Path(settings["weights"])
        configuration = json.loads(path.with_name(CONFIGURATION).read_text(encoding="utf-8"))
        network = _built(build, configuration)
        with np.load(path, allow_pickle=False) as weights:
            network.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
        network = network.to(getattr(torch, settings["dtype"])).eval()
        self.elements = [chemical_symbols[int(number)] for number in configuration["reference_energies"]]
        self.cutoff = float(configuration["hyperparameters"]["cutoff"])
        self.energy = Energy(network, configuration, settings["device"])

    def evaluate(self, batch: Batch) -> dict[str, np.ndarray]:
        """One forward pass of the batch."""
        found = self.energy.derivatives(systems_of(batch, self.cutoff))
        return {name: getattr(found, name).detach().cpu().numpy() for name in Derivatives._fields}


def fit(training: Training, build: Build, prepare: Prepare | None = None) -> tuple[str, float]:
    """Train: Adam, a rate that falls as a half cosine, averaged weights, and the best of them by validation in the end.

    ``prepare`` gets the network before, for what it takes from the training structures besides ``Statistics``.
    """
    torch.set_num_threads(training.threads)
    torch.manual_seed(training.seed)
    p = training.hyperparameters
    assert training.validation is not None
    systems = labelled_systems(training.frames, p["cutoff"])
    validation = labelled_systems(training.validation, p["cutoff"])
    n_neighbours = torch.cat([torch.bincount(one.centre, minlength=len(one.numbers)) for one in systems])
    configuration = {
        "hyperparameters": p,
        "reference_energies": training.frames.reference_energies(),
        "mean_neighbours": float(n_neighbours.double().mean()),
        "most_neighbours": int(n_neighbours.max()),
        "scale": training.frames.scale(),
    }
    (training.folder / CONFIGURATION).write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")
    network = _built(build, configuration)
    if prepare is not None:
        prepare(network, systems)
    best = _optimise(Energy(network, configuration, training.device), systems, validation, training)
    weights: dict[str, Any] = {name: value.numpy() for name, value in best.items()}
    np.savez(training.folder / WEIGHTS, **weights)
    return WEIGHTS, p["cutoff"]


def _built(build: Build, configuration: dict[str, Any]) -> Module:
    species = [int(number) for number in configuration["reference_energies"]]
    statistics = Statistics(species, configuration["mean_neighbours"], configuration["most_neighbours"])
    return build(configuration["hyperparameters"], statistics).double()


def _optimise(energy: Energy, systems: list[System], validation: list[System], training: Training) -> dict[str, Tensor]:
    """The averaged weights with the least validation loss."""
    network, p = energy.network, training.hyperparameters
    average = _Average([value for value in network.parameters() if value.requires_grad], p["ema_decay"])
    optimizer = torch.optim.AdamW(
        average.parameters, lr=p["learning_rate"], weight_decay=p["weight_decay"], amsgrad=True
    )
    schedule = Schedule(p, math.ceil(len(systems) / p["batch_size"]), training.deadline)
    least, best = math.inf, _copy(network)
    network.train()
    for places in batches(len(systems), p["batch_size"], training.seed):
        optimizer.param_groups[0]["lr"] = schedule.rate
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(_loss(energy, [systems[i] for i in places], p, training=True))
        torch.nn.utils.clip_grad_norm_(average.parameters, 10.0)
        optimizer.step()
        average.update()
        if schedule.step():
            network.eval()
            average.swap()
            loss = _validation_loss(energy, validation, p)
            schedule.report(loss)
            if loss < least:
                least, best = loss, _copy(network)
            average.swap()
            network.train()
        if schedule.progress == 1:
            break
    if not math.isfinite(least):
        raise ArithmeticError("the validation loss is never finite: choose a smaller learning_rate")
    return best


class _Average:
    """A running average of parameters over the steps; the first ones are forgotten sooner."""

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.parameters = parameters
        self.values = [value.detach().clone() for value in parameters]
        self.decay = decay
        self.n_steps = 0

    def update(self) -> None:
        """Take in the parameters of a step."""
        self.n_steps += 1
        decay = min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        for average, value in zip(self.values, self.parameters, strict=True):
            average.lerp_(value.detach(), 1 - decay)

    def swap(self) -> None:
        """Exchange the parameters and their average."""
        with torch.no_grad():
            for average, value in zip(self.values, self.parameters, strict=True):
                kept = value.detach().clone()
                value.copy_(average)
                average.copy_(kept)


def _loss(energy: Energy, systems: list[System], p: dict[str, Any], *, training: bool) -> Tensor:
    """Mean squares of the errors in eV/atom, eV/Å and, of the virial, eV/atom; each with its weight."""
    found = energy.derivatives(systems, training=training)
    device = energy.device
    n = torch.tensor([len(one.numbers) for one in systems], dtype=torch.float64, device=device)
    energies = torch.tensor([one.energy for one in systems], dtype=torch.float64, device=device)
    forces = torch.cat([one.forces for one in systems if one.forces is not None]).to(device)
    stress = torch.stack([one.stress for one in systems if one.stress is not None]).to(device)
    volume = torch.stack([one.cell for one in systems]).to(device).det().abs()
    loss = p["energy_weight"] * ((found.energy - energies) / n).square().mean()
    loss = loss + p["forces_weight"] * (found.forces - forces).square().mean()
    virials = ((found.stress - stress) * (volume / n)[:, None, None])[torch.isfinite(stress).all(dim=(1, 2))]
    return loss + p["stress_weight"] * virials.square().mean() if len(virials) else loss


def _validation_loss(energy: Energy, systems: list[System], p: dict[str, Any]) -> float:
    size = p["batch_size"]
    batches = [systems[start : start + size] for start in range(0, len(systems), size)]
    return sum(len(batch) * _loss(energy, batch, p, training=False).item() for batch in batches) / len(systems)


def _copy(network: Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
