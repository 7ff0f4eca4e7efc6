"""Competing entries: complete, of one kind of energies, each once, and not fetched twice."""

import gzip
import json

import pytest
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedStructureEntry

from materials_project_server import Fault, MaterialsProjectServer
from uniscreen.errors import InputError, MaterialsProjectError, ReferenceMismatchError
from uniscreen.thermodynamics import CorrectionScheme, Hull, ReferenceSet
from uniscreen.thermodynamics.materials_project import (
    MaterialsProject,
    client,
    competition,
    fetch_references,
    maximal_systems,
    parse_system,
    thermo_type_of,
)
from uniscreen.thermodynamics.materials_project.systems import all_subsystems

LI_CO_O = frozenset({"Li", "Co", "O"})


def fetched(*systems, thermo_type="GGA_GGA+U", on_progress=None):
    content = fetch_references(MaterialsProject.connect(), [*map(parse_system, systems)], thermo_type, on_progress)
    return ReferenceSet.from_bytes(content, "refs.json.gz")


def ids(references):
    return sorted(entry.entry_id.rsplit("-", 1)[0] for entry in references.entries)


@pytest.mark.parametrize(
    ("thermo_type", "functional", "scheme"),
    [("GGA_GGA+U", "PBE", CorrectionScheme.MP2020), ("R2SCAN", "r2SCAN", CorrectionScheme.NONE)],
)
def test_hull_distances_from_fetched_entries_are_those_of_the_documents(
    materials_project, thermo_type, functional, scheme
):
    references = fetched("Li-Co-Ni-O", thermo_type=thermo_type)
    assert (references.functional, references.scheme) == (functional, scheme)
    hull = Hull(references)
    documents = [
        doc for doc in materials_project.thermo if doc["thermo_type"] == thermo_type and "Na" not in doc["elements"]
    ]
    assert len(references) == len(documents)
    for document in documents:
        composition = Composition(document["composition"])
        found = hull.e_above_hull(composition, document["energy_per_atom"] * composition.num_atoms)
        assert found.e_above_hull == pytest.approx(document["energy_above_hull"], abs=1e-6)
        assert found.formation_energy == pytest.approx(document["formation_energy_per_atom"], abs=1e-6)


def test_entries_of_all_subsystems_and_no_others_each_once(materials_project):
    assert ids(fetched("Li-Co-O")) == sorted(
        ["mp-135", "mp-102", "mp-12957", "mp-1960", "mp-22408", "mp-22526", "mp-1063"]
    )
    assert ids(fetched("Co-O", "O-Li", "Li-O")) == sorted(["mp-135", "mp-102", "mp-12957", "mp-1960", "mp-22408"])


def test_the_thermo_type_is_always_said(materials_project):
    fetched("Li-Co-O")
    fetched("Li-Co-O", thermo_type="R2SCAN")
    said = [asked.parameters["thermo_types"] for asked in materials_project.data_requests()]
    assert [text.upper() for text in said] == ["GGA_GGA+U", "R2SCAN"]


def test_energies_of_another_type_than_asked_for_are_refused(materials_project, monkeypatch):
    """A server that overlooks the parameter would give a mixture."""
    answer = MaterialsProjectServer.answer
    monkeypatch.setattr(
        MaterialsProjectServer,
        "answer",
        lambda self, path, given: answer(self, path, {k: v for k, v in given.items() if k != "thermo_types"}),
    )
    with pytest.raises(MaterialsProjectError, match=r"asked for energies of thermo type GGA_GGA\+U and also gave"):
        fetched("Li-O")


def test_the_database_is_recorded(materials_project):
    content = json.loads(
        gzip.decompress(fetch_references(MaterialsProject.connect(), [LI_CO_O, frozenset({"Li", "O"})], "GGA_GGA+U"))
    )
    origin = content["database"]
    assert origin["name"] == "Materials Project"
    assert origin["version"] == "2026.04.13"
    assert origin["thermo_type"] == "GGA_GGA+U"
    assert origin["chemical_systems"] == ["Co-Li-O"]
    references = fetched("Li-Co-O")
    assert str(references.database) == "Materials Project 2026.04.13 (GGA_GGA+U)"
    assert references.database.retrieved == origin["retrieved"]


