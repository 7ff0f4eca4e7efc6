"""Relaxations against ASE's FIRE on its FrechetCellFilter, against an analytic crystal, and many in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE
from scipy.optimize import minimize_scalar

from toy_potentials import LennardJones, lennard_jones
from uniscreen.potentials.chgnet import WORK_OF_ANGLE
from uniscreen.relaxation import lbfgs
from uniscreen.relaxation.inflight import InFlightRelaxer, relax
from uniscreen.relaxation.result import Relaxation, RelaxationSettings
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Evaluation, Potential
    from uniscreen.relaxation.optimisers import Optimiser


def lj_crystals() -> list[Atoms]:
    """One to eight atoms, strained and rattled; neon's number stands for any."""
    crystals = []
    for seed, (symbol, structure, a, size) in enumerate(
        [
            ("Ne", "fcc", 3.9, (1, 1, 1)),
            ("Ne", "fcc", 4.1, (2, 1, 1)),
            ("Ne", "bcc", 3.1, (2, 1, 2)),
            ("Ne", "fcc", 4.0, (2, 2, 2)),
            ("Ne", "hcp", 2.7, (1, 1, 1)),
            ("Ne", "fcc", 3.7, (3, 1, 1)),
        ]
    ):
        atoms = bulk(symbol, structure, a=a) * size
        rng = np.random.default_rng(seed)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.04, 0.04, (3, 3))), scale_atoms=True)
        atoms.rattle(0.08, rng=rng)
        crystals.append(atoms)
    return crystals


def ase_fire(atoms: Atoms, potential: Potential, fmax: float, steps: int) -> tuple[Atoms, FIRE]:
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
    optimizer.run(fmax=fmax, steps=steps)
    return atoms, optimizer


def ase_residual(start: Atoms, relaxation: Relaxation, potential: Potential) -> float:
    """ASE's criterion for the end of a relaxation: the largest row of the filter's forces."""
    atoms = start.copy()
    cell_filter = FrechetCellFilter(atoms)
    atoms.set_cell(relaxation.atoms.cell)
    atoms.set_positions(relaxation.atoms.positions)
    atoms.calc = potential.calculator()
    return float(np.linalg.norm(cell_filter.get_forces(), axis=1).max())


def assert_same_geometry(ours: Atoms, theirs: Atoms, tolerance: float) -> None:
    np.testing.assert_allclose(ours.cell.array, theirs.cell.array, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours.positions, theirs.positions, rtol=0, atol=tolerance)


def assert_same_end(a: Relaxation, b: Relaxation) -> None:
    """The same end up to rounding, whatever else was in the batch."""
    assert (a.status, a.reason, a.n_steps) == (b.status, b.reason, b.n_steps)
    assert a.energy == pytest.approx(b.energy, rel=0, abs=1e-8)
    assert_same_geometry(a.atoms, b.atoms, 1e-8)


@pytest.mark.parametrize("max_steps", [1, 7, 25])
def test_the_path_is_that_of_ase(max_steps: int) -> None:
    """A fixed number of steps, all crystals in one batch; ASE takes them one by one."""
    potential, crystals = LennardJones(), lj_crystals()
    ours = relax(potential, crystals, RelaxationSettings(1e-12, max_steps, "fire"))
    for start, relaxation in zip(crystals, ours, strict=True):
        atoms, optimizer = ase_fire(start, potential, 1e-12, max_steps)
        assert relaxation.n_steps == optimizer.nsteps == max_steps
        assert_same_geometry(relaxation.atoms, atoms, 1e-8)
        assert relaxation.energy == pytest.approx(atoms.get_potential_energy(), rel=0, abs=1e-8)


