"""Re-referencing: exact where it can be, least-norm where the data fix only a combination."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import write

from uniscreen import load_potential
from uniscreen.errors import InputError
from uniscreen.training.reference_energies import (
    composition_matrix,
    fit_shifts,
    isolated_atom_shifts,
    residual_shifts,
    total_shift,
    undetermined,
)


def of(*formulas):
    return [Atoms(formula) for formula in formulas]


def test_shifts_are_recovered_whatever_their_size():
    structures = of("H2O", "H2", "O2", "CO2", "H2O2", "CH4")
    true = {"H": -13.6, "C": -1037.2, "O": -2043.9}
    found = fit_shifts(structures, total_shift(structures, true))
    assert found == pytest.approx(true, abs=1e-9)


def test_one_stoichiometry_fixes_only_its_own_combination():
    structures = of("NaCl", "Na4Cl4", "Na2Cl2")
    found = fit_shifts(structures, np.array([1.0, 4.0, 2.0]))
    assert found == pytest.approx({"Na": 0.5, "Cl": 0.5})


@pytest.mark.parametrize(
    ("formulas", "free"),
    [
        (("Si8",), []),
        (("NaCl", "Na4Cl4"), ["Na", "Cl"]),
        (("NaCl", "Na4Cl3"), []),
        (("NaCl", "He", "He2"), ["Na", "Cl"]),
        (("LiCoO2", "LiNiO2", "Li2Co2O4"), ["Li", "O", "Co", "Ni"]),
        (("LiCoO2", "LiNiO2", "Li2O", "O2"), []),
        (tuple(["NaCl"] * 5 + ["CsCl", "KCl"]), ["Na", "Cl", "K", "Cs"]),
    ],
)
def test_elements_whose_shift_the_compositions_leave_open(formulas, free):
    structures = of(*formulas)
    assert undetermined(structures) == sorted(free, key=lambda symbol: atomic_numbers[symbol])
    elements, counts = composition_matrix(structures)
    fractions = counts / counts.sum(axis=1)[:, None]
    for symbol, column in zip(elements, np.eye(len(elements)), strict=True):  # fixed: in the span of the rows
        inside = np.linalg.lstsq(fractions.T, column, rcond=None)[0] @ fractions
        assert (symbol in free) == (np.abs(inside - column).max() > 1e-6)


def test_large_cells_do_not_outweigh_small_ones():
    residuals = np.array([1.0, 100 * 0.0])
    assert fit_shifts(of("He", "He100"), residuals) == pytest.approx({"He": 0.5})


@pytest.mark.parametrize(("error", "tells"), [(60.0, False), (4.0, True)])
def test_one_calculation_that_went_wrong_has_no_say(error, tells):
    """Of eight atoms, 7.5 eV/atom off; half an eV/atom may be the potential's own error."""
    structures = of("Na4Cl4", "Na4Cl4", "Na2Cl2", "NaCl", "Na4Cl4", "Na", "Na4Cl4", "Na2Cl2", "NaCl", "Na3Cl3")
    residuals = total_shift(structures, {"Na": 0.3, "Cl": 0.4}) + 0.01 * np.cos(np.arange(10))
    wrong = residuals.copy()
    wrong[4] += error
    zero = SimpleNamespace(energy=0.0)
    without = [k for k in range(10) if k != 4]
    found = residual_shifts(
        [SimpleNamespace(atoms=one, energy=e) for one, e in zip(structures, wrong, strict=True)], [zero] * 10
    )
    used = range(10) if tells else without
    assert found == pytest.approx(fit_shifts([structures[k] for k in used], wrong[list(used)]))


def test_absent_elements_have_no_shift():
    assert total_shift(of("H2O"), {"H": 1.0}) == pytest.approx([2.0])


@pytest.fixture
def mace(tmp_path):
    """A MACE with random weights; its species are O, Al and Cu, of -432.1, -3.5 and -1.25 eV."""
    pytest.importorskip("mace", reason="mace is not installed")
    from mace_models import random_model

    torch.save(random_model(), tmp_path / "random.model")
    return load_potential(str(tmp_path / "random.model"), device="cpu", trust_model_file=True)


def single_atoms(path, name="energy", **energies):
    frames = [Atoms(symbol, info={name: energy}) for symbol, energy in energies.items()]
    write(path, frames, format="extxyz")
    return path


def test_isolated_atoms_become_the_reference_energies(mace, tmp_path):
    path = single_atoms(tmp_path / "atoms.extxyz", O=-430.0, Cu=-1.0)
    found = isolated_atom_shifts(path, None, mace, {"O", "Cu"})
    assert found == pytest.approx({"O": 2.1, "Cu": 0.25})


def test_energies_of_isolated_atoms_have_the_names_of_labels(mace, tmp_path):
    path = single_atoms(tmp_path / "atoms.extxyz", name="REF_energy", O=-430.0)
    assert isolated_atom_shifts(path, None, mace, {"O"}) == pytest.approx({"O": 2.1})
    path = single_atoms(tmp_path / "atoms.extxyz", name="mine", O=-430.0)
    assert isolated_atom_shifts(path, "mine", mace, {"O"}) == pytest.approx({"O": 2.1})
    write(path, [Atoms("O", info={"REF_energy": -430.0, "dft_energy": -431.0})], format="extxyz")
    with pytest.raises(InputError, match=r"atoms\.extxyz, frame 1 holds REF_energy and dft_energy, which differ"):
        isolated_atom_shifts(path, None, mace, {"O"})


def test_one_isolated_atom_of_two_spin_states_must_be_left(mace, tmp_path):
    path = tmp_path / "atoms.extxyz"
    write(path, [Atoms("Cu", info={"REF_energy": energy}) for energy in (-3.2, -1.0)], format="extxyz")
    with pytest.raises(InputError, match=r"frame 2 holds Cu with -1\.0 eV, and one before it Cu with -3\.2 eV"):
        isolated_atom_shifts(path, None, mace, {"Cu"})


def test_isolated_atoms_that_lack_an_element_or_an_energy_are_refused(mace, tmp_path):
    path = single_atoms(tmp_path / "atoms.extxyz", O=-430.0)
    with pytest.raises(InputError, match="no single atom of Al, Cu"):
        isolated_atom_shifts(path, None, mace, {"O", "Al", "Cu"})
    for wrong in ("unknown", float("nan")):
        path = single_atoms(tmp_path / "atoms.extxyz", O=wrong)
        with pytest.raises(InputError, match="frame 1 holds O with the energy"):
            isolated_atom_shifts(path, None, mace, {"O"})