def test_pymatgen_reads_the_same_entries(materials_project):
    content = json.loads(gzip.decompress(fetch_references(MaterialsProject.connect(), [LI_CO_O], "GGA_GGA+U")))
    read = {entry.entry_id: entry for entry in map(ComputedStructureEntry.from_dict, content["entries"])}
    given = [
        ComputedStructureEntry.from_dict(entry)
        for document in materials_project.thermo
        if document["thermo_type"] == "GGA_GGA+U"
        for entry in document["entries"].values()
    ]
    compared = [entry for entry in given if entry.entry_id in read]
    assert len(compared) == len(read) == 7
    for entry in compared:
        other = read[entry.entry_id]
        assert other.energy == entry.energy
        assert other.correction == entry.correction
        assert other.structure == entry.structure
        assert [a.name for a in other.energy_adjustments] == [a.name for a in entry.energy_adjustments]


def test_what_is_on_disk_is_not_fetched_again(materials_project):
    first = fetch_references(MaterialsProject.connect(), [LI_CO_O], "GGA_GGA+U")
    n_requests = len(materials_project.data_requests())
    assert n_requests == 1
    assert fetch_references(MaterialsProject.connect(), [LI_CO_O], "GGA_GGA+U") == first
    assert len(materials_project.data_requests()) == n_requests
    fetched("Li-Co-Ni")  # only what is new: Ni, Li-Ni, Co-Ni and the system itself
    (asked,) = materials_project.data_requests()[n_requests:]
    assert sorted(asked.parameters["chemsys"].split(",")) == ["Co-Li-Ni", "Co-Ni", "Li-Ni", "Ni"]


def test_another_version_is_fetched_anew(materials_project):
    fetched("Li-O")
    materials_project.version = "2026.09.01"
    assert fetched("Li-O").database.version == "2026.09.01"
    assert len(materials_project.data_requests()) == 2


def test_an_interrupted_fetch_continues_where_it_was(materials_project, monkeypatch):
    monkeypatch.setattr(competition, "BATCH", 2)
    seen = []

    def stop_after_two(done, total):
        seen.append((done, total))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched("Li-Co-O", on_progress=stop_after_two)
    assert seen == [(0, 7), (2, 7), (4, 7)]
    assert len(ids(fetched("Li-Co-O", on_progress=lambda *step: seen.append(step)))) == 7
    assert seen[3:] == [(4, 7), (6, 7), (7, 7)]
    asked = [name for request in materials_project.data_requests() for name in request.parameters["chemsys"].split(",")]
    assert sorted(asked) == sorted(all_subsystems([LI_CO_O]))


def test_a_fetch_that_failed_keeps_what_it_had(materials_project, monkeypatch):
    monkeypatch.setattr(competition, "BATCH", 2)
    steps = iter(range(10))
    materials_project.on_data = lambda: materials_project.faults.extend([Fault(500)] * 6 if next(steps) == 1 else [])
    with pytest.raises(MaterialsProjectError, match="HTTP status 500"):
        fetched("Li-Co-O")
    n_requests = len(materials_project.data_requests())
    assert len(fetched("Li-Co-O")) == 7
    assert len(materials_project.data_requests()) == n_requests + 2


def test_a_damaged_file_is_fetched_again(materials_project, tmp_path):
    fetched("Li-O")
    (file,) = (tmp_path / "cache").rglob("Li-O.json.gz")
    file.write_bytes(file.read_bytes()[:50])
    assert len(fetched("Li-O")) == 3
    assert materials_project.data_requests()[-1].parameters["chemsys"] == "Li-O"


