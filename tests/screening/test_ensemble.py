"""A screen with the folder of an ensemble: how far its members are apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import bulk
from ase.io import read, write

import uniscreen
from uniscreen.potentials.committee import Committee
from uniscreen.potentials.saved import write_committee

COLUMNS = ["energy_std_eV_per_atom", "max_force_std_eV_per_A"]


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Three potentials whose energies and forces differ."""
    folder = tmp_path_factory.mktemp("ensemble") / "run"
    members = []
    for number, factor in enumerate((0.98, 1.0, 1.03)):
        member = uniscreen.load_potential("chgnet-0.3.0", device="cpu")
        with torch.no_grad():
            member.model.bond_embedding.weight.mul_(factor)
        member.save(folder / "members" / str(number))
        members.append(uniscreen.load_potential(folder / "members" / str(number), device="cpu"))
    write_committee(folder, Committee(members).card, [f"members/{number}" for number in range(3)])
    return folder, members


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A crystal, and one that cannot be evaluated."""
    rattled = bulk("NaCl", "rocksalt", a=5.5, cubic=True)
    rattled.rattle(0.05, seed=1)
    rattled.info["id"] = "rattled"
    far = bulk("Ar", "fcc", a=20.0)
    far.info["id"] = "too far"
    path = tmp_path_factory.mktemp("given") / "given.extxyz"
    write(path, [rattled, far])
    return path


def test_the_deviations_of_the_members_are_those_of_the_relaxed_crystal(ensemble, given, tmp_path):
    folder, members = ensemble
    table = uniscreen.screen(given, model=folder, out=tmp_path / "out", workers=1).set_index("id")
    assert table.loc["rattled", "status"] == "ok"
    assert table.loc["too far", COLUMNS].isna().all()
    (relaxed,) = read(tmp_path / "out" / "relaxed.extxyz", ":")
    alone = [member.evaluate([relaxed])[0] for member in members]
    energies = [one.energy / len(relaxed) for one in alone]
    assert np.std(energies, ddof=1) > 1e-3
    assert table.loc["rattled", COLUMNS[0]] == pytest.approx(np.std(energies, ddof=1), rel=1e-3)
    forces = np.sqrt(np.var([one.forces for one in alone], axis=0, ddof=1).sum(axis=1))
    assert table.loc["rattled", COLUMNS[1]] == pytest.approx(forces.max(), abs=1e-4)


def test_they_stay_where_other_models_screen_too(ensemble, given, tmp_path):
    alone = uniscreen.screen(given, model=ensemble[0], out=tmp_path / "alone", relax=False, workers=1)
    both = uniscreen.screen(given, model=[ensemble[0], "chgnet-0.2.0"], out=tmp_path / "both", relax=False, workers=1)
    pd.testing.assert_frame_equal(both[COLUMNS], alone[COLUMNS])
    of_one = uniscreen.screen(given, out=tmp_path / "one", relax=False, workers=1)
    assert not set(COLUMNS) & set(of_one.columns)
