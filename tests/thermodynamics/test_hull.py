from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from uniscreen.errors import InputError
from uniscreen.thermodynamics import (
    CandidateHull,
    CompetingEntry,
    CorrectionScheme,
    Hull,
    ReferenceSet,
    elemental_references,
    hull_over_candidates,
)
from uniscreen.thermodynamics.facets import atomic_fractions, build_system_hull, mix
from uniscreen.thermodynamics.reactions import shares_by_formula

TOYS = ("Li", "Co", "Ni", "O")


def reference_set(energies: dict[str, float], functional: str = "PBE") -> ReferenceSet:
    entries = tuple(CompetingEntry(f, Composition(f).get_el_amt_dict(), energy) for f, energy in energies.items())
    return ReferenceSet(entries, functional, CorrectionScheme.MP2020, "toy", "")


def entries_of(compositions: list[Composition], energies: list[float]) -> list[CompetingEntry]:
    pairs = enumerate(zip(compositions, energies, strict=True))
    return [CompetingEntry(str(n), c.get_el_amt_dict(), energy, uncertainties={}) for n, (c, energy) in pairs]


@pytest.fixture
def binary() -> Hull:
    """Terminals at -1 and -2 eV/atom; LiO at -2.5 eV/atom forms with -1 eV/atom."""
    return Hull(reference_set({"Li": -1.0, "O2": -4.0, "LiO": -5.0, "Li3O": -4.0}))


def test_binary_by_hand(binary):
    # Li2O lies on the line from Li (-1) to LiO (-2.5) at x(O) = 1/3: 1/3 Li + 2/3 LiO = -2 eV/atom.
    distance = binary.e_above_hull(Composition("Li2O"), -5.7)
    assert distance.e_above_hull == pytest.approx(-5.7 / 3 + 2.0)
    assert distance.formation_energy == pytest.approx((-5.7 + 2 * 1.0 + 1 * 2.0) / 3)
    assert distance.decomposition == pytest.approx({"Li": 1 / 3, "Li2O2": 2 / 3})  # pymatgen's name of LiO
    assert distance.missing_terminals == ()


def test_entry_of_the_set_and_element(binary):
    assert binary.e_above_hull(Composition("Li2O2"), -10.0).e_above_hull == pytest.approx(0.0, abs=1e-12)
    element = binary.e_above_hull(Composition("Li4"), -3.0)
    assert (element.e_above_hull, element.formation_energy) == pytest.approx((0.25, 0.25))
    assert element.decomposition == {"Li": 1.0}


def test_candidate_below_the_hull_is_negative(binary):
    assert binary.e_above_hull(Composition("LiO"), -5.4).e_above_hull == pytest.approx(-0.2)
    assert binary.e_above_hull(Composition("Li2O"), -6.3).e_above_hull == pytest.approx(-0.1)


def test_the_energy_of_the_hull_at_a_composition(binary):
    # Li, LiO and O2 are on it, at -1, -2.5 and -2 eV/atom; Li3O, at -1, is not.
    for amounts, energy in (
        ({"Li": 3.0}, -1.0),
        ({"Li": 2.0, "O": 2.0}, -2.5),
        ({"Li": 3.0, "O": 1.0}, -1.75),
        ({"Li": 1.0, "O": 3.0}, -2.25),
    ):
        assert binary.energy_per_atom(amounts) == pytest.approx(energy)
    assert binary.energy_per_atom({"Li": 1.0, "Yb": 1.0}) is None


def test_missing_terminal_is_a_flag_and_uses_the_table(binary):
    distance = binary.e_above_hull(Composition("LiCo"), -9.0)
    assert (distance.e_above_hull, distance.missing_terminals, distance.decomposition) == (None, ("Co",), {})
    assert distance.formation_energy == pytest.approx((-9.0 + 1.0 - elemental_references("PBE")["Co"]) / 2)


def test_missing_terminal_without_a_table_has_no_formation_energy():
    hull = Hull(reference_set({"Li": -1.0}, functional="r2SCAN"))
    distance = hull.e_above_hull(Composition("LiO"), -5.0)
    assert (distance.e_above_hull, distance.formation_energy, distance.missing_terminals) == (
        None,
        None,
        ("O",),
    )


def test_element_without_entry_and_without_number_has_no_formation_energy(binary):
    assert binary.e_above_hull(Composition("YbO"), -5.0).formation_energy is None


