"""The batched neighbour list against ASE's, and what the graph says about its systems."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc100
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from uniscreen.structures import neighbours
from uniscreen.structures.graph import AtomicGraph

BOUNDARY = 1e-9  # Å; a pair this close to the cutoff may be on either side of it

PATHS = {
    "enumeration": {"PAIRS_PER_SYSTEM": {"cpu": 10**9}},
    "cell list": {"PAIRS_PER_SYSTEM": {"cpu": 0}},
    "small chunks": {"PAIRS_PER_SYSTEM": {"cpu": 10**9}, "PAIRS_PER_CHUNK": 50},
    "both": {"PAIRS_PER_SYSTEM": {"cpu": 2000}, "PAIRS_PER_CHUNK": 700},
}


def build(structures: list[Atoms], cutoff: float, path: str = "enumeration") -> AtomicGraph:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATHS[path].items():
            patch.setattr(neighbours, name, value)
        return AtomicGraph.from_atoms(structures, cutoff)


def edges_of(graph: AtomicGraph, system: int) -> Counter[tuple[int, ...]]:
    """(centre, neighbour, shift) of each edge of a system, counted; without those at the cutoff."""
    inside = (graph.edge_vectors.norm(dim=1) - graph.cutoff).abs() > BOUNDARY
    mine = (graph.system[graph.edge_index[0]] == system) & inside
    index = graph.edge_index[:, mine] - graph.ptr[system]
    rows = torch.cat([index.T, graph.edge_shift[mine].round().long()], dim=1)
    return Counter(map(tuple, rows.tolist()))


def ase_edges(atoms: Atoms, cutoff: float) -> Counter[tuple[int, ...]]:
    """The same by ASE's primitive_neighbor_list."""
    cell = atoms.cell.complete().array
    i, j, shift, d = primitive_neighbor_list("ijSd", atoms.pbc, cell, atoms.positions, cutoff + 1e-6)
    inside = d < cutoff - BOUNDARY
    return Counter(map(tuple, np.column_stack([i, j, shift])[inside].tolist()))


def assert_same_as_ase(structures: list[Atoms], cutoff: float, path: str) -> None:
    graph = build(structures, cutoff, path)
    for k, atoms in enumerate(structures):
        assert edges_of(graph, k) == ase_edges(atoms, cutoff), (path, k)


@st.composite
def random_crystals(draw: st.DrawFn) -> Atoms:
    """Triclinic, 1 to 5 atoms in and outside the cell, any periodic directions."""
    component = st.floats(-4.0, 4.0)
    cell = np.array(draw(st.lists(st.lists(component, min_size=3, max_size=3), min_size=3, max_size=3)))
    cell += np.diag(draw(st.lists(st.sampled_from([-4.5, 4.5, 6.0]), min_size=3, max_size=3)))
    if abs(np.linalg.det(cell)) < 1.0 or (1 / np.linalg.norm(np.linalg.inv(cell), axis=0)).min() < 1.2:
        cell = np.diag([2.0, 3.0, 4.0]) + np.triu(cell, 1)
    n = draw(st.integers(1, 5))
    fractional = draw(st.lists(st.floats(-2.5, 2.5), min_size=3 * n, max_size=3 * n))
    pbc = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    return Atoms(f"H{n}", scaled_positions=np.reshape(fractional, (n, 3)), cell=cell, pbc=pbc)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(random_crystals(), min_size=1, max_size=4), st.floats(2.0, 5.0))
def test_edges_are_those_of_ase_for_random_batches(structures: list[Atoms], cutoff: float) -> None:
    for path in PATHS:
        assert_same_as_ase(structures, cutoff, path)


def skewed() -> Atoms:
    """An fcc cell whose vectors are replaced by long combinations of themselves: the same crystal."""
    atoms = bulk("Cu", "fcc", a=3.6)
    return Atoms(
        "Cu", positions=[[30.0, -20.0, 7.0]], cell=[[1, 0, 0], [7, 1, 0], [-5, 6, 1]] @ atoms.cell.array, pbc=True
    )


def vacuum_slab() -> Atoms:
    slab = fcc100("Al", (2, 2, 3), vacuum=10.0)
    slab.rattle(0.1, seed=0)
    return slab


def shifted() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(0.2, seed=1)
    atoms.positions += np.random.default_rng(2).integers(-3, 4, (8, 3)) @ atoms.cell.array
    return atoms


NAMED = {
    "one atom": lambda: bulk("Na", "bcc", a=4.2),
    "short one-atom cell": lambda: Atoms("H", cell=[1.1, 1.3, 9.0], pbc=True),
    "skewed": skewed,
    "vacuum slab": vacuum_slab,
    "atoms outside the cell": shifted,
    "chain": lambda: Atoms("C2", [[0, 0, 0], [1.2, 5.0, -7.0]], cell=[2.6, 3.0, 3.0], pbc=[True, False, False]),
    "molecule without a cell": lambda: Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
    "large": lambda: bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NAMED)
def test_edges_are_those_of_ase_for_hard_cells(name: str, path: str) -> None:
    assert_same_as_ase([NAMED[name]()], 5.0, path)


@pytest.mark.parametrize("path", PATHS)
def test_a_batch_of_mixed_sizes_keeps_its_systems_apart(path: str) -> None:
    structures = [make() for make in NAMED.values()]
    assert_same_as_ase(structures, 4.5, path)
    graph = build(structures, 4.5, path)
    assert torch.equal(*graph.system[graph.edge_index])
    assert graph.n_systems == len(structures)
    assert graph.n_atoms.tolist() == [len(atoms) for atoms in structures]