@pytest.mark.parametrize("fmax", [0.1, 0.005])
def test_the_end_is_that_of_ase(fmax: float) -> None:
    """Ours may ask for more (the force in the frame of the crystal too), so it never stops before ASE does."""
    potential, crystals = LennardJones(), lj_crystals()
    for start, ours in zip(
        crystals, relax(potential, crystals, RelaxationSettings(fmax, optimiser="fire")), strict=True
    ):
        atoms, optimizer = ase_fire(start, potential, fmax, 500)
        assert ours.status == "ok"
        assert ase_residual(start, ours, potential) < fmax
        assert ours.max_force < fmax
        assert optimizer.nsteps <= ours.n_steps <= optimizer.nsteps + 1
        if ours.n_steps == optimizer.nsteps:
            assert_same_geometry(ours.atoms, atoms, 1e-6)


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
def test_in_a_cell_that_is_kept_the_atoms_end_where_ase_has_them(optimiser: Optimiser) -> None:
    potential, crystals = LennardJones(), lj_crystals()
    settings = RelaxationSettings(1e-4, optimiser=optimiser, relax_cell=False)
    for start, ours in zip(crystals, relax(potential, crystals, settings), strict=True):
        atoms = start.copy()
        atoms.calc = potential.calculator()
        BFGS(atoms, logfile=None).run(fmax=1e-4, steps=500)
        assert ours.status == "ok"
        np.testing.assert_array_equal(ours.atoms.cell.array, start.cell.array)
        assert ours.max_force < 1e-4
        assert ours.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert ours.max_stress > 1e-3  # which is not asked about


def test_what_has_no_cell_relaxes_as_ase_has_it() -> None:
    """A molecule and a slab without c, beside a crystal; vectors that are missing stay away."""
    molecule = Atoms("Ne3", [[0, 0, 0], [2.9, 0, 0], [1.3, 2.6, 0.2]])
    slab = fcc111("Ne", (1, 1, 3), a=4.0)
    slab.rattle(0.1, seed=1)
    structures = [molecule, slab, lj_crystals()[1]]
    settings = RelaxationSettings(1e-4, relax_cell=False)
    for atoms, ours in zip(structures, relax(LennardJones(), structures, settings), strict=True):
        theirs = atoms.copy()
        theirs.calc = LennardJones().calculator()
        BFGS(theirs, logfile=None).run(fmax=1e-5, steps=500)
        assert (ours.status, ours.reason) == ("ok", "")
        assert ours.n_steps > 0
        assert ours.energy == pytest.approx(theirs.get_potential_energy(), abs=1e-6)
        np.testing.assert_array_equal(ours.atoms.cell.array, atoms.cell.array)


@pytest.mark.parametrize("name", ["quinary", "Al slab", "Na"])
def test_the_path_of_chgnet_is_that_of_ase(
    name: str, loaded: Callable[..., Potential], crystals: dict[str, Atoms]
) -> None:
    potential, start = loaded("chgnet-0.3.0", "float64"), crystals[name]
    [ours] = relax(potential, [start], RelaxationSettings(1e-9, 25, "fire"))
    atoms, optimizer = ase_fire(start, potential, 1e-9, 25)
    assert (ours.status, ours.n_steps, optimizer.nsteps) == ("not_converged", 25, 25)
    assert_same_geometry(ours.atoms, atoms, 1e-8)


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
def test_lennard_jones_fcc_reaches_its_lattice_constant(optimiser: Optimiser) -> None:
    """Against the minimum of the same lattice sum over a, found by scipy in one dimension."""
    n = np.array([(i, j, k) for i in range(-9, 10) for j in range(-9, 10) for k in range(-9, 10)])
    fcc = n[(n.sum(axis=1) % 2 == 0) & (n != 0).any(axis=1)] / 2  # in units of a

    def energy(a: float) -> float:
        r = a * np.linalg.norm(fcc, axis=1)
        r = r[r < 6.0]
        return float(0.5 * (lennard_jones(r) * (1 - (r / 6.0) ** 2) ** 3).sum())

    best = minimize_scalar(energy, bounds=(3.3, 4.2), method="bounded", options={"xatol": 1e-9})
    start = bulk("Ne", "fcc", a=3.9)
    start.set_cell(start.cell.array @ [[1.03, 0.02, 0], [0, 0.98, 0.01], [0, 0, 1.01]], scale_atoms=True)
    [relaxed] = relax(LennardJones(), [start], RelaxationSettings(1e-7, 1000, optimiser))
    assert relaxed.status == "ok"
    assert (4 * relaxed.atoms.get_volume()) ** (1 / 3) == pytest.approx(best.x, abs=1e-6)
    assert relaxed.energy == pytest.approx(best.fun, abs=1e-9)
    gram = relaxed.atoms.cell.array @ relaxed.atoms.cell.array.T
    np.testing.assert_allclose(gram, best.x**2 / 4 * (np.ones((3, 3)) + np.eye(3)), rtol=0, atol=1e-5)
    assert relaxed.max_stress < 1e-7


