"""The report of a committee: where the models disagree, as numbers worked out by hand and as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import asdict

import pandas as pd
import pytest
from test_screen_report import MINUS, Page

from uniscreen.errors import InputError
from uniscreen.potentials import find_card
from uniscreen.reports import write_screen_report
from uniscreen.screening.columns import COLUMN_TYPES
from uniscreen.screening.committee_table import committee_table

LEAD, OTHER, THIRD = "chgnet-0.3.0", "m3gnet-mp-2021.2.8", "<script>.model"

SHIFTS = {
    "Li-bcc": (0.0, 0.01, -0.01),
    "Co-hcp": (0.0, 0.0, 0.0),
    "CoO-rocksalt": (0.0, 0.3, 0.0),
    "CoO-wurtzite": (0.0, -0.1, 0.0),
    "NaCl-rocksalt": (0.0, 0.02, 0.04),
}
"""eV/atom by which each model's formation energy and hull distance are above the first one's; none for the others."""


@pytest.fixture
def folder(results_folder, oxides, make_failure):
    """Results of three models, the energies of the second and third shifted; one candidate failed for the second."""
    rows = [*oxides, make_failure("bad", "invalid_structure", "not a CIF")]
    path = results_folder(rows)
    lead = pd.read_parquet(path / "results.parquet")
    lead = lead.astype(COLUMN_TYPES).fillna({"flags": ""})
    tables = {LEAD: lead}
    for place, model in ((1, OTHER), (2, THIRD)):
        shift = lead["id"].map({name: shifts[place] for name, shifts in SHIFTS.items()}).fillna(0.0)
        energies = ["e_above_hull_eV_per_atom", "formation_energy_eV_per_atom"]
        tables[model] = lead.assign(model=model, **{name: lead[name] + shift for name in energies})
    failed = tables[OTHER]["id"] == "Li2O-antifluorite"
    tables[OTHER].loc[failed, "status"] = "exploded"
    committee_table(tables).to_parquet(path / "results.parquet")
    run = json.loads((path / "run.json").read_text())
    card = {"licence": "none", "functional": "PBE", "energy_convention": "raw"}
    cards = {name: asdict(find_card(name)) for name in (LEAD, OTHER)}
    run["models"] = cards | {THIRD: {"name": THIRD, **card}}
    (path / "run.json").write_text(json.dumps(run, default=sorted))
    return path


@pytest.fixture
def page(folder, elements):
    return Page(write_screen_report(folder, elements))


def minus(text):
    return text.replace(MINUS, "-")


def test_the_largest_deviations_come_first_with_what_each_model_says(page, folder):
    table = pd.read_parquet(folder / "results.parquet").set_index("id")
    order = page.column("disagreements", "Id")
    assert order[:3] == ["CoO-rocksalt", "CoO-wurtzite", "NaCl-rocksalt"]
    assert "bad" not in order
    first = page.rows("disagreements")[0]
    own = 1000 * table.loc["CoO-rocksalt", "e_above_hull_eV_per_atom"]
    # Of 0, 300 and 0 the mean is 100 and the sample standard deviation 300/sqrt(3) = 173.2 meV/atom.
    expected = [173.2, own + 100, own, own + 300, own]
    assert [float(minus(text)) for text in first[2:7]] == pytest.approx(expected, abs=0.051)
    failed = order.index("Li2O-antifluorite")
    assert page.column("disagreements", OTHER)[failed] == "–"  # noqa: RUF001
    assert page.column("disagreements", "Stable in")[failed] == "2 of 2"


def test_each_model_is_compared_with_the_first(page, oxides):
    rows = {row[0]: row[1:] for row in page.rows("models")}
    assert rows[LEAD][0] == "PBE, with MP2020 corrections in its training labels"
    assert rows[OTHER][0] == "PBE, raw; MP2020 corrections added"
    assert [rows[name][1] for name in (LEAD, OTHER, THIRD)] == [
        str(len(oxides)),
        str(len(oxides) - 1),
        str(len(oxides)),
    ]
    # Over the 8 candidates of both: (0.01 + 0.3 - 0.1 + 0.02) / 8, and the same of magnitudes.
    assert [float(minus(text)) for text in rows[OTHER][3:]] == pytest.approx([28.75, 53.75], abs=0.051)
    assert [float(minus(text)) for text in rows[THIRD][3:]] == pytest.approx([30 / 9, 50 / 9], abs=0.051)


def test_the_figure_holds_every_compared_candidate_of_every_model(page, oxides):
    traces = page.figures["agreement"]["data"]
    assert [trace["name"] for trace in traces] == [OTHER, "&lt;script&gt;.model"]
    assert [len(trace["x"]) for trace in traces] == [len(oxides)] * 2
    assert [sum(value is None for value in trace["y"]) for trace in traces] == [1, 0]
    shifts = {
        hover.split("</b>")[0].removeprefix("<b>"): y - x
        for x, y, hover in zip(traces[1]["x"], traces[1]["y"], traces[1]["hovertext"], strict=True)
    }
    assert shifts["NaCl-rocksalt"] == pytest.approx(40)
    outside = int(re.search(r"leaves out (\d+) candidates? farther out", page.text)[1])
    assert outside == sum(x < -210 for x in traces[1]["x"])


def test_counts_ranks_and_the_top_table_are_of_the_means(page, folder):
    table = pd.read_parquet(folder / "results.parquet")
    ranked = table[table["rank"].notna()].sort_values("rank")
    assert page.column("top", "Id") == ranked["id"].tolist()
    mean = ranked["e_above_hull_mean_eV_per_atom"] * 1000
    assert [float(cell[3]["data-order"]) for cell in page.tables["top"][1:]] == pytest.approx(mean.tolist())
    assert page.column("top", "Mean E above hull, meV/atom")
    by_lead = ranked["e_above_hull_eV_per_atom"] * 1000
    assert page.tile("≤ 50 meV/atom") == (mean <= 50).sum() != (by_lead <= 50).sum()
    assert page.column("top", "Stable in")[0] == "3 of 3"
    assert [float(text) for text in page.column("top", "Deviation, meV/atom")[:1]] == pytest.approx(
        1000 * ranked["e_above_hull_std_eV_per_atom"].head(1), abs=0.051
    )
    assert not any(":" in cell["text"] for cell in page.tables["top"][0])  # no model's columns taken for the input's


def test_what_belongs_to_the_first_model_is_said(page):
    assert f"{LEAD}, {OTHER}, {THIRD}" in page.text
    assert f"Energies and distances are those of {LEAD}." in page.text
    assert "The spread is not an error bar" in page.text
    hovers = page.diagrams()["Na-Cl"]
    assert f"NaCl-rocksalt: formation {MINUS}2.100" in hovers  # as the first model has it, not the mean
    flags = {row[0]: row[1] for row in page.rows("flags")}
    assert flags["committee_incomplete"] == "1"
    assert flags["models_disagree"] == "3"  # beyond 50 meV/atom, or stable for some models only


def test_a_single_model_has_no_such_section(results_folder, oxides, elements):
    page = Page(write_screen_report(results_folder(oxides), elements))
    assert "Where the models disagree" not in page.text
    assert "models" not in page.tables


def test_no_candidate_has_results_of_two_models(folder, elements):
    table = pd.read_parquet(folder / "results.parquet")
    for model in (OTHER, THIRD):
        table[f"status:{model}"] = "failed"
    table["e_above_hull_std_eV_per_atom"] = float("nan")
    table.to_parquet(folder / "results.parquet")
    page = Page(write_screen_report(folder, elements))
    assert "No candidate has a distance to the hull by two models or more." in page.text
    assert "agreement" not in page.figures


def test_a_missing_column_of_a_model_is_refused(folder, elements):
    table = pd.read_parquet(folder / "results.parquet")
    table.drop(columns=f"status:{OTHER}").to_parquet(folder / "results.parquet")
    with pytest.raises(InputError, match=f"has no column status:{OTHER}"):
        write_screen_report(folder, elements)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_browser_draws_it_without_errors(folder, elements, tmp_path):
    path = write_screen_report(folder, elements)
    command = [
        "chromium",
        *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        *["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=8000"],
        f"--user-data-dir={tmp_path / 'profile'}",
        *("--enable-logging=stderr", "--dump-dom", path.as_uri()),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert "CONSOLE" not in run.stderr
    assert 'data-ready="true"' in run.stdout
    assert re.search(r'class="plot js-plotly-plot" id="agreement"', run.stdout)