def test_coordination_numbers_of_fcc_shells() -> None:
    """12, 6, 24, 12 neighbours in the shells at a/√2, a, a√1.5, a√2 (Ashcroft & Mermin, Solid State Physics)."""
    a = 3.6
    for cell in (bulk("Cu", "fcc", a=a), skewed()):
        lengths = AtomicGraph.from_atoms([cell], 1.45 * a).edge_vectors.norm(dim=1) / a
        shells = Counter(round(float(x) ** 2, 6) for x in lengths)
        assert shells == {0.5: 12, 1.0: 6, 1.5: 24, 2.0: 12}


@pytest.mark.parametrize("path", PATHS)
def test_the_second_half_of_the_edges_is_the_first_half_reversed(path: str) -> None:
    graph = build([make() for make in NAMED.values()], 5.0, path)
    half = graph.edge_index.shape[1] // 2
    assert graph.edge_index.shape[1] == 2 * half
    assert torch.equal(graph.edge_index[:, half:], graph.edge_index[:, :half].flip(0))
    torch.testing.assert_close(graph.edge_vectors[half:], -graph.edge_vectors[:half], rtol=0, atol=1e-12)
    assert float(graph.edge_vectors.norm(dim=1).max()) < 5.0


@pytest.mark.parametrize("path", PATHS)
def test_edge_vectors_join_the_atoms_as_given(path: str) -> None:
    """Against ASE's vectors "D", which follow the positions outside the cell too."""
    atoms = shifted()
    graph = build([atoms], 4.0, path)
    i, j, shift, vectors = primitive_neighbor_list("ijSD", atoms.pbc, atoms.cell.array, atoms.positions, 4.0)
    expected = dict(zip(map(tuple, np.column_stack([i, j, shift]).tolist()), vectors, strict=True))
    rows = torch.cat([graph.edge_index.T, graph.edge_shift.long()], dim=1).tolist()
    for row, vector in zip(rows, graph.edge_vectors.numpy(), strict=True):
        np.testing.assert_allclose(vector, expected[tuple(row)], rtol=0, atol=1e-12)


def test_the_cutoff_is_exclusive_on_both_paths() -> None:
    cubic = Atoms("H", cell=[2.0, 2.0, 2.0], pbc=True)
    for path, (cutoff, n_edges) in itertools.product(PATHS, [(2.0, 0), (2.0 + 1e-9, 6)]):
        assert build([cubic], cutoff, path).edge_index.shape[1] == n_edges, (path, cutoff)


def test_shortest_distances() -> None:
    alone = Atoms("H", cell=[20.0, 20.0, 20.0], pbc=True)
    graph = AtomicGraph.from_atoms([bulk("Cu", "fcc", a=3.6), alone, shifted()], 5.0)
    d = primitive_neighbor_list("d", [True] * 3, shifted().cell.array, shifted().positions, 5.0)
    expected = [3.6 / np.sqrt(2), np.inf, d.min()]
    np.testing.assert_allclose(graph.shortest_distances(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_isolated_atoms(path: str) -> None:
    pair_and_one = Atoms("H3", [[0, 0, 0], [1, 0, 0], [10, 10, 10]], cell=[20.0, 20.0, 20.0], pbc=True)
    last = Atoms("H", cell=[20.0, 20.0, 20.0], pbc=True)
    graph = build([pair_and_one, bulk("Cu", "fcc", a=3.6), last], 5.0, path)
    assert graph.isolated_atoms().tolist() == [False, False, True, False, True]


def test_volumes_are_positive_for_left_handed_cells() -> None:
    atoms = Atoms("H", cell=[[0, 2, 0], [3, 0, 0], [1, 1, 4]], pbc=True)
    np.testing.assert_allclose(AtomicGraph.from_atoms([atoms], 3.0).volumes, [24.0])


def test_strain_deforms_every_vector_and_keeps_the_edges() -> None:
    graph = AtomicGraph.from_atoms([shifted(), skewed()], 5.0)
    strain = 0.01 * torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    symmetric = 0.5 * (strain + strain.transpose(1, 2))
    strained = graph.strained(graph.positions, strain)
    deformation = (torch.eye(3) + symmetric)[graph.system[graph.edge_index[0]]]
    expected = torch.einsum("ei,eij->ej", graph.edge_vectors, deformation)
    torch.testing.assert_close(strained.edge_vectors, expected, rtol=0, atol=1e-10)
    assert strained.edge_index is graph.edge_index


def test_an_antisymmetric_strain_changes_nothing() -> None:
    graph = AtomicGraph.from_atoms([shifted()], 5.0)
    rotation = torch.tensor([[[0.0, 0.1, 0.2], [-0.1, 0.0, -0.3], [-0.2, 0.3, 0.0]]], dtype=torch.float64)
    strained = graph.strained(graph.positions, rotation)
    assert torch.equal(strained.positions, graph.positions)
    assert torch.equal(strained.cells, graph.cells)


@pytest.mark.parametrize("path", PATHS)
def test_inputs_are_not_changed(path: str) -> None:
    structures = [make() for make in NAMED.values()]
    before = [atoms.copy() for atoms in structures]
    graph = build(structures, 5.0, path)
    graph.positions.add_(1.0)
    graph.cells.mul_(2.0)
    assert structures == before


def test_building_does_not_change_its_tensors() -> None:
    made = AtomicGraph.from_atoms([shifted(), skewed()], 5.0)
    inputs = (made.positions, made.cells, made.pbc, made.numbers, made.ptr)
    copies = [tensor.clone() for tensor in inputs]
    AtomicGraph.build(*inputs, cutoff=5.0)
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))
