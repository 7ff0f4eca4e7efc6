"""Joining what several models say: means, spreads, shares, flags and ranks, from numbers worked out by hand."""

import io
import math

import numpy as np
import pandas as pd
import pytest

from uniscreen.screening.columns import COLUMN_TYPES
from uniscreen.screening.committee_table import (
    COMMITTEE_TYPES,
    DISAGREEMENT,
    column_types,
    committee_table,
)
from uniscreen.screening.outputs import csv_bytes

LEAD, OTHER, THIRD = "chgnet-0.3.0", "m3gnet-mp-2021.2.8", "my own.model"


def of_model(model, rows, **carried):
    """A model's own results from (id, status, hull distance, formation energy), in order of its rank."""
    frame = pd.DataFrame(rows, columns=["id", "status", "e_above_hull_eV_per_atom", "formation_energy_eV_per_atom"])
    frame = frame.reindex(columns=list(COLUMN_TYPES))
    frame["model"] = model
    ok = frame["status"] == "ok"
    frame.loc[ok, "rank"] = range(1, int(ok.sum()) + 1)
    text = [name for name, kind in COLUMN_TYPES.items() if kind == "string"]
    frame = frame.astype(COLUMN_TYPES)
    frame[text] = frame[text].fillna("")
    return frame.assign(**carried)


NAN = math.nan


@pytest.fixture
def joined():
    """Candidates on which three models agree, differ in the sign, differ widely, or of which some failed."""
    tables = {
        LEAD: of_model(
            LEAD,
            [
                ("deep", "ok", -0.5, -2.0),
                ("sign", "ok", -0.01, -1.0),
                ("wide", "ok", 0.10, -0.5),
                ("partial", "ok", 0.20, -0.1),
                ("lead-failed", "exploded", NAN, NAN),
                ("bad", "invalid_structure", NAN, NAN),
            ],
            origin=["a", "b", "c", "d", "e", "f"],
            stable_share=[1, 2, 3, 4, 5, 6],
        ),
        OTHER: of_model(
            OTHER,
            [
                ("deep", "ok", -0.53, -2.1),
                ("lead-failed", "ok", 0.05, -0.7),
                ("sign", "ok", 0.02, -1.1),
                ("partial", "not_converged", 0.9, 0.5),
                ("wide", "ok", 0.30, -0.3),
                ("bad", "invalid_structure", NAN, NAN),
            ],
        ),
        THIRD: of_model(
            THIRD,
            [
                ("partial", "ok", -0.04, -0.3),
                ("wide", "ok", 0.11, -0.4),
                ("sign", "ok", 0.0, -1.2),
                ("deep", "ok", -0.56, -2.2),
                ("lead-failed", "ok", 0.03, -0.9),
                ("bad", "invalid_structure", NAN, NAN),
            ],
        ),
    }
    return committee_table(tables).set_index("id")


def test_means_and_sample_standard_deviations(joined):
    row = joined.loc["deep"]
    assert row["e_above_hull_mean_eV_per_atom"] == pytest.approx(-0.53)
    assert row["e_above_hull_std_eV_per_atom"] == pytest.approx(0.03)  # of -0.50, -0.53, -0.56, divided by 2
    assert row["formation_energy_mean_eV_per_atom"] == pytest.approx(-2.1)
    assert row["formation_energy_std_eV_per_atom"] == pytest.approx(0.1)
    assert (row["n_models"], row["stable_share"], row["flags"]) == (3, 1.0, "")


def test_each_model_keeps_its_own_numbers_and_the_lead_has_the_plain_columns(joined):
    assert joined.loc["wide", f"e_above_hull_eV_per_atom:{OTHER}"] == 0.30
    assert joined.loc["wide", f"formation_energy_eV_per_atom:{THIRD}"] == -0.4
    assert joined.loc["wide", ["model", "e_above_hull_eV_per_atom"]].tolist() == [LEAD, 0.10]
    np.testing.assert_array_equal(
        joined["e_above_hull_eV_per_atom"].to_numpy(), joined[f"e_above_hull_eV_per_atom:{LEAD}"].to_numpy()
    )


def test_ranked_by_the_mean_and_only_where_the_lead_is_ok(joined):
    # Means: deep -0.53, sign 0.0033, partial (0.20 - 0.04) / 2 = 0.08, wide 0.17. The lead had wide before partial.
    assert joined["rank"].dropna().to_dict() == {"deep": 1, "sign": 2, "partial": 3, "wide": 4}
    assert joined.index.tolist()[4:] == ["lead-failed", "bad"]


