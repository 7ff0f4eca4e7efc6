"""What is recorded of a candidate after its relaxation, also where pymatgen takes too long."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from ase import Atoms
from ase.build import bulk

from uniscreen.potentials import find_card
from uniscreen.potentials.cost import Cost
from uniscreen.relaxation.result import Relaxation
from uniscreen.screening import corrections
from uniscreen.screening.prescreen import StopRule, Watcher
from uniscreen.screening.processing import CandidateProcessor, Prepared
from uniscreen.screening.record import Record
from uniscreen.structures.candidate import Candidate, ReadLimits
from uniscreen.structures.sources import ArraySource
from uniscreen.thermodynamics import ReferenceSet

CHGNET = find_card("chgnet-0.3.0")


def oxide(bond, cell):
    """LiO2 with its oxygen atoms so far apart in the middle of a cell, Å."""
    height = cell[2] / 2
    middle = [[cell[0] / 2, cell[1] / 2, height + side * bond / 2] for side in (-1, 1)]
    return Atoms("LiO2", [[0, 0, 0], *middle], cell=cell, pbc=True)


@pytest.mark.parametrize("convention", ["raw", "MP2020-corrected"])
def test_what_is_recorded_of_the_given_and_of_the_relaxed_structure(convention):
    """A superoxide that becomes an oxide: -0.161 and -0.687 eV per O of Wang et al. (2021)."""
    before, after = oxide(1.33, (8.0, 8.0, 8.0)), oxide(3.0, (8.0, 8.4, 8.8))
    energies = {"initial_energy": -11.0, "energy": -12.0, "max_force": 0.03, "max_stress": 0.001}
    deviations = {"energy_std": 0.004, "max_force_std": 0.2}
    relaxed = Relaxation(7, "ok", "", after, 3, **energies, **deviations)
    processor = CandidateProcessor(replace(CHGNET, energy_convention=convention), None, ReadLimits(), Watcher())
    record = processor.finish(Prepared(7, "LiO2", before, 1.0, None), relaxed, [(-11.0, 0.5), (-12.0, 0.03)])
    assert {name: getattr(record, name) for name in {*energies, *deviations}} == energies | deviations
    assert (record.index, record.id, record.formula, record.n_atoms, record.n_steps) == (7, "LiO2", "LiO2", 3, 3)
    assert record.volume_change == pytest.approx(1.05 * 1.1 - 1)
    assert (record.space_group_initial, record.space_group_final) == ("P4/mmm (123)", "Pmmm (47)")
    assert record.crystal.atoms() == after
    assert record.steps == [(-11.0, 0.5), (-12.0, 0.03)]
    assert record.correction.total == pytest.approx(2 * -0.687)
    if convention == "raw":
        assert record.initial_correction.total == pytest.approx(2 * -0.161)
    else:
        assert record.initial_correction is None


def no_end_of_a_correction(monkeypatch):
    monkeypatch.setattr(corrections, "CORRECTION_SECONDS", 0.2)
    monkeypatch.setattr(corrections, "mp2020_correction", lambda *_: time.sleep(60))


@pytest.mark.parametrize(("convention", "status"), [("MP2020-corrected", "ok"), ("raw", "failed")])
def test_a_correction_that_takes_too_long_holds_nothing_up(convention, status, monkeypatch):
    """Guessing the oxidation states of ten metals in a carbide takes minutes; energies that hold it need it not."""
    no_end_of_a_correction(monkeypatch)
    atoms = bulk("MgO", "rocksalt", a=4.2)
    energies = {"initial_energy": -11.0, "energy": -12.0, "max_force": 0.0, "max_stress": 0.0}
    relaxed = Relaxation(key=0, status="ok", reason="", atoms=atoms, n_steps=3, **energies)
    processor = CandidateProcessor(replace(CHGNET, energy_convention=convention), None, ReadLimits(), Watcher())
    start = time.monotonic()
    record = processor.finish(Prepared(0, "oxide", atoms, 1.0, None), relaxed, None)
    assert time.monotonic() - start < 30
    assert record.status == status
    assert record.correction is None
    if status == "failed":
        assert "its MP2020 correction was not found in 0.2 s" in record.reason
    else:
        assert record.energy == -12.0


def test_nor_does_one_that_tells_whether_a_relaxation_is_stopped_early(monkeypatch):
    no_end_of_a_correction(monkeypatch)
    atoms = bulk("MgO", "rocksalt", a=4.2)
    source = ArraySource(atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True), None)
    raw = replace(CHGNET, energy_convention="raw")
    rule = StopRule(0.1, ReferenceSet.from_elements("PBE"), raw, way=0.5, n_finished=50)
    start = time.monotonic()
    record = CandidateProcessor(raw, Cost(), ReadLimits(), rule).prepare(0, Candidate("oxide", source))
    assert time.monotonic() - start < 30
    assert isinstance(record, Record)
    assert record.status == "failed"
    assert "its MP2020 correction was not found in 0.2 s" in record.reason
