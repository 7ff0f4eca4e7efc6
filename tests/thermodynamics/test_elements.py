from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pymatgen.core import Element, Lattice, Structure

from uniscreen.errors import ReferenceMismatchError
from uniscreen.thermodynamics import elemental_references, mp2020_correction


def test_table_is_plausible_and_read_only():
    table = elemental_references("PBE")
    assert len(table) == 88
    assert all(Element.is_valid_symbol(symbol) and -20 < energy < 0 for symbol, energy in table.items())
    assert table["O"] == pytest.approx(-4.947961005, abs=1e-9)
    with pytest.raises(TypeError):
        table["O"] = 0.0


def test_functional_without_a_table_is_refused():
    with pytest.raises(ReferenceMismatchError, match=r"r2SCAN.*PBE.*--references FILE.*--references mp"):
        elemental_references("r2SCAN")


@pytest.mark.parametrize("element", ["O", "F", "S", "Cl", "Br", "I", "N", "Se", "Si", "Sb", "Te", "H", "Fe"])
def test_elements_are_not_corrected(element):
    crystal = Structure(Lattice.cubic(4.0), [element, element], [[0, 0, 0], [0.3, 0.3, 0.3]])
    assert mp2020_correction(crystal, -1.0).total == 0.0


def test_table_equals_the_published_set(shared_records):
    published = shared_records("reference/mp-pbe-elements.json.gz")
    table = elemental_references("PBE")
    assert set(table) == set(published)
    for element, record in published.items():
        assert table[element] == pytest.approx(min(record["energy_per_atom"]), abs=1e-8)


@pytest.mark.parametrize("prefix", ["", "corrected_"])
def test_table_equals_a_least_squares_fit_to_wbm(shared_records, prefix):
    records = shared_records("wbm/wbm-972.json.gz")
    symbols = [[site["species"][0]["element"] for site in r["structure"]["sites"]] for r in records]
    elements = sorted({symbol for row in symbols for symbol in row})
    counts = np.array([[row.count(element) for element in elements] for row in symbols], dtype=float)
    atoms = counts.sum(axis=1)
    energy = np.array([r[f"{prefix}energy"] for r in records])
    formation = np.array([r[f"{prefix}formation_energy_per_atom"] for r in records])
    fit = np.linalg.lstsq(counts, energy - atoms * formation)[0]
    table = elemental_references("PBE")
    np.testing.assert_allclose(fit, [table[element] for element in elements], rtol=0, atol=1e-6)


def test_importing_the_room_imports_nothing_heavy():
    heavy = {"numpy", "scipy", "pymatgen", "torch"}
    code = f"import sys, uniscreen.thermodynamics; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
