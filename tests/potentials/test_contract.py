"""What every potential promises, for all model cards: upstream's numbers, symmetries, derivatives, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_stress
from ase.data import chemical_symbols
from ase.stress import voigt_6_to_full_3x3_stress
from broken_potentials import Good
from pymatgen.core import Structure
from scipy.spatial.transform import Rotation

from uniscreen.errors import InputError, IsolatedAtomsError, UnsupportedElementError
from uniscreen.potentials import model_cards
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Evaluation, Potential, Prediction, SystemResult
    from uniscreen.structures.graph import AtomicGraph

LOW_SYMMETRY = ["Al slab", "SrTiO3", "quinary"]
CHGNET = [card.name for card in model_cards().values() if card.architecture == "CHGNet"]


def assert_close(ours: SystemResult, other: SystemResult, energy: float, forces: float, stress: float) -> None:
    """Tolerances: eV/atom, eV/Å, eV/Å³."""
    n_atoms = len(ours.forces)
    assert ours.energy / n_atoms == pytest.approx(other.energy / n_atoms, rel=0, abs=energy)
    np.testing.assert_allclose(ours.forces, other.forces, rtol=0, atol=forces)
    np.testing.assert_allclose(ours.stress, other.stress, rtol=0, atol=stress)
    assert (ours.magnetic_moments is None) == (other.magnetic_moments is None)
    if ours.magnetic_moments is not None:
        np.testing.assert_allclose(ours.magnetic_moments, other.magnetic_moments, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model_name", CHGNET, indirect=True)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")
def test_numbers_are_those_of_upstream(potential: Potential, upstream: Any, crystals: dict[str, Atoms]) -> None:
    """Against chgnet's predict_structure, one structure at a time, while ours are all in one batch."""
    from pymatgen.io.ase import AseAtomsAdaptor

    assert EV_PER_CUBIC_ANGSTROM_TO_GPA == 160.21766208  # what chgnet's stress conversion uses
    for (name, atoms), ours in zip(crystals.items(), potential.evaluate(list(crystals.values())), strict=True):
        theirs = upstream.predict_structure(AseAtomsAdaptor.get_structure(atoms), batch_size=1)
        assert ours.energy / len(atoms) == pytest.approx(float(theirs["e"]), rel=0, abs=1e-5), name
        np.testing.assert_allclose(ours.forces, theirs["f"], rtol=0, atol=1e-4, err_msg=name)
        stress_gpa = ours.stress * EV_PER_CUBIC_ANGSTROM_TO_GPA
        np.testing.assert_allclose(stress_gpa, theirs["s"], rtol=0, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(ours.magnetic_moments, theirs["m"], rtol=0, atol=1e-4, err_msg=name)


def test_a_batch_is_its_structures_one_by_one(potential: Potential, crystals: dict[str, Atoms]) -> None:
    structures = list(crystals.values())
    for batch_size in (3, 16):
        for atoms, result in zip(structures, potential.evaluate(structures, batch_size=batch_size), strict=True):
            assert_close(result, potential.evaluate([atoms])[0], energy=1e-6, forces=1e-5, stress=1e-6)


def test_shapes_and_kinds(potential: Potential, crystals: dict[str, Atoms]) -> None:
    for atoms, result in zip(crystals.values(), potential.evaluate(list(crystals.values())), strict=True):
        assert isinstance(result.energy, float)
        assert result.forces.shape == (len(atoms), 3)
        assert result.stress.shape == (3, 3)
        assert (result.magnetic_moments is not None) == potential.card.magnetic_moments
        if result.magnetic_moments is not None:
            assert result.magnetic_moments.shape == (len(atoms),)
        np.testing.assert_allclose(result.stress, result.stress.T, rtol=0, atol=1e-12)


def test_evaluation_is_detached_and_stress_is_optional(potential: Potential, crystals: dict[str, Atoms]) -> None:
    graph = potential.graph([crystals["SrTiO3"], crystals["Cu"]])
    full, bare = potential.evaluate_graph(graph), potential.evaluate_graph(graph, stress=False)
    assert bare.stress is None
    assert not any(tensor.requires_grad for tensor in full if tensor is not None)
    np.testing.assert_allclose(bare.energy, full.energy, rtol=0, atol=1e-6)
    np.testing.assert_allclose(bare.forces, full.forces, rtol=0, atol=1e-6)


def test_a_supercell_has_n_times_the_energy(potential64: Potential, crystals: dict[str, Atoms]) -> None:
    for name in ("Cu", "Na", "SrTiO3", "quinary"):
        single, double = potential64.evaluate([crystals[name], crystals[name] * (2, 1, 2)])
        assert double.energy == pytest.approx(4 * single.energy, rel=0, abs=1e-8)
        np.testing.assert_allclose(double.forces, np.tile(single.forces, (4, 1)), rtol=0, atol=1e-8)
        np.testing.assert_allclose(double.stress, single.stress, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", LOW_SYMMETRY)
def test_energy_is_invariant_and_forces_turn_with_the_crystal(
    name: str, potential64: Potential, crystals: dict[str, Atoms]
) -> None:
    atoms = crystals[name]
    rng = np.random.default_rng(0)
    turn = Rotation.random(rng=rng).as_matrix()
    order = rng.permutation(len(atoms))
    turned, wrapped, moved = atoms.copy(), atoms.copy(), atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    wrapped.positions += rng.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    moved.positions += [0.3, -1.7, 11.0]

    original, a, b, c, d = potential64.evaluate([atoms, turned, atoms[order], wrapped, moved])
    rotated = original._replace(forces=original.forces @ turn.T, stress=turn @ original.stress @ turn.T)
    moments = original.magnetic_moments
    permuted = original._replace(
        forces=original.forces[order], magnetic_moments=None if moments is None else moments[order]
    )
    for result, expected in [(a, rotated), (b, permuted), (c, original), (d, original)]:
        assert_close(result, expected, energy=1e-6, forces=1e-6, stress=1e-7)


def test_another_choice_of_lattice_vectors_is_the_same_crystal(
    potential64: Potential, crystals: dict[str, Atoms]
) -> None:
    atoms = crystals["quinary"]
    skewed = atoms.copy()
    skewed.set_cell([[1, 0, 0], [2, 1, 0], [-1, 3, 1]] @ atoms.cell.array)
    results = potential64.evaluate([atoms, skewed])
    assert_close(*results, energy=1e-9, forces=1e-8, stress=1e-9)


@pytest.mark.parametrize("name", CHGNET)
def test_a_bond_as_long_as_the_cutoff_of_angles_is_seen_alike_from_both_ends(
    name: str, loaded: Callable[..., Potential]
) -> None:
    """Its length seen from one end is, after rounding, 3 Å in some of these crystals, and just less from the other."""
    origins = np.random.default_rng(0).uniform(-3.0, 6.0, (60, 3))
    crystals = [
        Atoms("CuO", x + np.array([[0.0, 0.0, 0.0], [1.4, 1.5, 1.6]]), cell=[3.0, 3.0, 5.0], pbc=True) for x in origins
    ]
    first, *others = loaded(name, "float64").evaluate(crystals)
    for other in others:
        assert_close(other, first, 1e-9, 1e-9, 1e-9)


@pytest.mark.parametrize("name", LOW_SYMMETRY)
def test_forces_are_the_derivative_of_the_energy(name: str, potential64: Potential, crystals: dict[str, Atoms]) -> None:
    """Central finite differences, for two atoms of each crystal."""
    atoms, h = crystals[name], 1e-4
    moves = [(i, k) for i in range(2) for k in range(3)]
    displaced = []
    for (i, k), sign in [(move, sign) for move in moves for sign in (1, -1)]:
        displaced.append(atoms.copy())
        displaced[-1].positions[i, k] += sign * h
    energy = np.reshape([result.energy for result in potential64.evaluate(displaced)], (-1, 2))
    forces = potential64.evaluate([atoms])[0].forces
    assert abs(forces).max() > 0.1
    np.testing.assert_allclose(
        [forces[move] for move in moves], (energy[:, 1] - energy[:, 0]) / (2 * h), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("name", LOW_SYMMETRY)
def test_stress_is_the_derivative_of_the_energy_by_strain(
    name: str, potential64: Potential, crystals: dict[str, Atoms]
) -> None:
    """Central finite differences of E under x -> x (1 + ε) for each symmetric ε, over the volume."""
    atoms, h = crystals[name], 1e-5
    strained = []
    directions = []
    for i, j in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
        direction = np.zeros((3, 3))
        direction[i, j] += 0.5
        direction[j, i] += 0.5
        directions.append(direction)
        for sign in (1, -1):
            strained.append(atoms.copy())
            strained[-1].set_cell(atoms.cell.array @ (np.eye(3) + sign * h * direction), scale_atoms=True)
    energy = np.reshape([result.energy for result in potential64.evaluate(strained)], (-1, 2))
    numerical = (energy[:, 0] - energy[:, 1]) / (2 * h * atoms.get_volume())
    stress = potential64.evaluate([atoms])[0].stress
    assert abs(stress - np.diag(np.diag(stress))).max() > 1e-4  # the shear components are put to the test
    np.testing.assert_allclose([(stress * d).sum() for d in directions], numerical, rtol=0, atol=1e-6)


def test_tension_is_positive(potential: Potential) -> None:
    stretched, squeezed = potential.evaluate([bulk("Cu", "fcc", a=3.8), bulk("Cu", "fcc", a=3.4)])
    assert np.trace(stretched.stress) > 0 > np.trace(squeezed.stress)


def test_the_same_input_gives_the_same_bits(potential: Potential, crystals: dict[str, Atoms]) -> None:
    structures = list(crystals.values())
    for once, again in zip(potential.evaluate(structures), potential.evaluate(structures), strict=True):
        for a, b in zip(once, again, strict=True):
            np.testing.assert_array_equal(a, b)


def test_inputs_are_not_changed(potential: Potential, crystals: dict[str, Atoms]) -> None:
    before = {name: atoms.copy() for name, atoms in crystals.items()}
    graph = potential.graph(list(crystals.values()))
    positions, cells = graph.positions.clone(), graph.cells.clone()
    potential.evaluate_graph(graph)
    potential.evaluate(list(crystals.values()))
    assert crystals == before
    assert (graph.positions == positions).all()
    assert (graph.cells == cells).all()
    assert not graph.positions.requires_grad


def test_an_unknown_element_is_named_with_its_structure(potential: Potential) -> None:
    structures = [bulk("Cu", "fcc", a=3.6) for _ in range(5)] + [bulk("Po", "sc", a=3.3)]
    for batch_size in (2, 16):
        with pytest.raises(UnsupportedElementError, match=rf"structure 5 holds Po.*{potential.card.name}"):
            potential.evaluate(structures, batch_size=batch_size)
    assert potential.card.unsupported_elements(np.array([84, 29, 118, 84])) == ["Og", "Po"]


def test_r2scan_knows_the_elements_with_a_fitted_reference_energy(loaded: Callable[..., Potential]) -> None:
    """The fit leaves rounding noise (1e-14 eV) for an element that its training data do not hold."""
    potential = loaded("chgnet-r2scan")
    energies = zip(chemical_symbols, potential._references.tolist(), strict=True)
    assert potential.card.elements == {symbol for symbol, energy in energies if abs(energy) > 1e-6}


def test_an_isolated_atom_is_refused_with_its_structure(potential: Potential, crystals: dict[str, Atoms]) -> None:
    apart = Atoms("H3", [[0, 0, 0], [0.8, 0, 0], [10, 10, 10]], cell=[20, 20, 20], pbc=True)
    for batch_size in (1, 16):
        with pytest.raises(IsolatedAtomsError, match=rf"atom 2 of structure 1 .* {potential.card.cutoff:g} Å"):
            potential.evaluate([crystals["Cu"], apart], batch_size=batch_size)


def test_gradients_that_are_switched_off_outside_are_not_missed(crystals: dict[str, Atoms]) -> None:
    expected = Good().evaluate([crystals["Cu"]])[0]
    with torch.no_grad():
        assert_close(Good().evaluate([crystals["Cu"]])[0], expected, 0.0, 0.0, 0.0)


class Limited(Good):
    """Has memory for so many atoms, and remembers the batches that it was asked for."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.batches = most, list[int]()

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        self.batches.append(graph.n_systems)
        if len(graph.numbers) > self.most:
            raise torch.OutOfMemoryError
        return super().evaluate_graph(graph, stress=stress)


@torch.jit.script
def _fail(zero: torch.Tensor) -> torch.Tensor:
    """Have an operator fail in TorchScript, as one that gets no memory does."""
    return torch._functional_assert_async(zero, "CUDA out of memory. Tried to allocate 2.00 GiB.", zero)


class LimitedInTorchScript(Limited):
    """As layers of MACE: torch does not say torch.OutOfMemoryError of what TorchScript runs."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        return Good.evaluate_graph(self, graph, stress=stress)

    def predict(self, graph: AtomicGraph) -> Prediction:
        self.batches.append(graph.n_systems)
        if len(graph.numbers) > self.most:
            _fail(graph.positions[0, 0] * 0)
        return super().predict(graph)


@pytest.mark.parametrize("kind", [Limited, LimitedInTorchScript])
def test_batches_are_bounded_by_their_atoms_and_the_memory(kind: type[Limited]) -> None:
    structures = [bulk("Cu", "fcc", a=3.6 + 0.01 * k, cubic=True) * (4, 4, 1 + k % 3) for k in range(18)]
    assert sum(map(len, structures)) == 18 * 128
    expected = [one.energy for one in Good().evaluate(structures, batch_size=1)]
    for most, batches in ((10_000, [8, 7, 3]), (400, [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2])):
        potential = kind(most)
        assert [one.energy for one in potential.evaluate(structures)] == pytest.approx(expected, rel=1e-12)
        assert potential.batches == batches
    with pytest.raises(torch.OutOfMemoryError):
        kind(100).evaluate(structures)


def test_a_potential_shows_what_it_is() -> None:
    assert repr(Good()) == f"<Good {Good().card.name} on cpu>"


def test_no_structures_give_no_results(potential: Potential) -> None:
    assert potential.evaluate([]) == []


@pytest.mark.parametrize(
    ("structures", "named"),
    [
        (bulk("Cu"), "structure 0 of the Atoms given is of the type Atom; expected a list of ASE Atoms"),
        ([bulk("Cu"), Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["Po"], [[0, 0, 0]])], "structure 1 of the list"),
    ],
    ids=["one that is in no list", "one of pymatgen"],
)
def test_what_is_no_list_of_atoms_is_refused(structures: Any, named: str) -> None:
    for take in (Good().evaluate, Good().graph):
        with pytest.raises(InputError, match=named):
            take(structures)


def test_the_ase_calculator_gives_the_same_numbers(potential: Potential, crystals: dict[str, Atoms]) -> None:
    atoms = crystals["quinary"]
    atoms.calc = potential.calculator()
    result = potential.evaluate([atoms])[0]
    assert atoms.get_potential_energy() == result.energy
    assert atoms.get_potential_energy(force_consistent=True) == result.energy
    np.testing.assert_array_equal(atoms.get_forces(), result.forces)
    if result.magnetic_moments is not None:
        np.testing.assert_array_equal(atoms.get_magnetic_moments(), result.magnetic_moments)
    assert atoms.get_stress().shape == (6,)
    np.testing.assert_allclose(voigt_6_to_full_3x3_stress(atoms.get_stress()), result.stress, rtol=0, atol=1e-9)


def test_the_ase_calculator_follows_the_atoms(potential: Potential, crystals: dict[str, Atoms]) -> None:
    atoms = crystals["SrTiO3"]
    atoms.calc = potential.calculator()
    first = atoms.get_potential_energy()
    atoms.positions[0, 0] += 0.2
    assert atoms.get_potential_energy() != first
    assert atoms.get_potential_energy() == potential.evaluate([atoms])[0].energy


def test_atoms_that_the_ase_calculator_cannot_evaluate_have_no_numbers_of_others(crystals: dict[str, Atoms]) -> None:
    calculator = Good().calculator()
    calculator.calculate(crystals["Cu"])
    lonely = Atoms("Cu", cell=[30, 30, 30], pbc=True)
    with pytest.raises(IsolatedAtomsError):
        calculator.calculate(lonely)
    lonely.calc = calculator
    with pytest.raises(IsolatedAtomsError):
        lonely.get_potential_energy()


def test_the_ase_calculator_has_ase_voigt_order(potential64: Potential, crystals: dict[str, Atoms]) -> None:
    """Against ASE's own finite differences (xx, yy, zz, yz, xz, xy)."""
    atoms = crystals["quinary"]
    atoms.calc = potential64.calculator()
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    assert len(set(np.round(numerical, 5))) == 6
    np.testing.assert_allclose(atoms.get_stress(), numerical, rtol=0, atol=1e-6)