def test_a_result_that_a_model_lacks_is_left_out_and_said(joined):
    partial = joined.loc["partial"]
    assert partial["n_models"] == 2
    assert partial["e_above_hull_mean_eV_per_atom"] == pytest.approx(
        0.08
    )  # not_converged has a number that is not used
    assert partial[f"e_above_hull_eV_per_atom:{OTHER}"] == 0.9
    assert partial[f"status:{OTHER}"] == "not_converged"
    assert partial["stable_share"] == 0.5
    assert partial["flags"] == f"committee_incomplete:{OTHER};models_disagree"
    failed = joined.loc["lead-failed"]
    assert failed["status"] == "exploded"
    assert failed["e_above_hull_mean_eV_per_atom"] == pytest.approx(0.04)
    assert failed["flags"] == f"committee_incomplete:{LEAD}"
    bad = joined.loc["bad"]
    assert (bad["n_models"], bad["flags"]) == (0, "")
    assert np.isnan(bad[["stable_share", "e_above_hull_mean_eV_per_atom"]].astype(float)).all()


def test_stable_is_on_the_hull_or_below_and_disagreement_is_flagged(joined):
    assert joined.loc["sign", "stable_share"] == pytest.approx(2 / 3)  # -0.01, 0.02 and exactly 0
    assert joined.loc["sign", "flags"] == "models_disagree"
    assert joined.loc["wide", "stable_share"] == 0
    assert joined.loc["wide", "e_above_hull_std_eV_per_atom"] > DISAGREEMENT
    assert joined.loc["wide", "flags"] == "models_disagree"


def test_rounding_does_not_decide_stability():
    above = of_model(LEAD, [("a", "ok", 4e-16, -1.0)])
    table = committee_table({LEAD: above, OTHER: of_model(OTHER, [("a", "ok", -4e-16, -1.0)])})
    assert table["stable_share"].tolist() == [1.0]
    assert table["flags"].tolist() == [""]


def test_one_result_has_no_standard_deviation():
    other = of_model(OTHER, [("a", "exploded", NAN, NAN)])
    table = committee_table({LEAD: of_model(LEAD, [("a", "ok", 0.1, -1.0)]), OTHER: other})
    assert table["e_above_hull_mean_eV_per_atom"].tolist() == [0.1]
    assert np.isnan(table["e_above_hull_std_eV_per_atom"][0])
    assert table["rank"].tolist() == [1]


def test_a_candidate_without_a_hull_distance_is_ranked_last_and_has_no_share():
    rows = [("no-hull", "ok", NAN, -3.0), ("known", "ok", 2.0, -1.0)]
    table = committee_table({LEAD: of_model(LEAD, rows), OTHER: of_model(OTHER, rows)}).set_index("id")
    assert table["rank"].to_dict() == {"known": 1, "no-hull": 2}
    assert np.isnan(table.loc["no-hull", "stable_share"])
    assert table.loc["no-hull", "formation_energy_mean_eV_per_atom"] == -3.0


def test_columns_in_order_with_their_types_and_carried_ones_renamed_where_taken(joined):
    types = column_types([LEAD, OTHER, THIRD])
    table = joined.reset_index()
    table = table[["id", *(name for name in table.columns if name != "id")]]
    assert list(table.columns) == [*types, "origin", "input_stable_share"]
    assert [str(dtype) for dtype in table.dtypes[: len(types)]] == list(types.values())
    assert list(types)[: len(COLUMN_TYPES) + len(COMMITTEE_TYPES)] == [*COLUMN_TYPES, *COMMITTEE_TYPES]
    assert table.set_index("id")["input_stable_share"].to_dict() == dict(
        zip(["deep", "sign", "wide", "partial", "lead-failed", "bad"], range(1, 7), strict=True)
    )


def test_csv_and_parquet_read_back(joined, tmp_path):
    table = joined.reset_index()
    table.to_parquet(tmp_path / "results.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results.parquet"), table)
    read = pd.read_csv(io.BytesIO(csv_bytes(table)))
    assert list(read.columns) == list(table.columns)
    np.testing.assert_array_equal(read[f"e_above_hull_eV_per_atom:{THIRD}"], table[f"e_above_hull_eV_per_atom:{THIRD}"])


def test_what_relaxations_end_apart_by_is_no_disagreement():
    """Copies of one crystal, some of which come to lie 10 µeV/atom above the others."""
    distances = {LEAD: (1e-5, -0.002), OTHER: (0.0, 0.002)}
    tables = {
        name: of_model(name, [("same", "ok", same, -1.0), ("apart", "ok", apart, -1.0)])
        for name, (same, apart) in distances.items()
    }
    found = committee_table(tables).set_index("id")
    assert found["stable_share"].to_dict() == {"same": 0.5, "apart": 0.5}
    assert found["flags"].to_dict() == {"same": "", "apart": "models_disagree"}