def test_nonsense_is_refused(binary):
    with pytest.raises(InputError, match="inf eV"):
        binary.e_above_hull(Composition("LiO"), float("inf"))
    with pytest.raises(InputError, match="without atoms"):
        binary.e_above_hull(Composition(), -1.0)
    with pytest.raises(InputError, match="Li2O is nan eV"):
        hull_over_candidates(entries_of([Composition("Li2O")], [float("nan")]), reference_set({"Li": -1.0}))


def test_stable_phase_decomposes_into_other_compositions(binary):
    """LiO is on the hull; without it, 1/2 Li and 1/2 O have -1.5 eV/atom, and Li3O at -1 is above their line."""
    lowest = binary.e_above_hull(Composition("LiO"), -5.0)
    assert lowest.e_above_hull == pytest.approx(0.0, abs=1e-12)
    assert lowest.decomposition == {"Li2O2": 1.0}
    assert lowest.decomposition_energy == pytest.approx(-1.0)
    assert shares_by_formula(lowest.products) == pytest.approx({"Li": 0.5, "O2": 0.5})
    polymorph = binary.e_above_hull(Composition("LiO"), -4.4)
    assert (polymorph.e_above_hull, polymorph.decomposition_energy) == pytest.approx((0.3, -0.7))


def test_off_the_hull_the_decomposition_energy_is_the_distance(binary):
    distance = binary.e_above_hull(Composition("Li2O"), -5.7)
    assert distance.decomposition_energy == distance.e_above_hull
    assert distance.products == distance.phases


def test_an_element_has_nothing_to_decompose_into(binary):
    element = binary.e_above_hull(Composition("Li"), -0.9)
    assert (element.decomposition_energy, element.products) == (None, ())
    missing = binary.e_above_hull(Composition("LiCo"), -9.0)
    assert (missing.decomposition_energy, missing.products) == (None, ())


def test_decomposition_energies_agree_with_pymatgen(shared_path):
    """Against a phase diagram of all entries that have another composition."""
    references = ReferenceSet.from_file(shared_path("mp/y-mn-o-entries.json.gz"))
    entries = references.competing_entries("Y-Mn-O")
    hull = Hull(references)
    stable = [entry for entry in PhaseDiagram(entries).stable_entries if not entry.is_element]
    assert len(stable) >= 5
    for entry in stable:
        formula = entry.composition.reduced_formula
        others = [other for other in entries if other.composition.reduced_formula != formula]
        expected = entry.energy_per_atom - PhaseDiagram(others).get_hull_energy_per_atom(entry.composition)
        found = hull.e_above_hull(entry.composition, entry.energy)
        assert found.decomposition_energy == pytest.approx(expected, abs=1e-9)
        assert found.decomposition_energy < 0


@pytest.mark.parametrize(("removed", "n_lost"), [("Co", 535), ("Ni", 318)])
def test_a_missing_terminal_leaves_the_rest_right(shared_path, removed, n_lost):
    complete = ReferenceSet.from_file(shared_path("mp/li-co-ni-o-entries.json.gz"))
    kept = tuple(entry for entry in complete.entries if entry.elements != {removed})
    hull, partial = Hull(complete), Hull(replace(complete, entries=kept))
    lost = 0
    for entry in complete.entries:
        whole, found = hull.place(entry), partial.place(entry)
        if removed in entry.elements:
            lost += 1
            assert (found.e_above_hull, found.missing_terminals) == (None, (removed,))
            assert found.formation_energy == pytest.approx(whole.formation_energy, abs=1e-4)  # from the table
        else:
            assert found == whole
    assert lost == n_lost


def test_oxidation_states_are_dropped(binary):
    decorated = Composition({"Li+": 2, "O2-": 1})
    assert binary.e_above_hull(decorated, -5.7) == binary.e_above_hull(Composition("Li2O"), -5.7)


