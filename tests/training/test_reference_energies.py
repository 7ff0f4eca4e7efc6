"""Re-referencing: exact where it can be, least-norm where the data fix only a combination."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from uniscreen.training.reference_energies import fit_shifts, total_shift


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


def test_large_cells_do_not_outweigh_small_ones():
    residuals = np.array([1.0, 100 * 0.0])
    assert fit_shifts(of("He", "He100"), residuals) == pytest.approx({"He": 0.5})


def test_absent_elements_have_no_shift():
    assert total_shift(of("H2O"), {"H": 1.0}) == pytest.approx([2.0])
