from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from uniscreen.errors import InputError, ReferenceMismatchError
from uniscreen.thermodynamics import CorrectionScheme, ReferenceSet

OXIDE = ("MP2020 anion correction (oxide)", -0.687)
LEGACY = ("MP Anion Correction", -0.7)


@pytest.fixture
def lithium_oxide(entry_dict):
    return [
        entry_dict({"Li": 1.0}, -1.9),
        entry_dict({"Li": 2.0}, -3.5),
        entry_dict({"O": 2.0}, -9.9),
        entry_dict({"Li": 2.0, "O": 1.0}, -14.3, [OXIDE]),
    ]


def test_entries_have_corrected_energies(entries_file, lithium_oxide):
    path = entries_file(lithium_oxide)
    references = ReferenceSet.from_file(path)
    assert (references.functional, references.scheme) == ("PBE", CorrectionScheme.MP2020)
    assert references.source == "entries.json"
    assert references.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert references.entries[3].energy == pytest.approx(-14.987)
    assert {el: e.energy_per_atom for el, e in references.terminals.items()} == pytest.approx({"Li": -1.9, "O": -4.95})


def test_gzipped_file_and_entries_key(tmp_path, lithium_oxide):
    path = tmp_path / "entries.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"entries": lithium_oxide}).encode()))
    assert len(ReferenceSet.from_file(str(path))) == 4


def test_uncertainties_of_adjustments(entries_file, lithium_oxide):
    """Per corrected atom as pymatgen writes compositional ones, or of the whole; None where one is not told."""
    oxide = lithium_oxide[3]
    name = OXIDE[0]
    for told, expected in (
        ({"uncertainty_per_atom": 0.002, "n_atoms": 3.0}, {name: 0.006}),
        ({"uncertainty": 0.01}, {name: 0.01}),
        ({"uncertainty": float("nan")}, None),
        ({"uncertainty_per_atom": None, "n_atoms": 3.0}, None),
        ({}, None),
    ):
        oxide["energy_adjustments"] = [{"name": name, "value": -0.687, **told}]
        references = ReferenceSet.from_file(entries_file(lithium_oxide))
        assert references.entries[3].uncertainties == pytest.approx(expected)
        assert references.entries[0].uncertainties == {}


def test_competing_entries_are_those_within_the_system(entries_file, lithium_oxide, entry_dict):
    references = ReferenceSet.from_file(entries_file([*lithium_oxide, entry_dict({"Ni": 1.0, "Al": 1.0}, -10.0)]))
    entries = references.competing_entries("O-Li")
    assert sorted(entry.reduced_formula for entry in entries) == ["Li", "Li", "Li2O", "O2"]
    (oxide,) = (entry for entry in entries if entry.reduced_formula == "Li2O")
    assert (oxide.uncorrected_energy, oxide.energy) == pytest.approx((-14.3, -14.987))


def test_isotopes_of_hydrogen_compete_as_hydrogen(entries_file, entry_dict):
    mixed = entry_dict({"Li": 2.0, "D": 1.0, "H": 1.0}, -9.0)
    entries = [entry_dict({"Li": 1.0}, -1.9), entry_dict({"D": 2.0}, -6.7), mixed]
    references = ReferenceSet.from_file(entries_file(entries))
    assert [entry.amounts for entry in references.within(["Li", "H"])][-1] == {"Li": 2.0, "H": 2.0}
    assert references.terminals["H"].energy_per_atom == pytest.approx(-3.35)


@pytest.mark.parametrize("run_type", ["GGA", "GGA+U", "GGA_U"])
def test_pbe_run_types(entries_file, entry_dict, run_type):
    assert ReferenceSet.from_file(entries_file([entry_dict({"Li": 1}, -1.9, run_type=run_type)])).functional == "PBE"