@pytest.mark.parametrize(("name", "n_given"), [("li-co-ni-o-entries", 775), ("y-mn-o-entries", 0)])
def test_published_entries_agree_with_pymatgen(shared_path, shared_records, name, n_given):
    """And with the distances and formation energies in the file, where it has them: for every entry."""
    references = ReferenceSet.from_file(shared_path(f"mp/{name}.json.gz"))
    records = shared_records(f"mp/{name}.json.gz")
    assert (references.functional, references.scheme) == ("PBE", CorrectionScheme.MP2020)
    elements = sorted({element for entry in references.entries for element in entry.elements})
    diagram = PhaseDiagram(references.competing_entries("-".join(elements)))
    hull = Hull(references)
    assert sum("e_above_hull" in record for record in records) == n_given
    for record, entry in zip(records, references.entries, strict=True):
        ours = hull.e_above_hull(Composition(record["composition"]), entry.energy)
        theirs = PDEntry(Composition(record["composition"]), entry.energy)
        assert ours.e_above_hull == pytest.approx(diagram.get_e_above_hull(theirs), abs=1e-9)
        assert ours.formation_energy == pytest.approx(diagram.get_form_energy_per_atom(theirs), abs=1e-9)
        if "e_above_hull" in record:
            assert ours.e_above_hull == pytest.approx(record["e_above_hull"], abs=1e-6)
            assert ours.formation_energy == pytest.approx(record["e_form_per_atom"], abs=1e-6)


def random_candidates(seed: int, count: int, elements: tuple[str, ...]) -> tuple[list[Composition], list[float]]:
    """Compounds in all subsystems, around the formation energies of a mixing model, eV."""
    rng = np.random.default_rng(seed)
    compositions, energies = [], []
    for _ in range(count):
        chosen = rng.choice(elements, size=rng.integers(1, len(elements) + 1), replace=False)
        composition = Composition(
            {str(el): int(n) for el, n in zip(chosen, rng.integers(1, 5, len(chosen)), strict=True)}
        )
        x = np.array(list(composition.fractional_composition.get_el_amt_dict().values()))
        formation = float((x * np.log(x)).sum()) + rng.normal(0.0, 0.15)
        reference = sum(n * elemental_references("PBE")[el] for el, n in composition.get_el_amt_dict().items())
        compositions.append(composition)
        energies.append(reference + formation * composition.num_atoms)
    return compositions, energies


def leave_one_out(compositions, energies, references) -> list[float]:
    distances = []
    for i, composition in enumerate(compositions):
        elements = set(composition.get_el_amt_dict())
        others = [
            PDEntry(c, e)
            for n, (c, e) in enumerate(zip(compositions, energies, strict=True))
            if n != i and set(c.get_el_amt_dict()) <= elements
        ]
        others += [PDEntry(Composition(el), references.terminals[el].energy) for el in elements]
        entry = PDEntry(composition, energies[i])
        distances.append(
            PhaseDiagram(others).get_decomp_and_e_above_hull(entry, allow_negative=True, check_stable=False)[1]
        )
    return distances


@pytest.mark.parametrize("seed", range(6))
def test_hull_over_candidates_is_leave_one_out(seed):
    references = ReferenceSet.from_elements("PBE")
    compositions, energies = random_candidates(seed, count=5 + 12 * seed, elements=TOYS)
    ours = hull_over_candidates(entries_of(compositions, energies), references)
    expected = leave_one_out(compositions, energies, references)
    assert [d.e_above_hull for d in ours] == pytest.approx(expected, abs=1e-9)
    assert min(expected) < 0


def test_single_candidate_has_its_formation_energy():
    reference = elemental_references("PBE")
    for formation in (-1.2, 0.3):
        energy = 2 * reference["Li"] + reference["O"] + 3 * formation
        (distance,) = hull_over_candidates(
            entries_of([Composition("Li2O")], [energy]), ReferenceSet.from_elements("PBE")
        )
        assert (distance.e_above_hull, distance.formation_energy) == pytest.approx((formation, formation))
        assert distance.decomposition == pytest.approx({"Li": 2 / 3, "O2": 1 / 3})


def test_duplicates_get_zero_and_polymorphs_the_difference():
    references = ReferenceSet.from_elements("PBE")
    oxide = Composition("Li2O")
    twins = hull_over_candidates(entries_of([oxide, oxide * 2], [-15.0, -30.0]), references)
    assert [d.e_above_hull for d in twins] == pytest.approx([0.0, 0.0], abs=1e-12)
    polymorphs = hull_over_candidates(entries_of([oxide, oxide], [-15.0, -14.7]), references)
    assert [d.e_above_hull for d in polymorphs] == pytest.approx([-0.1, 0.1])


