"""From records to the table: ranks, flags, corrections, what a spreadsheet sees."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk

from uniscreen.errors import InputError, ReferenceMismatchError
from uniscreen.potentials import find_card
from uniscreen.potentials.loading import BACKENDS
from uniscreen.screening.columns import COLUMN_TYPES
from uniscreen.screening.competition import Competition, ModelReferences
from uniscreen.screening.corrections import correction_of, hull_scheme, required_correction
from uniscreen.screening.job import prepare
from uniscreen.screening.outputs import csv_bytes, write_outputs
from uniscreen.screening.provenance import environment
from uniscreen.screening.record import Crystal, Record
from uniscreen.screening.results import results_table
from uniscreen.screening.settings import ScreenSettings
from uniscreen.thermodynamics import (
    CompetingEntry,
    Correction,
    CorrectionScheme,
    ReferenceSet,
    elemental_references,
)

CARD = find_card("chgnet-0.3.0")
MU = elemental_references("PBE")


def competition():
    return Competition(ReferenceSet.from_elements("PBE"), among_candidates=True)


def made(index, symbols, formation_energy, status="ok", **changes) -> Record:
    """A record whose energy gives this formation energy (eV/atom) against the elemental references."""
    atoms = bulk(symbols, "rocksalt", a=5.0) if len(symbols) > 2 else bulk(symbols, "fcc", a=4.0)
    energy = sum(MU[s] for s in atoms.get_chemical_symbols()) + len(atoms) * formation_energy
    record = Record(
        index=index,
        id=f"c{index}",
        status=status,
        formula=symbols,
        n_atoms=len(atoms),
        n_steps=3,
        initial_energy=energy + 0.1,
        energy=energy,
        max_force=0.01,
        max_stress=0.001,
        volume_change=0.02,
        space_group_initial="Fm-3m (225)",
        space_group_final="Fm-3m (225)",
        crystal=Crystal.of(atoms, moments=False),
        correction=correction_of(atoms, energy),
        initial_correction=correction_of(atoms, energy),
    )
    return replace(record, **changes)


def table_of(*records, columns=None, against=None, card=CARD):
    columns = pd.DataFrame(index=range(len(records))) if columns is None else columns
    return results_table(records, card, against or competition(), columns)


def test_ranks_by_hull_distance_and_numbers_are_per_atom():
    # Two polymorphs: the lower lies 0.3 eV/atom below the other, its only competitor at that composition.
    table = table_of(made(0, "NaCl", -1.7), made(1, "NaCl", -2.0), made(2, "MgO", -1.0))
    assert table["id"].tolist() == ["c2", "c1", "c0"]
    assert table["rank"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table["formation_energy_eV_per_atom"], [-1.0, -2.0, -1.7], atol=1e-12)
    np.testing.assert_allclose(table["e_above_hull_eV_per_atom"], [-1.0, -0.3, 0.3], atol=1e-12)
    np.testing.assert_allclose(table["max_stress_GPa"], 0.160217662, rtol=1e-6)
    np.testing.assert_allclose(table["volume_change_percent"], 2.0)
    np.testing.assert_allclose(table["relaxation_energy_eV_per_atom"], -0.05)


def test_of_equal_hull_distances_the_lower_formation_energy_comes_first():
    twice = [made(0, "MgO", -1.0), made(1, "MgO", -1.0), made(2, "NaCl", -2.0), made(3, "NaCl", -2.0)]
    table = table_of(*twice)
    assert table["e_above_hull_eV_per_atom"].tolist() == [0.0] * 4
    assert table["id"].tolist() == ["c2", "c3", "c0", "c1"]


def test_unconverged_and_failed_rows_have_no_rank_and_do_not_compete():
    unconverged = made(0, "NaCl", -3.0, status="not_converged", reason="too slow")
    failed = Record(1, "c1", "invalid_structure", "no such file")
    table = table_of(unconverged, failed, made(2, "NaCl", -2.0)).set_index("id")
    assert table["rank"].isna().to_dict() == {"c2": False, "c0": True, "c1": True}
    np.testing.assert_allclose(table.loc["c2", "e_above_hull_eV_per_atom"], -2.0)
    np.testing.assert_allclose(table.loc["c0", "e_above_hull_eV_per_atom"], -1.0)  # below c2
    assert table.loc["c1"].filter(like="_eV").isna().all()
    assert table.loc["c1", "reason"] == "no such file"


def test_flags():
    far = made(0, "NaCl", -6.0, volume_change=-0.25, space_group_final="P1 (1)", initial_energy=0.0)
    missing = made(1, "Yb", 0.0, crystal=None) if "Yb" in MU else made(1, "Na", 0.0)
    crystal = Crystal.of(bulk("Yb", "fcc", a=5.5), moments=False)
    missing = replace(missing, crystal=crystal, formula="Yb")
    table = table_of(far, missing).set_index("id")
    assert (
        table.loc["c0", "flags"] == "large_volume_change;space_group_changed;far_from_minimum;unusual_formation_energy"
    )
    assert table.loc["c1", "flags"] == "missing_terminal:Yb"
    assert np.isnan(table.loc["c1", "e_above_hull_eV_per_atom"])
    assert table["rank"].to_dict() == {"c0": 1, "c1": 2}


@pytest.mark.parametrize(
    ("flag", "within", "beyond"),
    [
        ("large_volume_change", {"volume": 0.199}, {"volume": 0.201}),
        ("large_volume_change", {"volume": -0.199}, {"volume": -0.201}),
        ("far_from_minimum", {"gained": 0.249}, {"gained": 0.251}),
        ("far_from_minimum", {"gained": 0.249, "symbols": "Na"}, {"gained": 0.251, "symbols": "Na"}),
        ("unusual_formation_energy", {"formation": -4.99}, {"formation": -5.01}),
        ("unusual_formation_energy", {"formation": 4.99}, {"formation": 5.01}),
    ],
)
def test_limits_of_flags_are_those_of_the_docs(flag, within, beyond):
    """A fifth of the volume, and 0.25 and 5 eV/atom."""

    def changed(index, formation=-1.0, gained=0.1, volume=0.0, symbols="NaCl"):
        record = made(index, symbols, formation, volume_change=volume)
        return replace(record, initial_energy=record.energy + record.n_atoms * gained)

    table = table_of(changed(0, **within), changed(1, **beyond)).set_index("id")
    assert table["flags"].to_dict() == {"c0": "", "c1": flag}


def test_what_did_not_converge_has_the_formation_energy_of_the_references():
    """Not that of an elemental crystal among the candidates, here 0.1 eV/atom below; which competes on the hull."""
    below = made(0, "Na", -0.1), made(1, "NaCl", -1.0), made(2, "NaCl", -0.5, status="not_converged")
    table = table_of(*below).set_index("id")
    assert table["formation_energy_eV_per_atom"].to_dict() == pytest.approx({"c0": -0.1, "c1": -1.0, "c2": -0.5})
    assert table.loc["c2", "e_above_hull_eV_per_atom"] == pytest.approx(0.5)
    crystal = Crystal.of(bulk("Yb", "fcc", a=5.5), moments=False)
    own = replace(made(0, "Na", 0.0), crystal=crystal, formula="Yb")  # of which there is no elemental reference
    missing = [replace(own, index=k, id=f"c{k}", status=status) for k, status in enumerate(["ok", "not_converged"])]
    assert table_of(*missing).set_index("id")["flags"].to_dict() == {
        "c0": "missing_terminal:Yb",
        "c1": "missing_terminal:Yb",
    }


def test_a_structure_with_forces_left_is_flagged():
    table = table_of(made(0, "NaCl", -1.0, max_force=0.49), made(1, "NaCl", -1.1, max_force=0.51)).set_index("id")
    assert table["flags"].to_dict() == {"c0": "", "c1": "large_forces"}


def test_elements_that_a_fine_tuning_never_saw_are_flagged():
    records = made(0, "NaCl", -1.0), made(1, "MgO", -1.0), made(2, "Na", 0.0)
    tuned = replace(CARD, base=CARD.name, tuned_elements=frozenset({"Na", "O"}))
    found = table_of(*records, card=tuned).set_index("id")["flags"].to_dict()
    assert found == {"c0": "outside_fine_tuning:Cl", "c1": "outside_fine_tuning:Mg", "c2": ""}
    assert set(table_of(*records)["flags"]) == {""}


def test_an_ensemble_whose_members_are_apart_is_flagged():
    records = made(0, "NaCl", -1.0, energy_std=0.019), made(1, "MgO", -1.0, energy_std=0.021)
    table = table_of(*records).set_index("id")
    assert table["flags"].to_dict() == {"c0": "", "c1": "members_disagree"}
    assert table["energy_std_eV_per_atom"].to_dict() == {"c0": 0.019, "c1": 0.021}


@pytest.mark.parametrize("convention", ["MP2020-corrected", "raw"])
def test_reference_energies_of_a_fine_tuning_are_taken_off_again(convention):
    """Sodium chloride and sodium, 300 and 7 eV an atom up by the other code, are where the base has them."""
    base = replace(CARD, energy_convention=convention)
    tuned = replace(base, reference_shifts=(("Cl", 300.0), ("Na", 7.0)))
    usual = made(0, "NaCl", -2.0), made(1, "MgO", -1.0), made(2, "Na", 0.0)
    moved = replace(usual[0], energy=usual[0].energy + 307), usual[1], replace(usual[2], energy=usual[2].energy + 7)
    found, expected = (
        table_of(*records, card=card).set_index("id") for records, card in ((moved, tuned), (usual, base))
    )
    for column in ("corrected_energy", "formation_energy", "e_above_hull"):
        name = f"{column}_eV_per_atom"
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-9)
    taken = found["correction_reference_energies_eV_per_atom"]
    assert taken.to_dict() == {"c0": -153.5, "c1": 0.0, "c2": -7.0}
    assert found.loc["c0", "energy_eV_per_atom"] == pytest.approx(expected.loc["c0", "energy_eV_per_atom"] + 153.5)
    assert list(found["flags"]) == list(expected["flags"])


def test_far_below_a_fixed_hull_is_flagged():
    fixed = Competition(ReferenceSet.from_elements("PBE"), among_candidates=False)
    assert table_of(made(0, "NaCl", -0.09), against=fixed)["flags"].tolist() == [""]
    assert table_of(made(0, "NaCl", -0.11), against=fixed)["flags"].tolist() == ["far_below_hull"]


def test_carried_columns_follow_and_never_replace_ours():
    columns = pd.DataFrame({"rank": [7, 8], "origin": ["x", "y"], "icsd": [1, 2]})
    table = table_of(made(0, "NaCl", -1.0), made(1, "MgO", -2.0), columns=columns)
    assert list(table.columns) == [*COLUMN_TYPES, "input_rank", "origin", "icsd"]
    assert table[["id", "input_rank", "origin"]].to_numpy().tolist() == [["c1", 8, "y"], ["c0", 7, "x"]]


def test_results_of_an_earlier_screen_are_carried_under_names_of_their_own():
    columns = pd.DataFrame(
        {
            "rank": [7],
            "input_rank": [3],
            "e_above_hull_self_consistent_eV_per_atom": [0.5],  # which this screen has none of
            "energy_std_eV_per_atom": [0.1],
            "correction_anion_oxide_eV_per_atom": [-0.6],
        }
    )
    table = table_of(made(0, "NaCl", -1.0), columns=columns)
    assert list(table.columns[len(COLUMN_TYPES) :]) == [
        "input_input_rank",
        "input_rank",
        "input_e_above_hull_self_consistent_eV_per_atom",
        "input_energy_std_eV_per_atom",
        "input_correction_anion_oxide_eV_per_atom",
    ]
    assert table.loc[0, ["rank", "input_input_rank", "input_rank"]].tolist() == [1, 7, 3]


def test_mp2020_is_applied_to_raw_energies_only():
    raw = replace(CARD, energy_convention="raw")
    assert required_correction(CARD) is CorrectionScheme.NONE
    assert required_correction(raw) is CorrectionScheme.MP2020
    assert hull_scheme(CARD) is hull_scheme(raw) is CorrectionScheme.MP2020
    table = table_of(made(0, "MgO", -1.0), card=raw)
    # MP2020 oxide correction: -0.687 eV per O (Wang et al. 2021), half of the atoms are O.
    np.testing.assert_allclose(table["correction_eV_per_atom"], -0.687 / 2, atol=1e-9)
    np.testing.assert_allclose(table["formation_energy_eV_per_atom"], -1.0 - 0.687 / 2, atol=1e-9)
    assert required_correction(find_card("chgnet-r2scan")) is CorrectionScheme.NONE
    assert hull_scheme(find_card("chgnet-r2scan")) is CorrectionScheme.NONE


RAW = replace(CARD, energy_convention="raw")
OXIDE, PEROXIDE, COBALT = (
    "MP2020 anion correction (oxide)",
    "MP2020 anion correction (peroxide)",
    "MP2020 GGA/GGA+U mixing correction (Co)",
)


def test_each_named_correction_has_its_column_and_they_add_up():
    table = table_of(made(0, "CoO", -1.0), made(1, "MgO", -2.0), made(2, "NaCl", -2.0), card=RAW).set_index("id")
    named = [name for name in table if name.startswith(("correction_anion_", "correction_mixing_"))]
    assert named == [
        "correction_anion_Cl_eV_per_atom",
        "correction_anion_oxide_eV_per_atom",
        "correction_mixing_Co_eV_per_atom",
    ]
    # eV per corrected atom of Wang et al. (2021), one of the two atoms each
    np.testing.assert_allclose(table.loc["c0", named].tolist(), [0.0, -0.687 / 2, -1.638 / 2])
    np.testing.assert_allclose(table.loc["c2", named].tolist(), [-0.614 / 2, 0.0, 0.0])
    np.testing.assert_allclose(table[named].sum(axis=1), table["correction_eV_per_atom"])
    np.testing.assert_allclose(
        table["energy_eV_per_atom"] + table["correction_eV_per_atom"], table["corrected_energy_eV_per_atom"]
    )


def test_corrected_models_have_no_correction_column_but_an_uncertainty():
    table = table_of(made(0, "CoO", -1.0))
    assert not [name for name in table if name.startswith(("correction_anion_", "correction_mixing_"))]
    assert table["correction_eV_per_atom"].tolist() == table["correction_unrelaxed_eV_per_atom"].tolist() == [0.0]
    np.testing.assert_allclose(table["formation_energy_uncertainty_eV_per_atom"], np.hypot(0.002, 0.006) / 2)
    np.testing.assert_allclose(table["e_above_hull_uncertainty_eV_per_atom"], np.hypot(0.002, 0.006) / 2)


def test_uncertainty_is_null_where_there_is_no_scheme():
    record = replace(made(0, "MgO", -1.0), correction=None, initial_correction=None)
    references = replace(ReferenceSet.from_elements("PBE"), functional="r2SCAN", scheme=CorrectionScheme.NONE)
    table = table_of(record, card=find_card("chgnet-r2scan"), against=Competition(references, among_candidates=False))
    assert table["e_above_hull_eV_per_atom"].notna().all()
    assert table["e_above_hull_uncertainty_eV_per_atom"].isna().all()
    assert table["formation_energy_uncertainty_eV_per_atom"].isna().all()


def test_a_changed_correction_class_is_flagged_with_both_values():
    given = Correction({PEROXIDE: -0.465, COBALT: -1.638}, {PEROXIDE: 0.0172, COBALT: 0.006})
    changed = replace(made(0, "CoO", -1.0), initial_correction=given)
    table = table_of(changed, made(1, "CoO", -0.9), card=RAW).set_index("id")
    assert table["flags"].to_dict() == {"c0": "correction_class_changed", "c1": ""}
    np.testing.assert_allclose(table.loc["c0", "correction_eV_per_atom"], -(0.687 + 1.638) / 2)
    np.testing.assert_allclose(table.loc["c0", "correction_unrelaxed_eV_per_atom"], -(0.465 + 1.638) / 2)
    assert table_of(changed)["flags"].tolist() == [""]  # its energy holds the correction of its training labels


def test_anions_that_are_not_known_are_flagged_where_they_are_corrected():
    record = made(0, "CoO", -1.0)
    unknown = replace(record, correction=replace(record.correction, anions_known=False))
    again = Record.from_dict(json.loads(json.dumps(unknown.as_dict())))
    assert table_of(again, card=RAW)["flags"].tolist() == ["oxidation_states_unknown"]
    assert table_of(again)["flags"].tolist() == [""]


def test_decomposition_columns():
    table = table_of(made(0, "NaCl", -1.7), made(1, "NaCl", -2.0), made(2, "Na", 0.1)).set_index("id")
    assert table["decomposition"].to_dict() == {"c0": "1.000 NaCl", "c1": "1.000 NaCl", "c2": "1.000 Na"}
    assert table["decomposition_reaction"].to_dict() == {
        "c0": "NaCl -> 0.5 Cl2 + Na",
        "c1": "NaCl -> 0.5 Cl2 + Na",
        "c2": "",
    }
    np.testing.assert_allclose(table["decomposition_energy_eV_per_atom"].loc[["c0", "c1", "c2"]], [-1.7, -2.0, np.nan])


def test_distances_to_the_hull_of_the_model():
    references = ReferenceSet.from_elements("PBE")
    salt = CompetingEntry("salt", {"Na": 1.0, "Cl": 1.0}, MU["Na"] + MU["Cl"] - 4.0)  # -2 eV/atom by DFT
    fixed = Competition(replace(references, entries=(*references.entries, salt)), among_candidates=False)
    higher = replace(salt, energy=salt.energy + 0.2)  # -1.9 eV/atom by the model
    own = replace(references, entries=(*references.entries, higher))
    records = [made(0, "NaCl", -1.95), made(1, "MgO", -1.0)]
    frame = pd.DataFrame(index=[0, 1])
    table = results_table(records, CARD, fixed, frame, ModelReferences(own, {}, "key")).set_index("id")
    np.testing.assert_allclose(table["e_above_hull_eV_per_atom"], [-1.0, 0.05], atol=1e-12)
    np.testing.assert_allclose(table["e_above_hull_self_consistent_eV_per_atom"], [-1.0, -0.05], atol=1e-12)
    assert table.loc["c0", "decomposition_self_consistent"] == "1.000 NaCl"
    assert table["flags"].to_dict() == {"c1": "far_below_hull", "c0": ""}
    lacking = ModelReferences(references, {"salt": "exploded"}, "key")
    table = results_table(records, CARD, fixed, frame, lacking).set_index("id")
    assert table.loc["c0", "flags"] == "reference_without_energy:salt"
    assert table.loc["c1", "flags"] == "far_below_hull"
    np.testing.assert_allclose(table.loc["c0", "e_above_hull_self_consistent_eV_per_atom"], -1.95)


def test_a_terminal_that_the_model_could_not_evaluate():
    references = ReferenceSet.from_elements("PBE")
    without = tuple(entry for entry in references.entries if entry.elements != {"Cl"})
    own = ModelReferences(replace(references, entries=without), {"element-Cl": "failed: boom"}, "key")
    fixed = Competition(references, among_candidates=False)
    table = results_table([made(0, "NaCl", -0.05)], CARD, fixed, pd.DataFrame(index=[0]), own)
    assert table["e_above_hull_self_consistent_eV_per_atom"].isna().all()
    assert table["e_above_hull_eV_per_atom"].notna().all()
    assert table["flags"].tolist() == ["reference_without_energy:element-Cl"]


def test_records_survive_the_round_trip():
    record = made(0, "CoO", -1.0)
    assert record.correction.adjustments.keys() == {OXIDE, COBALT}
    assert Record.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_text_that_a_spreadsheet_would_run_is_defused_and_numbers_are_not():
    columns = pd.DataFrame({"note": ["=1+1", "@cmd"], "charge": [-1, 2], "=bad": ["-x", "plain"]})
    table = table_of(made(0, "NaCl", -2.0), made(1, "MgO", -1.0), columns=columns)
    read = pd.read_csv(io.BytesIO(csv_bytes(table)))
    assert read["note"].tolist() == ["'=1+1", "'@cmd"]
    assert read["'=bad"].tolist() == ["'-x", "plain"]
    assert read["charge"].tolist() == [-1, 2]
    assert (read["formation_energy_eV_per_atom"] < 0).all()


def test_every_file_reads_back_with_its_types(tmp_path):
    from ase.io import read

    records = [made(0, "NaCl", -1.0), Record(1, "c1", "failed", "boom"), made(2, "MgO", -2.0, status="not_converged")]
    table = table_of(*records, columns=pd.DataFrame({"known": [True, False, True]}))
    write_outputs(tmp_path, table, {r.id: r for r in records}, {"seconds": 1.0})
    parquet = pd.read_parquet(tmp_path / "results.parquet")
    pd.testing.assert_frame_equal(parquet, table)
    csv = pd.read_csv(tmp_path / "results.csv", dtype=COLUMN_TYPES, keep_default_na=False, na_values=[""])
    for name in table.columns:
        if table[name].dtype.kind in "fi":
            np.testing.assert_array_equal(
                csv[name].to_numpy(float, na_value=np.nan), table[name].to_numpy(float, na_value=np.nan)
            )
    frames = read(tmp_path / "relaxed.extxyz", ":")
    assert [frame.info["id"] for frame in frames] == ["c0", "c2"]
    assert frames[0].get_potential_energy() == pytest.approx(records[0].energy, abs=1e-6)


def test_no_candidate_at_all_could_be_evaluated(tmp_path):
    records = [Record(0, "c0", "failed", "boom")]
    table = table_of(*records)
    write_outputs(tmp_path, table, {"c0": records[0]}, {})
    assert pd.read_parquet(tmp_path / "results.parquet")["rank"].isna().all()
    assert (tmp_path / "relaxed.extxyz").read_text() == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimiser": "LBFGS"}, "optimiser is 'LBFGS', expected one of lbfgs, fire"),
        ({"dtype": "float16"}, "dtype is 'float16', expected one of float32, float64"),
        ({"device": None}, "device is None, expected one of auto"),
        ({"functional": "PBEsol"}, "functional is 'PBEsol', expected one of PBE"),
        ({"fmax": "0.1"}, "fmax is '0.1', expected a number"),
    ],
)
def test_wrong_settings_are_told_before_a_worker_starts(settings, message):
    with pytest.raises(InputError, match=message):
        ScreenSettings(**settings)


def test_the_version_of_every_package_that_evaluates_in_this_environment_is_recorded():
    packages = {backend.package for backend in BACKENDS.values() if not backend.isolated}
    assert packages <= environment().keys()


@pytest.mark.parametrize("references", ["elements", "mp", "refs.json"])
def test_a_model_that_no_references_go_with_cannot_screen(references):
    card = find_card("mace-omat-0-medium")
    with pytest.raises(ReferenceMismatchError, match=r"mace-omat-0-medium was trained on PBE-54 .* of PBE or r2SCAN"):
        prepare("nowhere.csv", ScreenSettings(), card, references, None, restart=False, on_fetch=None)
