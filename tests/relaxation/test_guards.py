"""One system's failure is its own: it gets a status and a reason, and the others end as without it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111

from toy_potentials import LennardJones, NaNForXenon, PairPotential, RaisesForKrypton, lennard_jones
from uniscreen.potentials.committee import Committee
from uniscreen.relaxation import guards
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.result import Relaxation, RelaxationSettings
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Evaluation, Potential

SETTINGS = RelaxationSettings(fmax=0.01, max_steps=300)


def strained(symbol: str, size: tuple[int, int, int], seed: int) -> Atoms:
    atoms = bulk(symbol, "fcc", a=4.0) * size
    atoms.rattle(0.1, seed=seed)
    return atoms


def healthy() -> list[Atoms]:
    return [strained("Ne", size, seed) for seed, size in enumerate([(2, 1, 1), (1, 1, 1), (2, 2, 1), (3, 1, 1)])]


def relax_beside(poisoned: list[Atoms], potential: Potential) -> list[Relaxation]:
    """Relax the poisoned systems between healthy ones; check the healthy and return the others."""
    others = healthy()
    expected = relax(LennardJones(), others, SETTINGS)
    results = relax(potential, [*others[:2], *poisoned, *others[2:]], SETTINGS, limit=1e6)
    stop = 2 + len(poisoned)
    for got, alone in zip(results[:2] + results[stop:], expected, strict=True):
        assert alone.status == "ok"
        assert (got.status, got.reason, got.n_steps) == ("ok", "", alone.n_steps)
        assert got.energy == pytest.approx(alone.energy, rel=0, abs=1e-10)
        np.testing.assert_allclose(got.atoms.positions, alone.atoms.positions, rtol=0, atol=1e-9)
        np.testing.assert_allclose(got.atoms.cell.array, alone.atoms.cell.array, rtol=0, atol=1e-9)
    return results[2:stop]


def assert_without_numbers(result: Relaxation) -> None:
    assert (result.energy, result.max_force, result.max_stress) == (None, None, None)


@pytest.mark.parametrize("broken", ["energy", "forces", "stress"])
def test_what_is_not_a_number_ends_its_system_alone(broken: str) -> None:
    [result] = relax_beside([strained("Xe", (2, 2, 1), 5)], NaNForXenon(broken))
    assert (result.status, result.n_steps) == ("exploded", 4)
    assert result.reason == "the model gave an energy, force or stress that is not finite"
    assert_without_numbers(result)
    assert np.isfinite(result.atoms.positions).all()


class NoStressOfSlabs(LennardJones):
    """As motep and quippy, which give a stress only for what is periodic in all directions."""

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(stress=good.stress.masked_fill(~graph.pbc.all(dim=1)[:, None, None], torch.nan))


@pytest.fixture
def slab() -> Atoms:
    atoms = fcc111("Ne", (1, 1, 3), a=4.0, vacuum=6.0)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_a_slab_without_a_stress_relaxes_in_its_cell(slab: Atoms) -> None:
    settings = RelaxationSettings(0.01, relax_cell=False)
    crystal = strained("Ne", (2, 1, 1), 0)
    [expected] = relax(LennardJones(), [slab], settings)
    result, beside = relax(NoStressOfSlabs(), [slab, crystal], settings)
    assert (result.status, result.n_steps) == ("ok", expected.n_steps)
    assert result.n_steps > 0
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    assert expected.max_stress is not None
    assert result.max_stress is None
    assert beside.max_stress > 0


def test_a_slab_without_a_stress_has_no_cell_to_relax(slab: Atoms) -> None:
    [result] = relax_beside([slab], NoStressOfSlabs())
    assert (result.status, result.reason, result.n_steps) == ("failed", guards.NO_STRESS, 0)
    assert_without_numbers(result)


def test_a_force_beyond_the_limit() -> None:
    close = Atoms("Ne2", [[0, 0, 0], [0.9, 0, 0]], cell=[8, 8, 8], pbc=True)
    [result] = relax_beside([close], LennardJones())
    force = np.linalg.norm(LennardJones().evaluate([close])[0].forces, axis=1).max()
    assert force > guards.MAX_FORCE
    assert (result.status, result.n_steps) == ("exploded", 0)
    assert result.reason == f"a force reached {force:.3g} eV/Å (limit 1000)"
    assert_without_numbers(result)


def test_two_atoms_on_top_of_each_other_at_the_start() -> None:
    same = Atoms("Ne2", [[0, 0, 0], [0.2, 0, 0]], cell=[8, 8, 8], pbc=True)
    [result] = relax_beside([same], LennardJones())
    assert (result.status, result.n_steps) == ("exploded", 0)
    assert result.reason == "two atoms came within 0.200 Å (limit 0.5 Å)"
    assert result.atoms == same


def test_a_cell_that_runs_away() -> None:
    """A purely repulsive crystal expands for ever."""
    repulsive = PairPotential(lambda r: 8.0 * torch.exp(-r / 2.0), cutoff=6.0)
    start = bulk("Ne", "fcc", a=3.5)
    [result] = relax(repulsive, [start], SETTINGS)
    assert result.status == "exploded"
    assert "the volume changed by a factor of" in result.reason
    assert result.atoms.get_volume() / start.get_volume() > guards.MAX_VOLUME_RATIO
    assert 0 < result.n_steps < SETTINGS.max_steps
    assert_without_numbers(result)


def test_a_cell_that_collapses() -> None:
    attractive = PairPotential(lambda r: -2.0 * torch.exp(-r / 3.0), cutoff=6.0)
    [result] = relax(attractive, [bulk("Ne", "fcc", a=6.0)], SETTINGS)
    assert result.status == "exploded"
    assert "the volume changed by a factor of" in result.reason


def test_two_atoms_that_collide() -> None:
    attractive = PairPotential(lambda r: -5.0 * torch.exp(-r), cutoff=4.0)
    start = Atoms("Ne2", [[0, 0, 0], [1.4, 0, 0]], cell=[9, 9, 9], pbc=True)
    [result] = relax(attractive, [start], SETTINGS)
    assert result.status == "exploded"
    assert result.reason.startswith("two atoms came within")
    assert 0 < result.n_steps < SETTINGS.max_steps
    assert result.atoms.get_distance(0, 1, mic=True) < guards.MIN_DISTANCE


def test_an_atom_that_loses_its_neighbours() -> None:
    repulsive = PairPotential(lambda r: 8.0 * torch.exp(-r / 2.0), cutoff=4.0)
    start = Atoms("Ne2", [[0, 0, 0], [2.0, 0, 0]], cell=[12, 12, 12], pbc=True)
    [result] = relax(repulsive, [start], RelaxationSettings(1e-6, 300, "fire"))
    assert result.status == "isolated_atoms"
    assert result.reason == "2 atom(s) have no neighbour within the model's cutoff of 4 Å"
    assert result.n_steps > 0
    assert_without_numbers(result)


def test_an_isolated_atom_at_the_start() -> None:
    lonely = Atoms("Ne3", [[0, 0, 0], [2.8, 0, 0], [10, 10, 10]], cell=[20, 20, 20], pbc=True)
    [result] = relax_beside([lonely], LennardJones())
    assert (result.status, result.n_steps) == ("isolated_atoms", 0)
    assert result.reason == "1 atom(s) have no neighbour within the model's cutoff of 6 Å"


@pytest.mark.parametrize("first", [1, 4])
def test_an_exception_ends_the_system_that_raises_it_alone(first: int) -> None:
    [result] = relax_beside([strained("Kr", (2, 1, 1), 5)], RaisesForKrypton(first))
    assert (result.status, result.reason) == ("failed", "ArithmeticError: no krypton here")
    assert result.n_steps == first - 1
    assert_without_numbers(result)


def test_an_exception_for_the_only_system() -> None:
    [result] = relax(RaisesForKrypton(1), [strained("Kr", (2, 1, 1), 5)], SETTINGS)
    assert (result.status, result.reason) == ("failed", "ArithmeticError: no krypton here")


def test_an_atom_isolated_for_one_member_of_a_committee() -> None:
    """The committee's graph, of the larger cutoff, has edges for it."""
    committee = Committee([LennardJones(), PairPotential(lennard_jones, cutoff=4.0)])
    lonely = Atoms("Ne3", [[0, 0, 0], [2.8, 0, 0], [1.4, 5.0, 0]], cell=[20, 20, 20], pbc=True)
    lonely_too, beside = relax(committee, [lonely, strained("Ne", (2, 1, 1), 0)], SETTINGS)
    assert lonely_too.status == "isolated_atoms"
    assert lonely_too.reason == "atom 2 of structure 0 has no neighbour within 4 Å, the cutoff of toy"
    assert beside.status == "ok"


