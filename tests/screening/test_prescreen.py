"""Relaxations that are stopped early: what a pilot shows, what is stopped by it, and runs that do so."""

from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk

from uniscreen import load_potential
from uniscreen.errors import InputError
from uniscreen.potentials import find_card
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.result import RelaxationSettings
from uniscreen.screening.corrections import correction_of
from uniscreen.screening.prescreen import LEAST_FINISHED, Pilot, StopRule, Watcher, longest_way, passes, pilot_places
from uniscreen.screening.record import Record
from uniscreen.screening.settings import ScreenSettings
from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.structures.writing import CandidateWriter
from uniscreen.thermodynamics import Correction, ReferenceSet

CHGNET = find_card("chgnet-0.3.0")
RAW = replace(CHGNET, energy_convention="raw")
ELEMENTS = ReferenceSet.from_elements("PBE")


def relaxed(steps, n_atoms=1, **changes) -> Record:
    return replace(Record(0, "c", "ok", n_atoms=n_atoms, energy=steps[-1][0], steps=steps), **changes)


def test_the_longest_way_is_the_energy_gained_per_atom_by_the_force_left():
    # 6, 1.5 and 0.6 eV are gained by 2 atoms after forces of 4, 0.5 and 0.4 eV/Å: ways of 0.75, 1.5 and 0.75 Å.
    record = relaxed([(-10.0, 4.0), (-14.5, 0.5), (-15.4, 0.4), (-16.0, 0.01)], n_atoms=2)
    assert longest_way(record, CHGNET) == pytest.approx(1.5)
    assert longest_way(relaxed([(-16.0, 0.01)]), CHGNET) == 0.0
    assert longest_way(relaxed([(-16.0, 1.0), (-15.0, 0.01)]), CHGNET) == 0.0  # uphill


def test_a_correction_that_relaxing_changed_counts_as_gained():
    peroxide, oxide = (_correction(value) for value in (-1.0, -3.0))
    record = relaxed([(-10.0, 2.0), (-11.0, 0.01)], correction=oxide, initial_correction=peroxide)
    assert longest_way(record, RAW) == pytest.approx((1.0 + 2.0) / 2.0)
    assert longest_way(record, CHGNET) == pytest.approx(0.5)  # whose energies hold theirs


def _correction(value):
    return Correction({"MP2020 anion correction (oxide)": value}, {})


def test_the_rule_leaves_out_the_longest_twentieth_of_the_ways():
    ways = np.random.default_rng(0).permutation(np.arange(1, 101) / 100)
    pilot = [relaxed([(way, 1.0), (0.0, 0.01)]) for way in ways]
    failed = [Record(0, "c", "exploded", steps=[(9.0, 1.0), (0.0, 1.0)]), Record(0, "c", "invalid_structure")]
    rule = StopRule.learned([*pilot, *failed], CHGNET, ELEMENTS, 0.1)
    assert rule.n_finished == 100
    assert 0.95 <= rule.way <= 0.96
    assert rule.summary() == {"prescreen": {"pilot_finished": 100, "quantile": 0.95, "way_A": rule.way}}


def test_too_small_a_pilot_stops_nothing():
    pilot = [relaxed([(0.1, 1.0), (0.0, 0.01)])] * (LEAST_FINISHED - 1)
    rule = StopRule.learned(pilot, CHGNET, ELEMENTS, 0.1)
    rule.begin(0, rule.outlook(bulk("Al")))
    assert rule.watch(0, 0, 1e6, 0.06) == ""
    assert json.dumps(rule.summary(), allow_nan=False)
    assert StopRule.learned([*pilot, pilot[0]], CHGNET, ELEMENTS, 0.1).way == pytest.approx(0.1)


def test_what_can_still_come_to_within_the_limit_goes_on():
    rule = StopRule(keep_below=0.1, references=ELEMENTS, card=CHGNET, way=0.5, n_finished=100)
    rule.begin(3, rule.outlook(bulk("Al") * (1, 1, 2)))
    on_hull = 2 * ELEMENTS.terminals["Al"].energy
    assert rule.watch(3, 0, on_hull + 2 * 0.599, 1.0) == ""
    assert rule.watch(3, 1, on_hull + 2 * 0.601, 1.0) == (
        "0.601 eV/atom above the hull, of which it is expected to gain at most 0.500 with 1 eV/Å left "
        "(--keep-below 0.1)"
    )
    assert rule.watch(3, 2, on_hull + 2 * 0.3, 0.1)
    assert rule.end(3) is None
    assert rule.offsets == {}


