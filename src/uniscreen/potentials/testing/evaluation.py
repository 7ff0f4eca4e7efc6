"""Checks of a single evaluation: its form, and that it depends on the structure and on nothing else."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import torch

from uniscreen.potentials.testing.result import Deviation, Subject, largest
from uniscreen.potentials.testing.structures import ONE_ATOM
from uniscreen.potentials.testing.tolerances import CUDA_ROUNDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from uniscreen.potentials.base import Evaluation
    from uniscreen.structures.graph import AtomicGraph

UNITS = {
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "magnetic_moments": "μ_B",
    "energy_std": "eV/atom",
    "force_std": "eV/Å",
}


def shapes(subject: Subject) -> Iterator[Deviation]:
    """Energy (B,), forces (N, 3) and stress (B, 3, 3): float64, finite, detached, on the device; magnetic moments (N,).

    A committee's standard deviations: of energies (B,), of forces (N,). For all structures in one batch and for a
    one-atom cell alone. The error is the number of faults.
    """
    for where, structures in (
        ("all structures in a batch", list(subject.structures.values())),
        (ONE_ATOM, [subject.structures[ONE_ATOM]]),
    ):
        graph = subject.potential.graph(structures)
        faults = _faults(subject, graph, subject.potential.evaluate_graph(graph))
        yield Deviation(float(len(faults)), 0.0, "faults", "; ".join(faults) or where)


def _faults(subject: Subject, graph: AtomicGraph, evaluation: Evaluation) -> list[str]:
    """What is wrong with the form of an evaluation of the graph."""
    n_systems, n_atoms = graph.n_systems, len(graph.numbers)
    expected = {"energy": (n_systems,), "forces": (n_atoms, 3), "stress": (n_systems, 3, 3)}
    if subject.potential.card.magnetic_moments:
        expected["magnetic_moments"] = (n_atoms,)
    if evaluation.energy_std is not None:
        expected |= {"energy_std": (n_systems,), "force_std": (n_atoms,)}
    faults = []
    for name in evaluation._fields:
        value: Tensor | None = getattr(evaluation, name)
        if value is None or name not in expected:
            if (value is None) != (name not in expected):
                faults.append(f"{name} is {'missing' if value is None else 'there, but not by the card'}")
            continue
        if value.shape != expected[name]:
            faults.append(f"{name} has shape {tuple(value.shape)}, expected {expected[name]}")
        if value.dtype != torch.float64 and name != "magnetic_moments":
            faults.append(f"{name} is {value.dtype}, expected torch.float64 as the graph's geometry")
        if value.requires_grad:
            faults.append(f"{name} is not detached")
        if value.device != graph.positions.device:
            faults.append(f"{name} is on {value.device}, the graph on {graph.positions.device}")
        if not bool(torch.isfinite(value).all()):
            faults.append(f"{name} is not finite")
    return faults


def without_stress(subject: Subject) -> Iterator[Deviation]:
    """Not asking for the stress gives none, and the same energy and forces."""
    structures = list(subject.structures.values())
    graph = subject.potential.graph(structures)
    bare = subject.potential.evaluate_graph(graph, stress=False)
    full = subject.potential.evaluate_graph(subject.potential.graph(structures))
    yield Deviation(float(bare.stress is not None), 0.0, "faults", "the stress with stress=False")
    energy = float(((bare.energy - full.energy).abs() / graph.n_atoms).max())
    yield Deviation(energy, subject.tolerances.energy, "eV/atom", "energy with stress=False")
    forces = largest(bare.forces.cpu().numpy(), full.forces.cpu().numpy())
    yield Deviation(forces, subject.tolerances.forces, "eV/Å", "forces with stress=False")


def inputs_unchanged(subject: Subject) -> Iterator[Deviation]:
    """Evaluating changes neither the graph nor the structures."""
    structures = list(subject.structures.values())
    before = [atoms.copy() for atoms in structures]
    graph, untouched = subject.potential.graph(structures), subject.potential.graph(structures)
    subject.potential.evaluate_graph(graph)
    subject.potential.evaluate(structures)
    changed = [f"structure {i}" for i, atoms in enumerate(structures) if atoms != before[i]]
    changed += [
        f"graph.{name}"
        for name, value in _tensors(graph).items()
        if value.requires_grad or not torch.equal(value, _tensors(untouched)[name])
    ]
    where = f"changed: {', '.join(changed)}" if changed else "graph and structures"
    yield Deviation(float(len(changed)), 0.0, "changed", where)


def deterministic(subject: Subject) -> Iterator[Deviation]:
    """The same structures give the same numbers: to the last bit on a CPU, to rounding on a GPU."""
    structures = list(subject.structures.values())
    tolerance = 0.0 if subject.potential.device.type == "cpu" else CUDA_ROUNDING
    once = _tensors(subject.potential.evaluate_graph(subject.potential.graph(structures)))
    again = _tensors(subject.potential.evaluate_graph(subject.potential.graph(structures)))
    for name, value in once.items():
        yield Deviation(float((value - again[name]).abs().max()), tolerance, UNITS[name], name.replace("_", " "))


def batch_equals_single(subject: Subject) -> Iterator[Deviation]:
    """A structure has the same energy, forces and stress in a batch, in any place of it, as alone."""
    names = list(subject.structures)
    singles = subject.alone([subject.structures[name] for name in names])
    for order in (names, names[::-1]):
        batch = subject.potential.evaluate([subject.structures[name] for name in order], batch_size=len(order))
        for name, result in zip(order, batch, strict=True):
            yield from subject.compare(result, singles[names.index(name)], name)


def _tensors(record: AtomicGraph | Evaluation) -> dict[str, Tensor]:
    """The tensors among the fields of a graph or an evaluation."""
    names = record._fields if isinstance(record, tuple) else [field.name for field in fields(record)]
    return {name: getattr(record, name) for name in names if isinstance(getattr(record, name), torch.Tensor)}