def test_subsystem_competes_and_missing_terminal_is_a_flag():
    references = reference_set({"Li": 0.0, "Co": 0.0, "O": 0.0}, functional="r2SCAN")
    compositions = [Composition(f) for f in ("Li2O", "CoO", "Li2CoO2", "NiO")]
    first, _, third, last = hull_over_candidates(entries_of(compositions, [-6.0, -2.0, -8.5, -1.0]), references)
    assert first.e_above_hull == pytest.approx(-2.0)
    assert third.e_above_hull == pytest.approx(-0.1)
    assert third.decomposition == pytest.approx({"Li2O": 0.6, "CoO": 0.4})
    assert (last.e_above_hull, last.formation_energy, last.missing_terminals) == (None, None, ("Ni",))


def test_linear_program_and_facets_agree():
    elements = ("Al", "Fe", "Li", "Mn", "O")
    compositions, energies = random_candidates(7, count=120, elements=elements)
    entries = [CompetingEntry("", c.get_el_amt_dict(), e) for c, e in zip(compositions, energies, strict=True)]
    entries += [CompetingEntry(el, {el: 1.0}, elemental_references("PBE")[el]) for el in elements]
    system = build_system_hull(elements, entries)
    assert len(system.facets)
    for entry in entries[:60]:
        weights = mix(atomic_fractions(elements, [entry])[0], system.fractions, system.energies)
        assert system.lowest_combination(entry).energy_per_atom == pytest.approx(weights @ system.energies, abs=1e-9)


def test_more_elements_than_facets_are_made_for():
    elements = ("Al", "Co", "Cr", "Fe", "Mn", "Ni", "O")
    compositions, energies = random_candidates(3, count=40, elements=elements)
    entries = [PDEntry(c, e) for c, e in zip(compositions, energies, strict=True)]
    entries += [PDEntry(Composition(el), elemental_references("PBE")[el]) for el in elements]
    references = ReferenceSet(
        tuple(CompetingEntry("", e.composition.get_el_amt_dict(), e.energy) for e in entries),
        "PBE",
        CorrectionScheme.NONE,
        "toy",
        "",
    )
    candidate = Composition(dict.fromkeys(elements, 1))
    expected = PhaseDiagram(entries).get_hull_energy_per_atom(candidate)
    assert Hull(references).e_above_hull(candidate, 0.0).e_above_hull == pytest.approx(-expected, abs=1e-9)


def test_many_candidates_of_one_system_are_quick():
    compositions, energies = random_candidates(11, count=300, elements=TOYS)
    terminals = {el: elemental_references("PBE")[el] for el in TOYS}
    references = reference_set(terminals)
    entries = tuple(CompetingEntry("", c.get_el_amt_dict(), e) for c, e in zip(compositions, energies, strict=True))
    hull = Hull(ReferenceSet(references.entries + entries, "PBE", CorrectionScheme.MP2020, "toy", ""))
    candidates, candidate_energies = random_candidates(12, count=2000, elements=TOYS)
    start = time.perf_counter()
    for composition, energy in zip(candidates, candidate_energies, strict=True):
        hull.e_above_hull(composition, energy)
    assert time.perf_counter() - start < 10  # 10^4 in well under a minute


def test_systems_are_built_again_once_they_are_no_longer_kept(monkeypatch):
    monkeypatch.setattr("uniscreen.thermodynamics.hull.SYSTEMS_KEPT", 1)
    references = ReferenceSet.from_elements("PBE")
    mu = {el: entry.energy_per_atom for el, entry in references.terminals.items()}
    candidates = [
        CompetingEntry(f"{a}{b}-{k}", {a: 1.0, b: 1.0}, mu[a] + mu[b] - 0.2 * k)
        for a, b in (("Na", "Cl"), ("Mg", "O"))
        for k in (1, 2)
    ]
    hull = CandidateHull(candidates, references)
    interleaved = [hull.place(candidates[k]).e_above_hull for k in (0, 2, 1, 3)]
    np.testing.assert_allclose(interleaved, [0.1, 0.1, -0.1, -0.1], atol=1e-12)


def test_facets_are_of_the_lowest_at_each_composition_however_many_others_there_are():
    compositions = [Composition(formula) for formula in ("Li", "O2", "LiO", "Li2O2", "Li3O", "LiO")]
    entries = entries_of(compositions, [-1.0, -4.0, -4.9, -10.0, -4.0, -4.8])
    facets = build_system_hull(("Li", "O"), entries).facets
    assert {frozenset(facet) for facet in facets.tolist()} == {frozenset({0, 3}), frozenset({1, 3})}