def test_many_failures_at_once() -> None:
    krypton = strained("Kr", (2, 1, 1), 5)
    lonely = Atoms("Ne", cell=[20, 20, 20], pbc=True)
    same = Atoms("Ne2", [[0, 0, 0], [0.2, 0, 0]], cell=[8, 8, 8], pbc=True)
    results = relax_beside([krypton, lonely, same, krypton], RaisesForKrypton(1))
    assert [result.status for result in results] == ["failed", "isolated_atoms", "exploded", "failed"]


def test_a_cell_without_a_volume_ends_its_system_alone() -> None:
    """Its inverse, which the neighbour list needs, does not exist."""
    flat = [[3, 0, 0], [0, 3, 0], [3, 3, 0]]
    [result] = relax_beside([Atoms("Ne2", [[0, 0, 0], [1, 1, 1]], cell=flat, pbc=True)], LennardJones())
    assert result.status == "failed"
    assert "singular" in result.reason


@pytest.mark.parametrize(
    ("pbc", "status", "reason"),
    [
        ([True, True, False], "failed", r"^lattice vector 3 is zero, so there is no cell to relax: "),
        (True, "invalid_structure", "^Ne2 is periodic along lattice vector 3, which is zero$"),
    ],
    ids=["slab", "crystal"],
)
def test_without_a_lattice_vector_there_is_no_cell_to_relax(pbc: Any, status: str, reason: str) -> None:
    [result] = relax_beside([Atoms("Ne2", [[0, 0, 0], [1, 1, 1]], cell=[3, 3, 0], pbc=pbc)], LennardJones())
    assert (result.status, result.n_steps) == (status, 0)
    assert re.match(reason, result.reason)
    assert_without_numbers(result)


