"""Checks of what only a trainable potential promises: its weights can be told apart, changed, saved and loaded."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from uniscreen.potentials.testing.evaluation import UNITS
from uniscreen.potentials.testing.result import Deviation, Subject, largest
from uniscreen.potentials.testing.structures import BINARY, RATTLE, TERNARY, radius
from uniscreen.potentials.testing.tolerances import CUDA_ROUNDING
from uniscreen.potentials.trainable import BLOCKS, TrainablePotential

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor
    from torch.nn import Parameter

    from uniscreen.potentials.base import Evaluation
    from uniscreen.structures.graph import AtomicGraph

N_STRUCTURES = 8

STIFFER = 1.25
"""The labels are those of the potential itself, times this: universal potentials are too soft by about as much."""

STEPS = 10

HALVINGS = 10
"""How often a step is made shorter before it is left at that."""

LEARNT = 0.8
"""The loss after the steps over that before, at most."""

OFFSET = 1.0
"""eV by which a reference energy is changed."""


def parameter_blocks(subject: Subject) -> Iterator[Deviation]:
    """Every parameter of the network is in exactly one of the blocks embedding, interaction and readout."""
    potential = _trainable(subject)
    blocks = potential.parameter_blocks()
    listed = [id(parameter) for parameters in blocks.values() for _, parameter in parameters]
    faults = [f"{block} is no block" for block in blocks if block not in BLOCKS]
    faults += [f"{name} is in no block" for name, p in potential.model.named_parameters() if id(p) not in listed]
    faults += [f"{name} is in several blocks" for name, p in _all(potential) if listed.count(id(p)) > 1]
    known = {id(parameter) for parameter in potential.model.parameters()}
    faults += [f"{name} is no parameter of the network" for name, p in _all(potential) if id(p) not in known]
    counts = ", ".join(f"{block} {len(parameters)}" for block, parameters in blocks.items())
    yield Deviation(float(len(faults)), 0.0, "faults", "; ".join(faults[:3]) or counts)


def reference_energies(subject: Subject) -> Iterator[Deviation]:
    """A reference energy that is set is read back, and added once for each atom of that element and for no other."""
    potential = copy.deepcopy(_trainable(subject))
    structures = list(subject.structures.values())
    before, energies = potential.evaluate(structures), potential.reference_energies
    symbol = str(subject.structures[BINARY].symbols[0])
    potential.reference_energies = {symbol: energies[symbol] + OFFSET}
    changed = potential.reference_energies
    expected = energies | {symbol: energies[symbol] + OFFSET}
    faults = [other for other in energies.keys() | changed.keys() if changed.get(other) != expected.get(other)]
    yield Deviation(float(len(faults)), 0.0, "faults", f"read back: {', '.join(sorted(faults)) or symbol}")
    for (name, atoms), old, new in zip(subject.structures.items(), before, potential.evaluate(structures), strict=True):
        shift = OFFSET * list(atoms.symbols).count(symbol)
        yield from subject.compare(new, old._replace(energy=old.energy + shift), name)


def save_and_load(subject: Subject) -> Iterator[Deviation]:
    """A potential that was saved and loaded gives the same numbers: to the last bit on a CPU."""
    potential = _trainable(subject)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "saved"
        potential.save(folder)
        loaded = type(potential)(potential.card, folder, potential.device, potential.dtype)
    graph = potential.graph(list(subject.structures.values()))
    tolerance = 0.0 if potential.device.type == "cpu" else CUDA_ROUNDING
    before, after = _settled(potential, graph), _settled(loaded, graph)
    for name, value in before._asdict().items():
        if value is not None:
            error = largest(value.cpu().numpy(), getattr(after, name).cpu().numpy())
            yield Deviation(error, tolerance, UNITS[name], name.replace("_", " "))
    energies, again = potential.reference_energies, loaded.reference_energies
    faults = [symbol for symbol in energies if energies[symbol] != again.get(symbol)]
    yield Deviation(float(len(faults)), 0.0, "faults", f"reference energies: {', '.join(faults) or 'all the same'}")


def loss_falls(subject: Subject) -> Iterator[Deviation]:
    """A few steps on energies and forces of 8 structures, labelled as a quarter stiffer than predicted, lower the loss.

    The loss is then taken from ``evaluate_graph``, so that a potential that goes on with its old weights is found out.
    """
    potential = copy.deepcopy(_trainable(subject))
    lesson = _lesson(subject, potential)
    attached = potential.derivatives(lesson.graph, create_graph=True)._asdict()
    faults = [f"{name} cannot be trained on" for name, value in attached.items() if not _has_gradient(value)]
    yield Deviation(float(len(faults)), 0.0, "faults", "; ".join(faults) or "all quantities can be trained on")
    start = float(lesson.loss(potential.evaluate_graph(lesson.graph)))
    _train(potential, potential.model.parameters(), lesson)
    left = float(lesson.loss(potential.evaluate_graph(lesson.graph))) / start
    yield Deviation(left, LEARNT, "ratio", f"loss after {STEPS} steps over that before")


def frozen_blocks(subject: Subject) -> Iterator[Deviation]:
    """Training one block changes it, and leaves the other blocks and the reference energies as they are to the bit."""
    for block in BLOCKS:
        potential = copy.deepcopy(_trainable(subject))
        chosen = dict(potential.parameter_blocks()[block])
        if not chosen:
            continue
        before = {name: value.clone() for name, value in potential.model.state_dict().items()}
        references = potential.reference_energies
        _train(potential, chosen.values(), _lesson(subject, potential), steps=2)
        changed = {name for name, value in potential.model.state_dict().items() if not torch.equal(value, before[name])}
        faults = [f"{name} changed" for name in sorted(changed - chosen.keys())]
        if not changed & chosen.keys():
            faults.append("nothing was trained")
        if potential.reference_energies != references:
            faults.append("the reference energies changed")
        yield Deviation(float(len(faults)), 0.0, "faults", f"{block}: {'; '.join(faults[:3]) or 'trained alone'}")


class _Lesson(NamedTuple):
    """A batch with labels: energy (B,) eV and forces (N, 3) eV/Å; and how far they are from what was predicted."""

    graph: AtomicGraph
    energy: Tensor
    forces: Tensor
    energy_scale: Tensor
    force_scale: Tensor

    def loss(self, predicted: Evaluation) -> Tensor:
        """Mean squares of the errors of energies per atom and of forces, both 1 before training."""
        energy = (predicted.energy - self.energy) / self.graph.n_atoms / self.energy_scale
        forces = (predicted.forces - self.forces) / self.force_scale
        return energy.square().mean() + forces.square().mean()


def _lesson(subject: Subject, potential: TrainablePotential) -> _Lesson:
    """Eight small crystals, rattled, with the potential's own energies and forces made stiffer."""
    structures = []
    for seed in range(N_STRUCTURES):
        atoms = subject.structures[(BINARY, TERNARY)[seed % 2]].copy()
        atoms.rattle(RATTLE * 2 * min(radius(symbol) for symbol in set(atoms.symbols)), seed=seed)
        structures.append(atoms)
    graph = potential.graph(structures)
    evaluation = potential.evaluate_graph(graph, stress=False)
    binding = evaluation.energy - potential.reference_energy(graph)
    return _Lesson(
        graph,
        energy=evaluation.energy + (STIFFER - 1) * binding,
        forces=STIFFER * evaluation.forces,
        energy_scale=(STIFFER - 1) * (binding / graph.n_atoms).square().mean().sqrt(),
        force_scale=(STIFFER - 1) * evaluation.forces.square().mean().sqrt(),
    )