def test_what_has_no_hull_is_not_stopped():
    references = replace(ELEMENTS, entries=tuple(e for e in ELEMENTS.entries if e.entry_id != "element-Cl"))
    rule = StopRule(keep_below=0.0, references=references, card=CHGNET, way=0.0, n_finished=100)
    rule.begin(0, rule.outlook(bulk("NaCl", "rocksalt", a=5.6)))
    assert rule.watch(0, 0, 1e6, 1.0) == ""
    rule.end(0)


def test_raw_energies_are_corrected_before_they_meet_the_hull():
    oxide = bulk("MgO", "rocksalt", a=4.2)
    correction = correction_of(oxide, 0.0).total
    assert correction < -0.5
    rule = StopRule(
        keep_below=0.0, references=ELEMENTS, card=replace(CHGNET, energy_convention="raw"), way=0.0, n_finished=100
    )
    rule.begin(0, rule.outlook(oxide))
    at_hull = sum(ELEMENTS.terminals[element].energy for element in ("Mg", "O")) - correction
    assert rule.watch(0, 0, at_hull - 1e-6, 1.0) == ""
    assert rule.watch(0, 0, at_hull + 1e-6, 1.0)


def test_reference_energies_of_a_fine_tuning_are_taken_off_before_the_hull():
    oxide = bulk("MgO", "rocksalt", a=4.2)
    rule = StopRule(
        keep_below=0.0,
        references=ELEMENTS,
        card=replace(CHGNET, reference_shifts=(("O", 300.0),)),
        way=0.0,
        n_finished=100,
    )
    rule.begin(0, rule.outlook(oxide))
    at_hull = sum(ELEMENTS.terminals[element].energy for element in ("Mg", "O")) + 300.0
    assert rule.watch(0, 0, at_hull - 1e-6, 1.0) == ""
    assert rule.watch(0, 0, at_hull + 1e-6, 1.0)


def test_the_pilot_takes_down_each_step_once():
    pilot = Pilot()
    pilot.begin(5, None)
    for n_steps, energy in ((0, 1.0), (1, 0.5), (1, 0.5), (2, 900.0), (0, 1.0), (1, 0.7)):  # begins anew after 2 steps
        assert pilot.watch(5, n_steps, energy, 0.1) == ""
    assert pilot.end(5) == [(1.0, 0.1), (0.7, 0.1)]
    assert pilot.steps == {}


@pytest.mark.parametrize(("n", "size"), [(1, 1), (50, 50), (51, 50), (972, 97), (5_000, 500), (10**6, 500)])
def test_the_pilot_is_a_tenth_within_bounds(n, size):
    places = pilot_places(n)
    assert len({*places}) == len(places) == size
    assert places == sorted(places) == pilot_places(n)
    assert 0 <= places[0] <= places[-1] < n


def test_pilot_and_rest_are_all_once():
    settings = ScreenSettings(prescreen=True, keep_below=0.1)
    records = dict.fromkeys(range(200), relaxed([(0.2, 1.0), (0.0, 0.01)]))
    (pilot, takes_down), (rest, rule) = passes(200, settings, CHGNET, ELEMENTS, lambda: records)
    assert sorted([*pilot, *rest]) == [*range(200)]
    assert [*rest] == sorted(rest)
    assert isinstance(takes_down, Pilot)
    assert isinstance(rule, StopRule)
    assert (rule.way, rule.keep_below) == (pytest.approx(0.2), 0.1)
    ((places, watcher),) = passes(200, ScreenSettings(), CHGNET, ELEMENTS, lambda: records)
    assert [*places] == [*range(200)]
    assert type(watcher) is Watcher


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prescreen": True}, "--prescreen needs --keep-below, in eV/atom above the hull, e.g. --keep-below 0.1."),
        ({"keep_below": 0.1}, "--keep-below says what --prescreen is to keep; give both, or neither."),
        ({"prescreen": True, "keep_below": -0.1}, "--keep-below is -0.1, expected a distance above the hull"),
        ({"prescreen": True, "keep_below": math.nan}, "--keep-below is nan, expected a distance above the hull"),
        ({"prescreen": True, "keep_below": 0.1, "relax": False}, "with --no-relax there are none"),
    ],
    ids=["no limit", "limit alone", "negative", "not a number", "no relaxation"],
)
def test_settings_that_make_no_prescreening(given, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        ScreenSettings(**given)


METALS = ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")
CONSTANTS = (2.91, 3.04, 3.16, 3.29)
"""Å, of the given CsCl-type alloys, whose own are 2.8 to 3.3."""

MODEL = "ase:ase.calculators.emt:EMT"
KEEP_BELOW = 0.05


@pytest.fixture(scope="module")
def alloys(tmp_path_factory):
    """84 alloys of EMT's metals, off their minima, and elements at EMT's energies, which are zero for fcc."""
    folder = tmp_path_factory.mktemp("alloys")
    rng = np.random.default_rng(0)
    with CandidateWriter(folder / "alloys.csv", []) as writer:
        for (one, other), a in itertools.product(itertools.combinations(METALS, 2), CONSTANTS):
            atoms = bulk(f"{one}{other}", "cesiumchloride", a=a)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.01, 0.01, (3, 3))), scale_atoms=True)
            writer.write(f"{one}{other}-{a}", atoms, {})
    entries = [
        {"entry_id": metal, "composition": {metal: 1}, "energy": 0.0, "parameters": {"run_type": "GGA"}}
        for metal in METALS
    ]
    (folder / "elements.json").write_text(json.dumps(entries))
    return folder