@pytest.mark.parametrize("where", ["positions", "cell"])
def test_a_geometry_that_is_not_finite_ends_its_system_alone(where: str) -> None:
    atoms = strained("Ne", (2, 1, 1), 3)
    if where == "positions":
        atoms.positions[1, 2] = np.nan
    else:
        atoms.set_cell(np.full((3, 3), np.inf))
    [result] = relax_beside([atoms], LennardJones())
    assert (result.status, result.reason) == ("exploded", "the positions or the cell are no longer finite")


def test_limits_of_the_cell() -> None:
    """Volume ratios of 6 and 1/6, a log-strain of 1.6 that keeps the volume, and one cell within the limits."""
    cells = torch.eye(3, dtype=torch.float64).repeat(4, 1, 1)
    cells[0, 0, 0], cells[1, 0, 0] = 6.0, 1 / 6
    log_strain = torch.zeros_like(cells)
    log_strain[2, 0, 1] = -1.6
    log_strain[3] = 0.3
    positions, system = torch.zeros(4, 3, dtype=torch.float64), torch.arange(4)
    broken = guards.broken_cells(cells, positions, system, log_strain, torch.ones(4, dtype=torch.float64))
    assert broken == {
        0: "the volume changed by a factor of 6 (limit 5)",
        1: "the volume changed by a factor of 0.167 (limit 5)",
        2: "the cell's log-strain reached 1.6 (limit 1.5)",
    }


def test_guards_see_each_system_of_a_graph(crystals: dict[str, Atoms], loaded: Callable[..., Potential]) -> None:
    close = Atoms("H2", [[0, 0, 0], [0, 0, 0.4]], cell=[20, 20, 20], pbc=True)
    across = Atoms("H", [[0, 0, 0]], cell=[0.45, 9.0, 9.0], pbc=True)  # its own image
    lonely = Atoms("H", cell=[20, 20, 20], pbc=True)
    graph = AtomicGraph.from_atoms([crystals["Cu"], close, lonely, across, crystals["Si"]], 5.0)
    assert guards.short_contacts(graph) == {
        1: "two atoms came within 0.400 Å (limit 0.5 Å)",
        3: "two atoms came within 0.450 Å (limit 0.5 Å)",
    }
    assert list(guards.isolated_atoms(graph)) == [2]
    assert [status for status, _ in guards.broken_graphs(graph).values()] == ["isolated_atoms", "exploded", "exploded"]
    evaluation = loaded("chgnet-0.3.0").evaluate_graph(AtomicGraph.from_atoms([crystals["Cu"], crystals["Si"]], 6.0))
    assert guards.finite_evaluations(evaluation, torch.tensor([0, 1, 1]), stress=True).tolist() == [True, True]