@pytest.mark.parametrize("limit", [1, 500, 1000, 1e6])
def test_many_in_flight_end_as_each_alone(limit: float) -> None:
    potential, crystals = LennardJones(), lj_crystals() * 2
    settings = RelaxationSettings(fmax=0.01)
    alone = [relax(potential, [atoms], settings)[0] for atoms in crystals]
    together = relax(potential, crystals, settings, limit=limit)
    assert [result.key for result in together] == list(range(len(crystals)))
    assert len({result.n_steps for result in alone}) > 3  # they leave the batch at different steps
    for start, a, b in zip(crystals, alone, together, strict=True):
        assert len(b.atoms) == len(start)
        assert_same_end(a, b)


def test_many_in_flight_of_chgnet_end_as_each_alone(
    loaded: Callable[..., Potential], crystals: dict[str, Atoms]
) -> None:
    """In float64: which way the quinary takes in float32 depends on how the sums of a batch are rounded."""
    potential = loaded("chgnet-0.3.0", "float64")
    structures = [crystals[name] for name in ("Na", "quinary", "Si", "Cu")]
    settings = RelaxationSettings(fmax=0.05, max_steps=200)
    together = relax(potential, structures, settings, limit=2000)
    for start, ours in zip(structures, together, strict=True):
        [alone] = relax(potential, [start], settings)
        assert (ours.status, ours.n_steps) == (alone.status, alone.n_steps)
        assert ours.status == "ok"
        assert ours.energy / len(start) == pytest.approx(alone.energy / len(start), rel=0, abs=1e-5)
        again = potential.evaluate([ours.atoms])[0]
        assert ours.energy / len(start) == pytest.approx(again.energy / len(start), rel=0, abs=1e-6)
        np.testing.assert_allclose(ours.atoms.get_initial_magnetic_moments(), again.magnetic_moments, rtol=0, atol=1e-5)


def test_in_flight_chgnet_0_2_0_without_angles_beside_one_with(
    loaded: Callable[..., Potential], crystals: dict[str, Atoms]
) -> None:
    """Na has no angles in CHGNet's bond graph, and 0.2.0 treats such a batch otherwise than a structure alone."""
    potential = loaded("chgnet-0.2.0")
    structures = [crystals["Na"], crystals["Cu"], crystals["Si"]]
    for start, ours in zip(structures, relax(potential, structures), strict=True):
        [alone] = relax(potential, [start])
        assert ours.n_steps == alone.n_steps
        assert ours.energy / len(start) == pytest.approx(alone.energy / len(start), rel=0, abs=1e-5)


def test_the_room_of_a_relaxer() -> None:
    """In edges; an atom of this crystal has 54 neighbours within 6 Å (fcc, the shells up to 2.1 times the first)."""
    neon = bulk("Ne", "fcc", a=4.0) * (3, 1, 1)
    relaxer = InFlightRelaxer(LennardJones(), RelaxationSettings(), limit=4 * 54)
    assert relaxer.work(neon) == 3 * 54
    assert relaxer.has_room(10_000)  # an empty one takes any
    assert relaxer.step() == []
    relaxer.add(7, neon, relaxer.work(neon))
    assert len(relaxer) == 1
    assert relaxer.has_room(54)
    assert not relaxer.has_room(55)