def test_run_type_can_stand_in_data(entries_file, entry_dict):
    record = entry_dict({"Li": 1}, -1.9, parameters={}, data={"run_type": "r2SCAN"})
    references = ReferenceSet.from_file(entries_file([record]))
    assert (references.functional, references.scheme) == ("r2SCAN", CorrectionScheme.NONE)


def test_scheme_is_none_where_an_oxide_is_raw(entries_file, entry_dict):
    records = [entry_dict({"Li": 1}, -1.9), entry_dict({"Li": 2, "O": 1}, -14.3)]
    assert ReferenceSet.from_file(entries_file(records)).scheme is CorrectionScheme.NONE


def test_scheme_is_not_needed_for_intermetallics(entries_file, entry_dict):
    records = [entry_dict({"Ni": 1}, -5.7), entry_dict({"Ni": 1, "Al": 1}, -11.0)]
    assert ReferenceSet.from_file(entries_file(records)).scheme is CorrectionScheme.NOT_NEEDED


def test_corrections_of_before_2021_are_legacy(entries_file, entry_dict):
    references = ReferenceSet.from_file(entries_file([entry_dict({"Li": 2, "O": 1}, -14.3, [LEGACY])]))
    assert references.scheme is CorrectionScheme.LEGACY
    with pytest.raises(ReferenceMismatchError, match="legacy"):
        references.require_match("chgnet", "PBE", CorrectionScheme.MP2020)


def test_from_elements():
    references = ReferenceSet.from_elements("PBE")
    assert len(references) == 88
    assert references.functional == "PBE"
    references.require_match("any", "PBE", CorrectionScheme.MP2020)
    references.require_match("any", "PBE", CorrectionScheme.NONE)
    with pytest.raises(ReferenceMismatchError):
        ReferenceSet.from_elements("r2SCAN")


def test_match_names_both_sides_and_the_remedy(entries_file, lithium_oxide):
    references = ReferenceSet.from_file(entries_file(lithium_oxide))
    references.require_match("chgnet", "PBE", CorrectionScheme.MP2020)
    with pytest.raises(
        ReferenceMismatchError, match=r"'tensornet-r2scan'.*r2SCAN.*entries.json.*PBE.*MP2020.*'R2SCAN'"
    ):
        references.require_match("tensornet-r2scan", "r2SCAN", CorrectionScheme.NONE)
    with pytest.raises(ReferenceMismatchError, match=r"'raw'.*corrections: none.*corrections: MP2020"):
        references.require_match("raw", "PBE", CorrectionScheme.NONE)
    with pytest.raises(ReferenceMismatchError, match="computed with PBEsol"):
        references.require_match("other", "PBEsol", CorrectionScheme.NONE)


def test_mixed_functionals_are_refused(entries_file, entry_dict):
    records = [entry_dict({"Li": 1}, -1.9), entry_dict({"Li": 1}, -2.3, run_type="R2SCAN")]
    with pytest.raises(InputError, match=r"mixes functionals \(1 PBE, 1 r2SCAN entries\)"):
        ReferenceSet.from_file(entries_file(records))


@pytest.mark.parametrize("composition", [{"Na": 1, "Cl": 1}, {"Mg": 1, "I": 2}])
def test_a_raw_binary_halide_among_corrected_is_refused(entries_file, lithium_oxide, entry_dict, composition):
    raw = entry_dict(composition, -7.0, entry_id="mp-raw")
    with pytest.raises(InputError, match="mp-raw"):
        ReferenceSet.from_file(entries_file([*lithium_oxide, raw]))


def test_what_may_be_no_anion_is_not_taken_for_raw(entries_file, lithium_oxide, entry_dict):
    alloy = entry_dict({"Mg": 2, "Si": 1}, -10.0, entry_id="mp-alloy")
    assert len(ReferenceSet.from_file(entries_file([*lithium_oxide, alloy]))) == len(lithium_oxide) + 1


