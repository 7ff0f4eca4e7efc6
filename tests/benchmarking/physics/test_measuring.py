"""All properties of a file at once: what can be measured is, and what cannot is a row that says why."""

from __future__ import annotations

import importlib.util
import math
import re
from types import SimpleNamespace

import pytest
import torch
from lattice_sums import Pairs

from uniscreen.benchmarking.physics import Properties, measure, motion
from uniscreen.benchmarking.quantities import quantity_of
from uniscreen.errors import InputError, MissingPackageError

EVERYTHING = {
    "equation_of_state": {"volume_A3_per_atom": 15.0, "bulk_modulus_GPa": 10.0, "source": "none"},
    "elastic": {"constants_GPa": {"c11": 20.0}, "source": "none"},
    "phonons": {"supercell": [2, 2, 2], "frequencies_THz": {"X": [1, 1, 2], "L": []}, "source": "none"},
    "vacancy": {"supercell": [2, 2, 2], "formation_energy_eV": 1.0, "source": "none"},
    "surfaces": [{"miller": [1, 1, 0], "layers": 6, "energy_J_per_m2": 1.0, "source": "none"}],
}

METRICS = (
    "volume:it bulk_modulus:it volume_error:it bulk_modulus_error:it c11:it c12:it c44:it elastic_error:it "
    "imaginary_modes:it phonon_frequency:it_X phonon_frequency:it_L phonon_mae:it vacancy_energy:it "
    "vacancy_energy_error:it surface_energy:it(110) surface_energy_error:it(110) polymorph_energy:bcc "
    "polymorph_energy_error:bcc nve_drift speed"
)


def properties(formula: str = "Ar") -> Properties:
    """Everything that can be asked about an fcc crystal and a bcc one."""
    return Properties.model_validate(
        {
            "crystals": {
                "it": {"prototype": "fcc", "formula": formula, "a_A": 3.9, **EVERYTHING},
                "bcc": {"prototype": "bcc", "formula": formula, "a_A": 3.1},
            },
            "polymorphs": [{"crystals": ["it", "bcc"], "energies_meV_per_atom": [0, 10], "source": "none"}],
            "dynamics": {"crystal": "it", "supercell": [2, 2, 2], "ps": 0.1},
            "speed": {"crystal": "it", "supercell": [1, 1, 1]},
        }
    )


def test_everything_is_measured_and_has_a_unit_and_a_direction():
    told: list[str] = []
    threads = torch.get_num_threads()
    found = {one.metric: one for one in measure(Pairs(), properties(), on_progress=told.append)}
    assert list(found) == [name.replace("_X", " X").replace("_L", " L") for name in METRICS.split()]
    assert all(math.isfinite(one.value) and not one.reason for one in found.values()), found
    assert all(quantity_of(metric).unit for metric in found)
    assert told[0] == "it: equation of state"
    assert told[-1] == "it: speed"
    assert torch.get_num_threads() == threads
    assert found["speed"].value > 0
    assert found["nve_drift"].value < 0.5
    assert found["phonon_mae:it"].n == 3
    assert found["imaginary_modes:it"].n == 32 * 3  # of the 32 wave vectors that the supercell holds
    again = {one.metric: one for one in measure(Pairs(), properties())}
    assert {k: v for k, v in again.items() if k != "speed"} == {k: v for k, v in found.items() if k != "speed"}


def test_an_element_that_the_potential_does_not_know_fails_every_row():
    found = measure(Pairs(), properties("Xe"))
    assert len(found) == len(METRICS.split())
    for one in found:
        assert math.isnan(one.value), one
        assert "Xe" in one.reason, one


class Collapsing(Pairs):
    """Atoms attract each other at any distance."""

    def predict(self, graph):
        good = super().predict(graph)
        r = graph.edge_vectors.norm(dim=1)
        pull = torch.zeros_like(good.energy).index_add(0, graph.system[graph.edge_index[0]], -3.0 / r)
        return good._replace(energy=0 * good.energy + pull)


def test_a_crystal_that_collapses_fails_what_needs_it_at_rest_and_nothing_else():
    found = {one.metric: one for one in measure(Collapsing(), properties())}
    assert len(found) == len(METRICS.split())
    assert all("does not come to rest" in one.reason for name, one in found.items() if name != "speed")
    assert math.isfinite(found["speed"].value)


class Runaway(Pairs):
    """Forces point uphill; a crystal on its sites has none."""

    def evaluate_graph(self, graph, *, stress=True):
        good = super().evaluate_graph(graph, stress=stress)
        return good._replace(forces=-20 * good.forces)


def test_dynamics_that_do_not_last_are_a_row_that_says_when():
    crystals = {"it": {"prototype": "fcc", "formula": "Ar", "a_A": 3.9}}
    dynamics = {"crystal": "it", "supercell": [2, 2, 2]}
    (found,) = measure(Runaway(), Properties.model_validate({"crystals": crystals, "dynamics": dynamics}))
    assert found.metric == "nve_drift"
    assert math.isnan(found.value)
    assert re.search(r"after 0\.\d\d ps", found.reason), found.reason


def test_the_speed_is_that_of_the_fastest_repeat_in_atoms_a_second(monkeypatch):
    """By a clock that only an evaluation moves on: 0.4 s each, 0.25 s later on, for 4 x 8 atoms."""
    clock = [0.0]

    class Slow(Pairs):
        def evaluate(self, structures, **options):
            clock[0] += 0.25 if clock[0] > 1.5 else 0.4
            return super().evaluate(structures, **options)

    monkeypatch.setattr(motion, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    crystals = {"it": {"prototype": "fcc", "formula": "Ar", "a_A": 3.9}}
    speed = {"crystal": "it", "supercell": [2, 2, 2]}
    (found,) = measure(Slow(), Properties.model_validate({"crystals": crystals, "speed": speed}))
    assert (found.metric, found.n) == ("speed", 32)
    assert found.value == pytest.approx(32 / 0.25)


class RaisesWhenStrained(Pairs):
    """Evaluates cubic cells only."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def evaluate_graph(self, graph, *, stress=True):
        lengths = graph.cells.norm(dim=2)
        if float((lengths.amax(1) - lengths.amin(1)).max()) > 1e-6:
            raise self.error
        return super().evaluate_graph(graph, stress=stress)


def test_what_raises_is_a_row_and_the_others_go_on():
    found = {one.metric: one for one in measure(RaisesWhenStrained(ArithmeticError("oblique")), properties())}
    assert "ArithmeticError: oblique" in found["c11:it"].reason
    assert math.isnan(found["elastic_error:it"].value)
    assert not found["bulk_modulus:it"].reason
    assert not found["vacancy_energy:it"].reason


def test_a_potential_that_cannot_be_evaluated_at_all_ends_the_measuring():
    with pytest.raises(InputError, match="no worker"):
        measure(RaisesWhenStrained(InputError("no worker")), properties())


def test_without_phonopy_phonons_are_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"uniscreen\[physics\]"):
        measure(Pairs(), properties(), on_progress=lambda what: pytest.fail(what))