def test_the_work_of_chgnet_counts_the_angles(loaded: Callable[..., Potential], crystals: dict[str, Atoms]) -> None:
    """Na has no bond below 3 Å; an atom of diamond (2.38 Å) has four, which make 4 x 3 ordered angles."""
    potential = loaded("chgnet-0.3.0")
    graph = potential.graph([crystals["Na"], crystals["Si"]])
    edges = [int((graph.system[graph.edge_index[0]] == i).sum()) for i in range(2)]
    assert potential.cost.of(graph).tolist() == [edges[0], edges[1] + WORK_OF_ANGLE * 2 * 12]


class FullMemory(LennardJones):
    """Has memory for a number of edges, from the given evaluation on."""

    def __init__(self, n_edges: int, first: int = 1) -> None:
        super().__init__()
        self.n_edges = n_edges
        self.first = first
        self.evaluated: list[int] = []
        self.refused = 0

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        if len(self.evaluated) + 1 >= self.first and graph.edge_index.shape[1] > self.n_edges:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.evaluated.append(graph.n_systems)
        return super().evaluate_graph(graph, stress=stress)


@pytest.mark.parametrize("first", [1, 6])
def test_out_of_memory_halves_the_batch_and_loses_nothing(first: int) -> None:
    """Steps, energies and structures are those of each alone, also of those that wait in the middle of their way."""
    crystals = lj_crystals() * 3
    work = [InFlightRelaxer(LennardJones(), RelaxationSettings()).work(atoms) for atoms in crystals]
    settings = RelaxationSettings(fmax=0.01)
    potential = FullMemory(int(1.3 * max(work)), first)  # expansion makes room, contraction takes some
    together = relax(potential, crystals, settings, limit=1e6)
    assert 0 < potential.refused <= 8
    assert max(potential.evaluated) == (len(crystals) if first > 1 else max(potential.evaluated[first:]))
    assert max(potential.evaluated[first:]) > 1
    for atoms, result in zip(crystals, together, strict=True):
        assert_same_end(relax(LennardJones(), [atoms], settings)[0], result)


def test_what_begins_anew_takes_its_place_before_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves of several Å tear every crystal apart, when there is no memory for all of them: each still ends once."""
    monkeypatch.setattr(lbfgs, "MAX_MOVE", 5.0)
    monkeypatch.setattr(lbfgs, "STIFFNESS", 0.01)
    crystals = lj_crystals() * 2
    work = [InFlightRelaxer(LennardJones(), RelaxationSettings()).work(atoms) for atoms in crystals]
    potential = FullMemory(int(1.3 * max(work)))
    relaxer = InFlightRelaxer(potential, RelaxationSettings(0.01), 1e6)
    for key, atoms in enumerate(crystals):
        relaxer.add(key, atoms, work[key])
    ended = []
    while len(relaxer):
        ended += relaxer.step()
        assert relaxer._batch is None or len(relaxer._batch) == 1 or relaxer._batch.work <= relaxer.limit
    assert sorted(end.key for end in ended) == [*range(len(crystals))]
    assert {end.status for end in ended} == {"ok"}


def test_what_needs_more_memory_than_there_is_fails_alone() -> None:
    crystals = lj_crystals()
    work = [InFlightRelaxer(LennardJones(), RelaxationSettings()).work(atoms) for atoms in crystals]
    largest = int(np.argmax(work))
    results = relax(FullMemory(int(0.9 * max(work))), crystals, limit=1e6)
    for i, result in enumerate(results):
        assert result.status == ("failed" if i == largest else "ok")
    assert results[largest].reason == f"its {len(crystals[largest])} atoms need more memory than the device has"


def test_waits_for_the_device_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three, while nothing ends: are the cells sound, are the neighbours, and how far is each system."""
    waits: list[str] = []
    counting = True

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            waits.extend([name] * counting)
            return function(*arguments, **options)

        return call

    def uncounted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal counting
            counting = False
            try:
                return function(*arguments, **options)
            finally:
                counting = True

        return call

    potential = LennardJones()
    relaxer = InFlightRelaxer(potential, RelaxationSettings(optimiser="fire"))
    for key, atoms in enumerate(lj_crystals()):
        relaxer.add(key, atoms, relaxer.work(atoms))
    for name in ("__bool__", "__int__", "__float__", "item", "tolist", "numpy", "cpu", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, counted(name, getattr(torch.Tensor, name)))
    monkeypatch.setattr(torch, "nonzero", counted("nonzero", torch.nonzero))
    monkeypatch.setattr(AtomicGraph, "build", uncounted(AtomicGraph.build))
    monkeypatch.setattr(potential, "evaluate_graph", uncounted(potential.evaluate_graph))
    assert relaxer.step() == []
    assert waits == ["__bool__", "__bool__", "tolist"]


