"""The arrays that tensorpotential wants of structures and, in training, of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matscipy.neighbours import neighbour_list
from tensorpotential import constants as key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.potentials.isolated.worker import Batch, Frames

Arrays = dict[str, Any]
"""NumPy arrays by tensorpotential's names; numbers of atoms and structures are of type int32."""

PARTS = (key.PREDICT_TOTAL_ENERGY, key.PREDICT_FORCES, key.PREDICT_VIRIAL)
"""What the loss is of."""

OF_EDGES = {
    key.BOND_IND_I,
    key.BOND_IND_J,
    key.BOND_MU_I,
    key.BOND_MU_J,
    key.BOND_VECTOR,
    key.BONDS_TO_STRUCTURE_MAP,
}

OF_ATOMS = {
    key.ATOMIC_MU_I,
    key.ATOMS_TO_STRUCTURE_MAP,
    f"target {key.PREDICT_FORCES}",
    f"factor {key.PREDICT_FORCES}",
}

SIX = [0, 4, 8, 1, 2, 5]
"""xx, yy, zz, xy, xz, yz among the nine components."""

TIMES = np.array([1, 1, 1, 2, 2, 2])
"""How often each of them is among the nine."""

EDGES = 3500
"""Of structures that are computed together in training; with many more, less stays in a processor's cache."""

BEYOND = 50.0
"""Å, the length of edges that are there only to fill an array."""


def joined(batch: Batch, cutoff: float, species: Sequence[int]) -> Arrays:
    """The arrays that an expansion wants of B systems with N atoms and E edges."""
    places = {number: place for place, number in enumerate(species)}
    kinds = np.array([places[int(number)] for number in batch.numbers], dtype=np.int32)
    centres, neighbours, vectors, n_edges = [], [], [], []
    for start, (_, positions, cell, pbc) in zip(batch.ptr[:-1], batch.systems(), strict=True):
        i, j, vector = neighbour_list("ijD", positions=positions, cell=cell, pbc=pbc, cutoff=cutoff)
        centres.append(i + start)
        neighbours.append(j + start)
        vectors.append(vector)
        n_edges.append(len(i))
    centre = np.concatenate(centres).astype(np.int32)
    neighbour = np.concatenate(neighbours).astype(np.int32)
    n = len(batch.cells)
    return {
        key.ATOMIC_MU_I: kinds,
        key.ATOMS_TO_STRUCTURE_MAP: np.repeat(np.arange(n, dtype=np.int32), np.diff(batch.ptr)),
        key.BOND_IND_I: centre,
        key.BOND_IND_J: neighbour,
        key.BOND_MU_I: kinds[centre],
        key.BOND_MU_J: kinds[neighbour],
        key.BOND_VECTOR: np.concatenate(vectors).reshape(-1, 3),
        key.BONDS_TO_STRUCTURE_MAP: np.repeat(np.arange(n, dtype=np.int32), n_edges),
        key.N_ATOMS_BATCH_REAL: np.int32(len(kinds)),
        key.N_ATOMS_BATCH_TOTAL: np.int32(len(kinds)),
        key.N_STRUCTURES_BATCH_TOTAL: np.int32(n),
    }


def chunks(frames: Frames, p: dict[str, Any], species: Sequence[int]) -> list[Arrays]:
    """Groups of structures as ``joined`` gives them, with labels, all filled to the same size.

    ``target`` has the label for each of ``PARTS``, and ``factor`` what makes its squared error part of the loss.
    """
    singles = [structure_arrays(frames, i, p, species) for i in range(len(frames.energy))]
    capacity = max(EDGES, *(len(one[key.BOND_VECTOR]) for one in singles))
    groups: list[list[Arrays]] = [[]]
    n_edges = 0
    for one in singles:
        n_edges += len(one[key.BOND_VECTOR])
        if groups[-1] and n_edges > capacity:
            groups.append([])
            n_edges = len(one[key.BOND_VECTOR])
        groups[-1].append(one)
    merged = [merge(group) for group in groups]
    sizes = [max(len(group[name]) for group in merged) for name in (key.ATOMIC_MU_I, key.BOND_VECTOR)]
    n_structures = max(map(len, groups))
    return [filled(group, 1 + n_structures, 1 + sizes[0], sizes[1]) for group in merged]


def structure_arrays(frames: Frames, i: int, p: dict[str, Any], species: Sequence[int]) -> Arrays:
    """One structure with its labels."""
    first, last = frames.batch.ptr[i : i + 2]
    alone = frames.batch._replace(
        positions=frames.batch.positions[first:last],
        cells=frames.batch.cells[i : i + 1],
        pbc=frames.batch.pbc[i : i + 1],
        numbers=frames.batch.numbers[first:last],
        ptr=np.array([0, last - first]),
    )
    n, total = last - first, len(frames.energy)
    virial = -frames.stress[i].ravel()[SIX] * abs(np.linalg.det(frames.batch.cells[i]))
    known = np.isfinite(virial)
    targets = (frames.energy[i : i + 1, None], frames.forces[first:last], np.where(known, virial, 0.0)[None])
    factors = (
        np.full((1, 1), p["energy_weight"] / (n * n * total)),
        np.full((n, 3), p["forces_weight"] / (3 * len(frames.forces))),
        (known * TIMES * p["stress_weight"] / (9 * n * n * total))[None],
    )
    arrays = joined(alone, p["cutoff"], species)
    for part, target, factor in zip(PARTS, targets, factors, strict=True):
        arrays |= {f"target {part}": target, f"factor {part}": factor}
    return arrays


def merge(group: Sequence[Arrays]) -> Arrays:
    """Several structures as one batch."""
    n_atoms = np.cumsum([0, *(len(one[key.ATOMIC_MU_I]) for one in group)]).astype(np.int32)
    shifts = {key.BOND_IND_I: n_atoms, key.BOND_IND_J: n_atoms}
    places = np.arange(len(group), dtype=np.int32)
    shifts |= {key.ATOMS_TO_STRUCTURE_MAP: places, key.BONDS_TO_STRUCTURE_MAP: places}
    result = {}
    for name, value in group[0].items():
        parts = [one[name] + shifts[name][i] if name in shifts else one[name] for i, one in enumerate(group)]
        result[name] = np.concatenate(parts) if np.ndim(value) else np.sum(parts, dtype=np.int32)
    return result


def filled(batch: Arrays, n_structures: int, n_atoms: int, n_edges: int) -> Arrays:
    """The batch with atoms of a last structure, and edges of a last atom to itself, that count nothing."""
    last = {
        key.ATOMS_TO_STRUCTURE_MAP: n_structures - 1,
        key.BONDS_TO_STRUCTURE_MAP: n_structures - 1,
        key.BOND_IND_I: n_atoms - 1,
        key.BOND_IND_J: n_atoms - 1,
        key.BOND_VECTOR: BEYOND,
    }
    result = {}
    for name, value in batch.items():
        if np.ndim(value) == 0:
            result[name] = value
            continue
        size = n_edges if name in OF_EDGES else n_atoms if name in OF_ATOMS else n_structures
        widths = [(0, size - len(value))] + [(0, 0)] * (value.ndim - 1)
        result[name] = np.pad(value, widths, constant_values=last.get(name, 0))
    return result | {key.N_ATOMS_BATCH_TOTAL: np.int32(n_atoms), key.N_STRUCTURES_BATCH_TOTAL: np.int32(n_structures)}
