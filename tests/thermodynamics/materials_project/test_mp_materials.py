"""Materials by id and by chemistry, and the tables made of them."""

import numpy as np
import pytest
from ase import Atoms

from uniscreen.errors import InputError, MaterialsProjectError
from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.thermodynamics.materials_project import (
    MaterialsProject,
    Selection,
    fetch_materials,
    materials,
    select_materials,
    table_content,
)


def selected(thermo_type="GGA_GGA+U", **criteria):
    return select_materials(MaterialsProject.connect(), Selection(**criteria), thermo_type)


def ids(found):
    return [material.material_id for material in found]


def document(server, name, thermo_type="GGA_GGA+U"):
    (found,) = (
        doc
        for doc in server.thermo
        if doc["thermo_type"] == thermo_type and next(iter(doc["entries"].values()))["entry_id"].startswith(f"{name}-")
    )
    return found


@pytest.mark.parametrize("thermo_type", ["GGA_GGA+U", "R2SCAN", "GGA_GGA+U_R2SCAN"])
def test_energies_are_those_of_the_thermo_type(materials_project, thermo_type):
    (material,) = selected(thermo_type, systems=("O-Co-Li",))
    expected = document(materials_project, "mp-22526", thermo_type)
    assert material.material_id == "mp-22526"
    assert material.e_above_hull == expected["energy_above_hull"]
    assert material.formation_energy == expected["formation_energy_per_atom"]


def test_materials_by_chemistry_size_and_hull_distance(materials_project):
    assert ids(selected(systems=("Li-O", "Co-O"))) == ["mp-1960", "mp-22408"]
    assert ids(selected(systems=("*-O",))) == ["mp-1960", "mp-19009", "mp-22408"]
    assert ids(selected(elements=("O", "Li"))) == ["mp-1960", "mp-22526"]
    assert ids(selected(elements=("O",), excluded=("Li", "Ni"))) == ["mp-12957", "mp-22408"]
    assert ids(selected(elements=("O",), n_atoms=(3, 3))) == ["mp-1960"]
    assert ids(selected(elements=("O",), limit=2)) == ["mp-1960", "mp-12957"]
    unstable = document(materials_project, "mp-22408")["energy_above_hull"]
    assert unstable > 0.01
    assert ids(selected(elements=("O", "Co"), e_above_hull=(0.0, 0.0))) == ["mp-22526"]
    assert ids(selected(elements=("O", "Co"), e_above_hull=(0.01, 5.0))) == ["mp-22408"]


def test_materials_are_asked_for_in_batches_and_once(materials_project, monkeypatch):
    monkeypatch.setattr("uniscreen.thermodynamics.materials_project.selection.BATCH", 2)
    seen = []
    found = select_materials(
        MaterialsProject.connect(), Selection(elements=("O",)), "GGA_GGA+U", lambda *step: seen.append(step)
    )
    assert len(found) == 5
    assert seen == [(2, 5), (4, 5), (5, 5)]
    n_requests = len(materials_project.data_requests())
    assert n_requests == 4
    assert ids(selected(elements=("O",))) == ids(found)
    assert len(materials_project.data_requests()) == n_requests


def test_nothing_found_is_an_error(materials_project):
    with pytest.raises(MaterialsProjectError, match="no material like that: 0 of this chemistry"):
        selected(systems=("He-Xe",))
    with pytest.raises(MaterialsProjectError, match="1 of this chemistry and size, none"):
        selected(systems=("Li-Co",), thermo_type="R2SCAN")


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({}, "No chemistry"),
        ({"systems": ("Li-*", "O-*")}, "only be given alone"),
        ({"systems": ("LiO",)}, "not a chemical system"),
        ({"elements": ("Li-O",)}, "not one element"),
        ({"elements": ("Qq",)}, "not an element"),
        ({"elements": ("O",), "n_atoms": (9, 2)}, "smaller number first"),
        ({"elements": ("O",), "e_above_hull": (0.1, float("nan"))}, "smaller number first"),
        ({"elements": ("O",), "limit": 0}, "--limit is 0"),
    ],
    ids=["none", "wildcards", "formula", "two", "unknown", "reversed", "nan", "zero"],
)
def test_a_selection_that_makes_no_sense_is_refused(criteria, message):
    with pytest.raises(InputError, match=message):
        Selection(**criteria)


def test_materials_by_id(materials_project):
    asked = ["mp-22526", "mp-1063", "mp-cxk", "mp-99999", "foo", "mp-"]
    found = fetch_materials(MaterialsProject.connect(), asked, "R2SCAN")
    assert set(found) == {"mp-22526", "mp-1063", "mp-cxk"}
    assert found["mp-22526"].e_above_hull == document(materials_project, "mp-22526", "R2SCAN")["energy_above_hull"]
    assert found["mp-1063"].e_above_hull is None  # no r2SCAN calculation: the structure alone
    assert len(found["mp-1063"].structure["sites"]) == 2
    assert found["mp-cxk"].material_id == "mp-1960"


def test_materials_by_id_without_energies(materials_project):
    found = fetch_materials(MaterialsProject.connect(), ["mp-22526"], None)
    assert found["mp-22526"].e_above_hull is None
    assert [asked.path for asked in materials_project.data_requests()] == ["/materials/summary/"]


def test_ids_are_fetched_in_batches_and_once(materials_project, monkeypatch):
    monkeypatch.setattr(materials, "BATCH", 2)
    asked = ["mp-22526", "mp-1960", "mp-135", "mp-22526"]
    seen = []
    found = fetch_materials(MaterialsProject.connect(), asked, "GGA_GGA+U", lambda *step: seen.append(step))
    assert set(found) == set(asked)
    assert seen == [(2, 3), (3, 3)]
    n_requests = len(materials_project.data_requests())
    assert fetch_materials(MaterialsProject.connect(), asked, "GGA_GGA+U") == found
    assert len(materials_project.data_requests()) == n_requests == 2


@pytest.mark.parametrize(
    "name", ["candidates.csv", "candidates.CSV", "candidates.csv.gz", "candidates.json", "candidates.json.gz"]
)
def test_a_table_of_materials_is_read_back_without_loss(materials_project, tmp_path, name):
    found = selected(elements=("O",))
    path = tmp_path / name
    path.write_bytes(table_content(found, name, "GGA_GGA+U", "2026.04.13"))
    table = read_candidates(path)
    assert [candidate.id for candidate in table] == ids(found)
    assert list(table.columns["dft_e_above_hull_eV_per_atom"]) == [material.e_above_hull for material in found]
    assert list(table.columns["dft_formation_energy_eV_per_atom"]) == [material.formation_energy for material in found]
    assert set(table.columns["dft_thermo_type"]) == {"GGA_GGA+U"}
    assert set(table.columns["database_version"]) == {"2026.04.13"}
    for candidate, material in zip(table, found, strict=True):
        given = expected_atoms(material)
        read = candidate.source.load(ReadLimits())
        assert list(read.numbers) == list(given.numbers)
        np.testing.assert_allclose(read.cell.array, given.cell.array, atol=1e-14)
        np.testing.assert_allclose(read.positions, given.positions, atol=1e-14)


def expected_atoms(material):
    """Atoms from the dict of a pymatgen Structure, by hand."""
    sites, matrix = material.structure["sites"], np.array(material.structure["lattice"]["matrix"])
    symbols = [site["species"][0]["element"] for site in sites]
    return Atoms(symbols, cell=matrix, scaled_positions=[site["abc"] for site in sites], pbc=True)