def test_what_watches_is_told_of_every_step_and_may_stop_one() -> None:
    potential, crystals = LennardJones(), lj_crystals()
    settings = RelaxationSettings(fmax=0.01)
    free = relax(potential, crystals, settings)
    told: dict[int, list[tuple[int, float, float]]] = {key: [] for key in range(len(crystals))}

    def watch(key: int, n_steps: int, energy: float, residual: float) -> str:
        told[key].append((n_steps, energy, residual))
        return "hopeless" if key == 1 and n_steps == 2 else ""

    relaxer = InFlightRelaxer(potential, settings, 1e6, watch)
    for key, atoms in enumerate(crystals):
        relaxer.add(key, atoms, relaxer.work(atoms))
    ended = {}
    while len(relaxer):
        ended |= {end.key: end for end in relaxer.step()}
    assert free[1].n_steps > 3
    for key, end in ended.items():
        assert [n_steps for n_steps, _, _ in told[key]] == [*range(end.n_steps + 1)]
        assert told[key][0][1] == end.initial_energy
        assert told[key][-1][1] == end.energy
        assert (end.status == "ok") == (told[key][-1][2] < settings.fmax)
        if key != 1:
            assert_same_end(free[key], end)
    assert (ended[1].status, ended[1].reason, ended[1].n_steps) == ("stopped_early", "hopeless", 2)
    again = potential.evaluate([ended[1].atoms])[0]
    assert ended[1].energy == pytest.approx(again.energy, rel=0, abs=1e-9)
    assert ended[1].max_force == pytest.approx(np.linalg.norm(again.forces, axis=1).max(), rel=0, abs=1e-9)


def test_convergence_comes_before_being_stopped() -> None:
    potential, crystals = LennardJones(), lj_crystals()[:1]
    (free,) = relax(potential, crystals)

    def watch(_key: int, n_steps: int, _energy: float, _residual: float) -> str:
        return "too late" if n_steps >= free.n_steps else ""

    relaxer = InFlightRelaxer(potential, RelaxationSettings(), watch=watch)
    relaxer.add(0, crystals[0], relaxer.work(crystals[0]))
    ends = [end for _ in range(free.n_steps + 1) for end in relaxer.step()]
    assert [end.status for end in ends] == ["ok"]


def test_running_out_of_steps_is_not_convergence() -> None:
    potential, crystals = LennardJones(), lj_crystals()
    settings = RelaxationSettings(fmax=1e-4, max_steps=3)
    for start, ours in zip(crystals, relax(potential, crystals, settings), strict=True):
        assert (ours.status, ours.n_steps) == ("not_converged", 3)
        left = max(ase_residual(start, ours, potential), ours.max_force)
        assert ours.reason == f"{left:.3g} eV/Å left after 3 steps (limit 0.0001)"
        result = potential.evaluate([ours.atoms])[0]
        assert ours.energy == pytest.approx(result.energy, rel=0, abs=1e-9)
        assert ours.max_force == pytest.approx(np.linalg.norm(result.forces, axis=1).max(), rel=0, abs=1e-9)
        assert ours.max_stress == pytest.approx(abs(result.stress).max(), rel=0, abs=1e-9)