def _train(potential: TrainablePotential, parameters: Iterable[Parameter], lesson: _Lesson, steps: int = STEPS) -> None:
    """Gradient steps, each halved until the loss falls; the first try is where it would halve if it were linear.

    So no learning rate has to be chosen for a model. The first try is half of Polyak's length L / |∇L|².
    """
    chosen = list(parameters)
    for _ in range(steps):
        loss = lesson.loss(potential.derivatives(lesson.graph, stress=False, create_graph=True))
        gradients = torch.autograd.grad(loss, chosen, allow_unused=True, materialize_grads=True)
        steepness = float(torch.stack([gradient.double().square().sum() for gradient in gradients]).sum())
        start, value = [parameter.detach().clone() for parameter in chosen], float(loss.detach())
        for halving in range(HALVINGS if steepness else 0):
            length = 0.5 ** (halving + 1) * value / steepness
            _move(chosen, start, gradients, length)
            if float(lesson.loss(potential.evaluate_graph(lesson.graph, stress=False))) < value:
                break


def _move(parameters: Iterable[Parameter], start: Iterable[Tensor], gradients: Iterable[Tensor], length: float) -> None:
    """Put the parameters at ``start - length * gradient``."""
    with torch.no_grad():
        for parameter, before, gradient in zip(parameters, start, gradients, strict=True):
            parameter.copy_(before - length * gradient)


def _settled(potential: TrainablePotential, graph: AtomicGraph) -> Evaluation:
    """An evaluation once code that is compiled as it runs has been: its first run differs by rounding."""
    for _ in range(2):
        evaluation = potential.evaluate_graph(graph)
    return evaluation


def _has_gradient(value: Tensor | None) -> bool:
    """Whether a loss made of this can be differentiated; of what the model does not have, none is made."""
    return value is None or value.requires_grad


def _all(potential: TrainablePotential) -> list[tuple[str, Parameter]]:
    return [pair for parameters in potential.parameter_blocks().values() for pair in parameters]


def _trainable(subject: Subject) -> TrainablePotential:
    assert isinstance(subject.potential, TrainablePotential)
    return subject.potential