def test_versions_are_not_mixed(materials_project, tmp_path):
    """The database is replaced while it is read."""
    materials_project.on_data = lambda: setattr(materials_project, "version", "2026.09.01")
    with pytest.raises(MaterialsProjectError, match=r"from version 2026\.04\.13 to 2026\.09\.01 meanwhile"):
        fetched("Li-O")
    assert not list((tmp_path / "cache").rglob("*.json.gz"))
    assert fetched("Li-O").database.version == "2026.09.01"


def test_answers_of_several_pages_are_put_together(materials_project, monkeypatch):
    monkeypatch.setattr(client, "PAGE", 3)
    assert len(fetched("Li-Co-O")) == 7
    pages = [(asked.parameters.get("_skip"), asked.parameters["_limit"]) for asked in materials_project.data_requests()]
    assert pages == [(None, "3"), ("3", "3"), ("6", "1")]


def test_a_system_without_entries_is_an_error(materials_project):
    with pytest.raises(MaterialsProjectError, match=r"2026\.04\.13\) has no GGA_GGA\+U entry in .* He-Xe"):
        fetched("He-Xe")
    with pytest.raises(MaterialsProjectError, match="He-Xe"):
        fetched("He-Xe", "Li-O")


@pytest.mark.parametrize("text", ["", "Li-", "Lithium", "Li,O", "LiCoO2", "Li-Qq", "D-O", "../Li"])
def test_what_is_no_chemical_system_is_refused_before_anything_is_asked(text):
    with pytest.raises(InputError, match="is not a chemical system"):
        parse_system(text)


def test_the_mixed_type_and_huge_systems_are_refused(materials_project):
    with pytest.raises(InputError, match="scale of their own in each chemical system"):
        fetched("Li-O", thermo_type="GGA_GGA+U_R2SCAN")
    with pytest.raises(InputError, match="has 13 elements"):
        fetched("H-Li-Na-K-Rb-Cs-Be-Mg-Ca-Sr-Ba-O-F")
    assert materials_project.data_requests() == []


def test_systems_within_others_are_left_out():
    systems = [frozenset(text.split("-")) for text in ("Li", "Li-O", "Li-Co-O", "Na-O", "Co-O", "Li-O")]
    assert maximal_systems(systems) == [frozenset({"Li", "Co", "O"}), frozenset({"Na", "O"})]


def test_the_thermo_type_is_the_functionals():
    assert thermo_type_of("PBE") == "GGA_GGA+U"
    assert thermo_type_of("r2SCAN") == "R2SCAN"
    with pytest.raises(ReferenceMismatchError, match="'PBE-54'"):
        thermo_type_of("PBE-54")


@pytest.mark.parametrize("entries", [{"GGA": {}}, {"GGA": None}, None, {"GGA": {"composition": {"Na": 1}}}])
def test_documents_of_another_form_are_an_error(materials_project, entries):
    for document in materials_project.thermo:
        if document["elements"] == ["Li"]:
            document["entries"] = entries
    with pytest.raises(MaterialsProjectError, match="form that is not known"):
        fetched("Li-O")


def test_the_published_hull_distances_are_found_again(materials_project, shared_records):
    """775 real entries served as documents: hull distances from what was fetched are the Materials Project's own."""
    records = shared_records("mp/li-co-ni-o-entries.json.gz")
    materials_project.thermo.clear()
    for record in records:
        entry = {
            key: value for key, value in record.items() if key not in ("e_above_hull", "is_stable", "e_form_per_atom")
        }
        materials_project.thermo.append(
            {
                "material_id": record["data"]["material_id"],
                "thermo_type": "GGA_GGA+U",
                "energy_above_hull": record["e_above_hull"],
                "entries": {record["parameters"]["run_type"]: entry},
            }
        )
    references = fetched("Li-Co-Ni-O")
    assert len(references) == len(records) == 775
    hull = Hull(references)
    for record in records:
        found = hull.e_above_hull(Composition(record["composition"]), record["energy"] + record["correction"])
        assert found.e_above_hull == pytest.approx(record["e_above_hull"], abs=1e-6)