def test_converging_at_the_last_step_is_convergence() -> None:
    potential, start = LennardJones(), lj_crystals()[1]
    [free] = relax(potential, [start])
    [tight] = relax(potential, [start], RelaxationSettings(max_steps=free.n_steps))
    [short] = relax(potential, [start], RelaxationSettings(max_steps=free.n_steps - 1))
    assert (free.status, tight.status, short.status) == ("ok", "ok", "not_converged")


def test_a_relaxed_structure_is_done_at_once() -> None:
    potential = LennardJones()
    [once] = relax(potential, lj_crystals()[:1])
    [again] = relax(potential, [once.atoms])
    assert (again.status, again.n_steps) == ("ok", 0)
    assert_same_geometry(again.atoms, once.atoms, 1e-12)


def test_no_steps_evaluate_only() -> None:
    potential, crystals = LennardJones(), lj_crystals()
    results = relax(potential, crystals, RelaxationSettings(max_steps=0))
    for start, ours, expected in zip(crystals, results, potential.evaluate(crystals), strict=True):
        assert (ours.status, ours.reason, ours.n_steps) == ("ok", "", 0)
        assert ours.energy == pytest.approx(expected.energy, rel=0, abs=1e-10)
        assert ours.max_force == pytest.approx(np.linalg.norm(expected.forces, axis=1).max(), rel=0, abs=1e-10)
        assert ours.max_stress == pytest.approx(np.abs(expected.stress).max(), rel=1e-10)
        assert (ours.energy_std, ours.max_force_std) == (None, None)
        assert_same_geometry(ours.atoms, start, 0.0)


class Apart(LennardJones):
    """Deviates like a committee: by the length of the force on an atom, and by the energy per atom."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        found = super().evaluate_graph(graph, stress=stress)
        n_atoms = torch.bincount(graph.system)
        return found._replace(energy_std=found.energy.abs() / n_atoms, force_std=found.forces.norm(dim=1))


def test_each_system_of_a_batch_has_its_own_deviations() -> None:
    results = relax(Apart(), lj_crystals(), RelaxationSettings(max_steps=0))
    assert len({round(ours.max_force, 6) for ours in results}) == len(results)
    for ours in results:
        assert ours.energy_std == pytest.approx(abs(ours.energy) / len(ours.atoms), rel=1e-10)
        assert ours.max_force_std == pytest.approx(ours.max_force, rel=1e-10)


def test_inputs_are_not_changed_and_their_extras_survive() -> None:
    crystals = lj_crystals()
    for k, atoms in enumerate(crystals):
        atoms.info["name"] = f"crystal {k}"
        atoms.set_array("label", np.arange(len(atoms)))
    before = [atoms.copy() for atoms in crystals]
    results = relax(LennardJones(), crystals)
    assert crystals == before
    for k, result in enumerate(results):
        assert result.atoms is not crystals[k]
        assert result.atoms.info["name"] == f"crystal {k}"
        assert result.atoms.arrays["label"].tolist() == list(range(len(crystals[k])))
        assert (result.atoms.numbers == crystals[k].numbers).all()


def test_constraints_do_not_part_a_structure_from_its_energy() -> None:
    """All atoms move, those that ASE would hold too; the constraints stay with the structure."""
    free = lj_crystals()[3]
    held = free.copy()
    held.set_constraint(FixAtoms([0, 3]))
    expected, result = (relax(LennardJones(), [atoms])[0] for atoms in (free, held))
    np.testing.assert_array_equal(result.atoms.positions, expected.atoms.positions)
    np.testing.assert_array_equal(result.atoms.cell.array, expected.atoms.cell.array)
    assert LennardJones().evaluate([result.atoms])[0].energy == pytest.approx(result.energy, abs=1e-9)
    assert result.atoms.constraints[0].index.tolist() == [0, 3]


def test_no_structures_give_no_results() -> None:
    assert relax(LennardJones(), []) == []
