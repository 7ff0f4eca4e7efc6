"""A committee is the mean of its members, says how far they are apart, and takes only members that can be averaged."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from uniscreen.errors import InputError, IsolatedAtomsError, UnsupportedElementError
from uniscreen.potentials.committee import Committee, _require_comparable
from uniscreen.potentials.testing import checks
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.result import RelaxationSettings
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from uniscreen.potentials.base import Potential
    from uniscreen.potentials.testing import Check

WIDE, NARROW = "chgnet-0.3.0", "chgnet-0.2.0"
"""Their cutoffs are 6 and 5 Å."""


@pytest.fixture(scope="module")
def members(loaded: Callable[..., Potential]) -> list[Potential]:
    return [loaded(WIDE), loaded(NARROW)]


@pytest.fixture(scope="module")
def committee(members: list[Potential]) -> Committee:
    return Committee(members)


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
def test_contract(check: Check, committee: Committee) -> None:
    result = check.run(committee)
    assert result.status == "passed", result


def test_it_costs_what_its_most_costly_member_costs(members: list[Potential], crystals: dict[str, Atoms]) -> None:
    structures = list(crystals.values())
    alone = [member.cost.of(member.graph(structures)).tolist() for member in members]
    committee = Committee(members)
    assert committee.cost.of(committee.graph(structures)).tolist() == [max(costs) for costs in zip(*alone, strict=True)]
    assert alone[0] != alone[1]


def test_its_fine_tuning_has_seen_what_that_of_any_member_has(members: list[Potential]) -> None:
    assert Committee(members).card.tuned_elements == frozenset()


def test_members_count_their_energies_from_the_same_reference_energies(members: list[Potential]) -> None:
    base = members[0]
    tuned = SimpleNamespace(card=replace(base.card, reference_shifts=(("Na", 0.3),)), device=base.device)
    with pytest.raises(InputError, match="count their energies from other reference energies"):
        _require_comparable(base, tuned)
    tuned = []
    for member, elements in zip(members, ({"Si"}, {"Si", "Ge"}), strict=True):
        other = copy.copy(member)
        other.card = replace(member.card, tuned_elements=frozenset(elements))
        tuned.append(other)
    assert Committee(tuned).card.tuned_elements == {"Si", "Ge"}


@pytest.mark.parametrize("order", [(WIDE, NARROW), (NARROW, WIDE)], ids="-then-".join)
def test_it_is_the_mean_of_what_the_members_say_alone(
    order: tuple[str, str], loaded: Callable[..., Potential], crystals: dict[str, Atoms]
) -> None:
    structures = list(crystals.values())
    wide, narrow = (loaded(name).evaluate(structures) for name in (WIDE, NARROW))
    ours = Committee([loaded(name) for name in order]).evaluate(structures)
    for atoms, mean, a, b in zip(structures, ours, wide, narrow, strict=True):
        assert abs(a.energy - b.energy) > 1e-3  # the members differ, so that neither passes for the mean
        assert mean.energy / len(atoms) == pytest.approx((a.energy + b.energy) / 2 / len(atoms), rel=0, abs=1e-6)
        np.testing.assert_allclose(mean.forces, (a.forces + b.forces) / 2, rtol=0, atol=1e-5)
        np.testing.assert_allclose(mean.stress, (a.stress + b.stress) / 2, rtol=0, atol=1e-6)
        assert mean.magnetic_moments is not None
        expected = (a.magnetic_moments + b.magnetic_moments) / 2
        np.testing.assert_allclose(mean.magnetic_moments, expected, rtol=0, atol=1e-5)


def test_the_spread_is_the_sample_standard_deviation(
    committee: Committee, members: list[Potential], crystals: dict[str, Atoms]
) -> None:
    structures = [crystals["SrTiO3"], crystals["Cu"]]
    alone = [member.evaluate(structures) for member in members]
    for found, atoms, a, b in zip(committee.evaluate(structures), structures, *alone, strict=True):
        # Of two numbers it is their difference over the square root of two.
        assert found.energy_std == pytest.approx(abs(a.energy - b.energy) / np.sqrt(2) / len(atoms), abs=1e-6)
        deviation = np.linalg.norm(a.forces - b.forces, axis=1) / np.sqrt(2)
        np.testing.assert_allclose(found.force_std, deviation, rtol=0, atol=1e-5)
    assert (alone[0][0].energy_std, alone[0][0].force_std) == (None, None)


def test_its_card_is_what_holds_of_all_members(committee: Committee, members: list[Potential]) -> None:
    card = committee.card
    assert card.cutoff == 6.0
    assert card.elements == members[0].card.elements & members[1].card.elements
    assert (card.functional, card.energy_convention, card.dtype) == ("PBE", "MP2020-corrected", "float32")
    assert WIDE in card.name
    assert NARROW in card.name
    assert card.sha256 not in {"", members[0].card.sha256}


def test_an_atom_that_one_member_cannot_see_is_refused(committee: Committee, members: list[Potential]) -> None:
    pair = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 5.5]], cell=[20, 20, 20], pbc=True)
    members[0].graph([pair])
    with pytest.raises(IsolatedAtomsError, match=f"structure 1 has no neighbour within 5 Å, the cutoff of {NARROW}"):
        committee.graph([bulk("Cu"), pair])
    with pytest.raises(IsolatedAtomsError, match=NARROW):  # also where the graph was not checked before
        committee.evaluate_graph(AtomicGraph.from_atoms([pair], committee.card.cutoff))


def test_unknown_elements_are_refused(committee: Committee) -> None:
    with pytest.raises(UnsupportedElementError, match="Po"):
        committee.graph([bulk("Po", "sc", a=3.4)])


def test_relaxing_with_it_ends_between_the_members(committee: Committee, members: list[Potential]) -> None:
    settings = RelaxationSettings(1e-3, 200)
    volumes = []
    for potential in (members[0], committee, members[1]):
        (done,) = relax(potential, [bulk("Al", "fcc", a=4.1)], settings)
        assert done.status == "ok"
        volumes.append(done.atoms.get_volume())
    assert volumes == sorted(volumes) or volumes == sorted(volumes, reverse=True)
    assert abs(volumes[0] - volumes[2]) > 0.5


def test_members_of_another_functional_or_convention_are_refused(loaded: Callable[..., Potential]) -> None:
    with pytest.raises(InputError, match=r"chgnet-0\.3\.0 gives PBE energies and chgnet-r2scan r2SCAN"):
        Committee([loaded(WIDE), loaded("chgnet-r2scan")])
    with pytest.raises(InputError, match="at least two members, got 1"):
        Committee([loaded(WIDE)])


def test_raw_and_corrected_energies_are_not_averaged(members: list[Potential]) -> None:
    raw = copy.copy(members[1])
    raw.card = replace(raw.card, energy_convention="raw")
    with pytest.raises(InputError, match=rf"{WIDE} gives MP2020-corrected energies and {NARROW} raw ones"):
        Committee([members[0], raw])


def test_the_lowest_precision_decides(loaded: Callable[..., Potential]) -> None:
    both = Committee([loaded(WIDE, "float64"), loaded(NARROW, "float64")])
    assert (both.dtype, both.card.dtype) == (torch.float64, "float64")
    mixed = Committee([loaded(WIDE, "float64"), loaded(NARROW)])
    assert (mixed.dtype, mixed.card.dtype) == (torch.float32, "float32")


def test_a_part_of_a_graph_has_the_edges_of_one_built_with_its_cutoff(crystals: dict[str, Atoms]) -> None:
    structures = list(crystals.values())
    part = AtomicGraph.from_atoms(structures, 6.0).within(4.3)
    built = AtomicGraph.from_atoms(structures, 4.3)
    assert part.cutoff == 4.3

    def edges(graph: AtomicGraph) -> list[tuple[float, ...]]:
        return sorted(map(tuple, torch.cat([graph.edge_index.T, graph.edge_shift], dim=1).tolist()))

    assert edges(part) == edges(built)
    n_pairs = part.edge_index.shape[1] // 2
    torch.testing.assert_close(part.edge_index[:, :n_pairs], part.edge_index[:, n_pairs:].flip(0))
    torch.testing.assert_close(part.edge_vectors[:n_pairs], -part.edge_vectors[n_pairs:])


def test_the_example_in_the_documentation_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.+?)```", text, flags=re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["result"].energy < 0
    assert names["result"].energy_std > 0