def test_raw_among_corrected_is_refused(entries_file, lithium_oxide, entry_dict):
    raw = entry_dict({"Li": 2, "O": 2}, -19.0, entry_id="mp-raw")
    with pytest.raises(InputError, match="mp-raw"):
        ReferenceSet.from_file(entries_file([*lithium_oxide, raw]))


def test_mixed_and_unknown_schemes_are_refused(entries_file, entry_dict):
    oxide = {"Li": 2, "O": 1}
    with pytest.raises(InputError, match="mixes correction schemes"):
        ReferenceSet.from_file(entries_file([entry_dict(oxide, -14, [OXIDE]), entry_dict(oxide, -14, [LEGACY])]))
    with pytest.raises(InputError, match=r"unknown scheme: my own"):
        ReferenceSet.from_file(entries_file([entry_dict(oxide, -14, [("my own", -1.0)])]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no entries"),
        ("text", "holds a str"),
        ({"structures": []}, "holds a dict"),
        ([[1]], "Entry 1 of entries.json is list"),
        ([{"energy": -1.0}], "Entry 1 of entries.json has no 'composition'"),
        ([{"composition": {"Li": 1}}], "Entry 1 of entries.json has no 'energy'"),
        ([{"composition": {"Li": 1}, "energy": float("nan")}], "energy nan"),
        ([{"composition": {"Li": 1}, "energy": "-1"}], "energy '-1'"),
        (
            [{"composition": {"Li": 1}, "energy": -1, "correction": -0.5, "parameters": {"run_type": "GGA"}}],
            "without named energy_adjustments",
        ),
        ([{"composition": {}, "energy": -1}], "composition"),
        ([{"composition": {"Xx": 1}, "energy": -1}], "Xx is not an element"),
        ([{"composition": {"Li": -1}, "energy": -1}], "positive numbers of atoms"),
        ([{"composition": {"Li": 1}, "energy": -1}], "no 'run_type'"),
        ([{"composition": {"Li": 1}, "energy": -1, "parameters": {"run_type": "HSE"}}], "run type 'HSE'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(entries_file, content, message):
    with pytest.raises(InputError, match=message):
        ReferenceSet.from_file(entries_file(content))


def test_number_of_the_wrong_entry_is_said(entries_file, lithium_oxide):
    del lithium_oxide[2]["energy"]
    with pytest.raises(InputError, match=r"Entry 3 .* no 'energy'"):
        ReferenceSet.from_file(entries_file(lithium_oxide))


def test_missing_file_and_not_json(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        ReferenceSet.from_file(tmp_path / "missing.json")
    for content in (b"a,b\n1,2\n", b"\x1f\x8b broken", b"\xff\xfe\x00", b"[" * 100_000):
        (tmp_path / "table.json").write_bytes(content)
        with pytest.raises(InputError, match="not JSON"):
            ReferenceSet.from_file(tmp_path / "table.json")


ORIGIN = {"name": "Materials Project", "version": "2026.04.13", "thermo_type": "R2SCAN", "retrieved": "2026-05-01"}


def test_a_file_may_say_which_database_it_is_from(entries_file, entry_dict):
    entries = [entry_dict({"Li": 1}, -1.9, run_type="R2SCAN")]
    references = ReferenceSet.from_file(entries_file({"entries": entries, "database": ORIGIN}))
    assert references.database is not None
    assert references.database.as_dict() == ORIGIN
    assert str(references.database) == "Materials Project 2026.04.13 (R2SCAN)"
    assert ReferenceSet.from_file(entries_file(entries)).database is None
    assert ReferenceSet.from_file(entries_file({"entries": entries})).database is None


@pytest.mark.parametrize("database", ["MP", {**ORIGIN, "version": 5}, {"name": "MP"}], ids=["text", "number", "part"])
def test_a_database_of_another_form_is_refused(entries_file, entry_dict, database):
    path = entries_file({"entries": [entry_dict({"Li": 1}, -1.9)], "database": database})
    with pytest.raises(InputError, match="'database' that is not an object with the texts name, version"):
        ReferenceSet.from_file(path)
