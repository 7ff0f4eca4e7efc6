"""What spglib cannot do is None, however it tells of it."""

import numpy as np
import pytest
import spglib
from ase.build import bulk

from uniscreen.structures.symmetry import spglib_answer


@pytest.mark.parametrize("by_none", [True, False])
def test_atoms_in_one_place_have_no_symmetry(by_none, monkeypatch):
    monkeypatch.setattr(spglib.error, "OLD_ERROR_HANDLING", by_none)
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    assert spglib_answer(spglib.get_symmetry_dataset, cell, symprec=0.1).number == 225
    in_one_place = (atoms.cell.array, np.zeros((2, 3)), [11, 11])
    assert spglib_answer(spglib.get_symmetry_dataset, in_one_place, symprec=0.1) is None