def command(alloys, out, *options):
    given = ["--model", MODEL, "--trust-model-file", "--functional", "PBE", "--max-steps", "100"]
    prescreen = ["--references", str(alloys / "elements.json"), "--prescreen", "--keep-below", str(KEEP_BELOW)]
    start = [sys.executable, "-m", "uniscreen", "screen", str(alloys / "alloys.csv"), "--out", str(out), "--quiet"]
    return [*start, *given, *prescreen, *options]


@pytest.fixture(scope="module")
def full(alloys):
    """All relaxed to the end; EMT's energies per atom are the distances to the hull of the elements."""
    potential = load_potential(MODEL, trust_model_file=True, device="cpu")
    candidates = [*read_candidates(alloys / "alloys.csv")]
    ends = relax(potential, [one.source.load(ReadLimits()) for one in candidates], RelaxationSettings(max_steps=100))
    rows = [(end.status, end.energy / len(end.atoms), end.n_steps) for end in ends]
    return pd.DataFrame(rows, columns=["status", "energy", "n_steps"], index=[one.id for one in candidates])


@pytest.fixture(scope="module")
def prescreened(alloys, tmp_path_factory):
    out = tmp_path_factory.mktemp("prescreened") / "run"
    subprocess.run(command(alloys, out, "--deterministic"), check=True, timeout=300)
    return out


def test_what_is_stopped_and_what_is_not(full, prescreened):
    table = pd.read_parquet(prescreened / "results.parquet").set_index("id").loc[full.index]
    stopped = table["status"] == "stopped_early"
    assert stopped.sum() >= 3
    assert not stopped.iloc[pilot_places(len(table))].any()
    assert (full["status"] == "ok").all()
    np.testing.assert_allclose(table["energy_eV_per_atom"][~stopped], full["energy"][~stopped], rtol=0, atol=1e-9)
    rows, ends = table[stopped], full[stopped]
    assert rows["rank"].isna().all()
    assert (rows["e_above_hull_eV_per_atom"] > KEEP_BELOW).all()
    assert (rows["n_steps"] < ends["n_steps"]).all()
    assert rows["reason"].str.contains(r"above the hull, of which it is expected to gain at most").all()
    assert (ends["energy"] > KEEP_BELOW).mean() >= 0.9
    run = json.loads((prescreened / "run.json").read_text())
    assert run["prescreen"]["pilot_finished"] >= LEAST_FINISHED
    assert run["prescreen"]["way_A"] > 0
    assert "were stopped early" in (prescreened / "report.html").read_text()


def test_killed_anywhere_it_ends_as_undisturbed(alloys, prescreened, tmp_path):
    for n in (2, 7):  # units of the pilot's seven, and of the rest's two
        process = subprocess.Popen(command(alloys, tmp_path / "run", "--deterministic", "--workers", "1"))
        deadline = time.monotonic() + 200
        while _n_units(tmp_path / "run") < n and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(alloys, tmp_path / "run", "--deterministic"), check=True, timeout=300)
    assert (tmp_path / "run" / "results.csv").read_bytes() == (prescreened / "results.csv").read_bytes()


def _n_units(run):
    return sum(part.read_bytes().count(b"\n") for part in (run / "records").glob("part-*.jsonl"))
