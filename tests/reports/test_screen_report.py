from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from itertools import combinations

import pandas as pd
import plotly.graph_objects as go
import pytest

from uniscreen.errors import InputError
from uniscreen.reports import write_screen_report
from uniscreen.reports.assets import figure_json
from uniscreen.thermodynamics import ReferenceSet

HOSTILE = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
MINUS = "\N{MINUS SIGN}"
VOID = {"meta", "link", "img", "input", "br", "wbr", "hr"}


class Page(HTMLParser):
    """What a browser would make of the report: tables as text, figures as JSON, everything it would load."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.size = path.stat().st_size
        self.elements, self.tables, self.figures, self.text_parts, self.styles = [], {}, {}, [], []
        self._stack = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.text_parts).split())
        assert self._stack == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs))
        if tag == "table":
            self.tables[attrs["id"]] = []
        elif tag == "tr":
            self._table.append([])
        elif tag in {"td", "th"}:
            self._table[-1].append({"text": "", **attrs})
        if tag not in VOID:
            self._stack.append((tag, attrs))

    def handle_endtag(self, tag):
        assert self._stack.pop()[0] == tag

    def handle_data(self, data):
        tag, attrs = self._stack[-1] if self._stack else ("", {})
        if tag == "script":
            if attrs.get("class") == "plot-data":
                self.figures[attrs["data-for"]] = json.loads(data)
        elif tag == "style":
            self.styles.append(data)
        else:
            self.text_parts.append(data)
            if any(name in {"td", "th"} for name, _ in self._stack):
                self._table[-1][-1]["text"] += data

    @property
    def _table(self):
        return next(self.tables[attrs["id"]] for tag, attrs in reversed(self._stack) if tag == "table")

    def rows(self, table):
        return [[cell["text"] for cell in row] for row in self.tables.get(table, [[]])[1:]]

    def column(self, table, heading):
        headings = [cell["text"] for cell in self.tables[table][0]]
        return [row[headings.index(heading)] for row in self.rows(table)]

    def hovers(self, figure):
        return [text for trace in self.figures[figure]["data"] for text in trace.get("hovertext", [])]

    def diagrams(self):
        labels = {attrs.get("id"): attrs["aria-label"] for tag, attrs in self.elements if attrs.get("class") == "plot"}
        return {
            label.removeprefix("Phase diagram of "): " ".join(self.hovers(name))
            for name, label in labels.items()
            if name.startswith("diagram-")
        }

    def tile(self, label):
        found = re.search(rf" {re.escape(label)} ([\d,]+)", self.text[self.text.index("Summary") :])
        return int(found[1].replace(",", ""))


@pytest.fixture
def report(results_folder, elements):
    """Write rows, write their report, and read it back."""

    def make(rows, references=None, *, top=50, **settings):
        folder = results_folder(rows, references, **settings)
        return Page(write_screen_report(folder, references or elements, top=top))

    return make


@pytest.fixture
def dft(tmp_path):
    """A fixed hull of Na, Cl and NaCl, and no other element."""
    entries = [
        {"composition": c, "energy": e, "entry_id": i, "parameters": {"run_type": "GGA"}}
        for i, c, e in (("mp-na", {"Na": 1}, -1.3), ("mp-cl", {"Cl": 2}, -3.6), ("mp-nacl", {"Na": 1, "Cl": 1}, -7.2))
    ]
    path = tmp_path / "entries.json"
    path.write_text(json.dumps(entries))
    return ReferenceSet.from_file(path)


def test_numbers_are_those_of_the_table(report, oxides, tmp_path):
    page = report(oxides)
    frame = pd.read_parquet(tmp_path / "results" / "results.parquet")
    ranked = frame[frame["rank"].notna()].sort_values("rank")
    assert page.column("top", "Id") == ranked["id"].tolist()
    shown = [cell[3] for cell in page.tables["top"][1:]]
    expected = (ranked["e_above_hull_eV_per_atom"] * 1000).tolist()
    assert [float(cell["data-order"]) for cell in shown] == pytest.approx(expected)
    assert [float(cell["text"].replace(MINUS, "-")) for cell in shown] == pytest.approx(expected, abs=0.0501)
    assert page.column("top", "Rank") == [str(n) for n in ranked["rank"]]


def test_every_number_cell_sorts_by_a_number(report, oxides):
    page = report([*oxides, dict(oxides[3], id="no volume", volume_change_percent=None)])
    cells = [cell for row in page.tables["top"][1:] for cell in row if cell["class"] == "number"]
    assert cells
    for cell in cells:
        assert float(cell["data-order"]) == pytest.approx(float(cell["data-order"]))


def test_top_limits_the_table_only(report, oxides):
    page = report(oxides, top=3)
    assert len(page.rows("top")) == 3
    assert page.tile("ranked") == len(oxides)


def test_counts_are_cumulative_and_include_the_threshold(report, make_candidate):
    distances = [-0.1, 0.0, 0.010, 0.025, 0.0250001, 0.05, 0.1, 0.3]
    rows = [
        make_candidate(f"c{n}", "NaCl", -2.0 + n / 100, e_above_hull_eV_per_atom=distance)
        for n, distance in enumerate(distances)
    ]
    page = report(rows)
    labels = ("on or below the hull", "≤ 25 meV/atom", "≤ 50 meV/atom", "≤ 100 meV/atom")
    assert [page.tile(label) for label in labels] == [2, 4, 6, 7]
    assert "4 of 8 candidates are within 25 meV/atom of the hull" in page.text


def test_histogram_and_cumulative_curve_hold_every_candidate(report, oxides, make_candidate):
    rows = [*oxides, make_candidate("far", "NaCl", 0.0, e_above_hull_eV_per_atom=2.5)]
    page = report(rows)
    bars, curve = page.figures["hull-distance"]["data"]
    drawn = sum(bars["y"])
    outside = int(re.search(rf"(\d+) candidates? below {MINUS}200 or above 500", page.text)[1])
    assert drawn + outside == len(rows)
    assert curve["y"][-1] == len(rows) - 1


def test_unranked_candidates_are_listed_with_their_reasons(report, oxides, make_failure):
    rows = [
        *oxides,
        make_failure("x", "unsupported_element", "Am is not known"),
        make_failure("y", "invalid_structure", "two atoms at one place"),
        make_failure("z", "invalid_structure", "not a CIF"),
        make_failure("slow", "not_converged", "500 steps", formula="MgO", e_above_hull_eV_per_atom=0.001),
    ]
    page = report(rows)
    assert page.rows("statuses")[0][:2] == ["invalid_structure", "2"]
    assert [row[3] for row in page.rows("failed")] == [
        "Am is not known",
        "two atoms at one place",
        "not a CIF",
        "500 steps",
    ]
    assert page.tile("not converged") == 1
    assert page.tile("not evaluated") == 3
    assert page.tile("converged") == page.tile("ranked") == len(oxides)
    assert "slow" not in page.column("top", "Id")
    assert "1 did not converge; 3 could not be evaluated" in page.text


def test_what_was_stopped_early_is_counted_apart(report, oxides, make_failure):
    above = {"formula": "MgO", "e_above_hull_eV_per_atom": 0.4}
    stopped = [make_failure(name, "stopped_early", "0.400 eV/atom above the hull", **above) for name in ("a", "b")]
    page = report([*oxides, *stopped, make_failure("x", "failed", "no")])
    assert page.tile("stopped early") == 2
    assert page.tile("not evaluated") == 1
    assert page.tile("not converged") == 0
    assert "2 were stopped early; 1 could not be evaluated" in page.text
    assert "2 relaxations were stopped early by --prescreen" in page.text
    assert "stopped early" not in report(oxides).text


def test_diagrams_of_the_systems_with_their_candidates(report, oxides):
    diagrams = report(oxides).diagrams()
    assert set(diagrams) == {"Li-O", "Co-O", "Li-Co-O", "Na-Cl"}
    for inside in ("Li-bcc", "Li2O-antifluorite", "CoO-wurtzite", "LiCoO2-layered", "LiCoO2-ordered-rocksalt"):
        assert inside in diagrams["Li-Co-O"]
    assert "NaCl" not in diagrams["Li-Co-O"]
    assert "NaCl-rocksalt" in diagrams["Na-Cl"]
    assert next(iter(diagrams)) == "Li-Co-O"


def test_binary_diagram_draws_formation_energy_against_composition(report, make_candidate):
    page = report([make_candidate("a", "Na2O", -1.5), make_candidate("b", "Na2O2", -1.35)])
    points = {
        hover.split("<br>")[1].split(":")[0]: (x, y)
        for trace in page.figures["diagram-1"]["data"]
        for x, y, hover in zip(trace["x"], trace["y"], trace.get("hovertext", []), strict=False)
    }
    assert points["a"] == pytest.approx((1 / 3, -1.5))
    assert points["b"] == pytest.approx((1 / 2, -1.35))
    line = page.figures["diagram-1"]["data"][0]
    assert {-1.35, 0.0} <= set(line["y"])


def test_diagram_over_fixed_references(report, dft, make_candidate):
    rows = [make_candidate("mine", "NaCl", -2.4), make_candidate("other", "NaCl", -2.0)]
    page = report(rows, dft, hull="references")
    hovers = page.diagrams()["Na-Cl"]
    for name in ("mp-na", "mp-cl", "mp-nacl", "mine", "other"):
        assert name in hovers
    line = page.figures["diagram-1"]["data"][0]
    assert min(y for y in line["y"] if y is not None) == pytest.approx((-7.2 + 1.3 + 1.8) / 2)
    assert "they do not compete with each other" in page.text


def test_four_elements_are_a_tetrahedron(report, make_candidate):
    rows = [make_candidate("four", "LiCoNiO4", -1.9), make_candidate("two", "Li2O", -2.0)]
    page = report(rows)
    assert list(page.diagrams()) == ["Li-Co-Ni-O", "Li-O"]
    traces = page.figures["diagram-1"]["data"]
    assert {trace["type"] for trace in traces} == {"scatter3d"}
    points = {
        hover.split("<br>")[1].split(":")[0]: place
        for trace in traces
        for hover, *place in zip(trace.get("hovertext", []), trace["x"], trace["y"], trace["z"], strict=False)
    }
    lithium, cobalt, nickel, oxygen = (points[f"element-{el}"] for el in ("Li", "Co", "Ni", "O"))
    corners = (lithium, cobalt, nickel, oxygen)
    assert {round(math.dist(a, b), 9) for a, b in combinations(corners, 2)} == {1.0}
    mean = [(a + b + c + 4 * d) / 7 for a, b, c, d in zip(*corners, strict=True)]
    assert points["four"] == pytest.approx(mean)
    assert points["two"] == pytest.approx([(2 * a + d) / 3 for a, d in zip(lithium, oxygen, strict=True)])
    named = {text for trace in traces for text in trace.get("text", [])}
    assert {"Li", "Co", "Ni", "O", "LiCoNiO<sub>4</sub>", "Li<sub>2</sub>O"} <= named


def test_decomposition_and_errors_stand_in_the_table(report, make_candidate):
    page = report(
        [
            make_candidate(
                "a",
                "Li2O2",
                -1.5,
                decomposition_reaction="Li2O2 -> Li2O + 0.5 O2",
                decomposition_energy_eV_per_atom=-0.0289,
                e_above_hull_uncertainty_eV_per_atom=0.0086,
                formation_energy_uncertainty_eV_per_atom=0.00861,
            ),
            make_candidate("b", "Li", 0.0, e_above_hull_uncertainty_eV_per_atom=0.00001),
        ]
    )
    assert page.column("top", "Decomposes into")[0] == "Li2O + 0.5\N{NO-BREAK SPACE}O2"
    assert page.column("top", "Decomposition energy, meV/atom")[0] == f"{MINUS}28.9"
    assert page.column("top", "E above hull, meV/atom")[0].endswith(" ± 8.6")
    assert page.column("top", "Formation energy, eV/atom")[0] == f"{MINUS}1.500 ± 0.009"
    assert "±" not in page.column("top", "E above hull, meV/atom")[1]
    assert "not the error of the potential" in page.text
    assert "Self-consistent" not in page.text


def test_named_corrections_are_not_taken_for_columns_of_the_input(report, make_candidate):
    page = report(
        [
            make_candidate(
                "a",
                "CoO",
                -1.2,
                correction_anion_oxide_eV_per_atom=-0.34,
                correction_mixing_Co_eV_per_atom=-0.8,
                correction_by_hand=1.0,
                e_above_hull_self_consistent_eV_per_atom=0.0123,
                decomposition_self_consistent="1.000 CoO",
            )
        ]
    )
    headings = [cell["text"] for cell in page.tables["top"][0]]
    assert [name for name in headings if name.startswith("correction")] == ["correction_by_hand"]
    assert page.column("top", "Self-consistent, meV/atom") == ["12.3"]


def test_an_ensemble_shows_how_far_its_members_are_apart(report, make_candidate):
    page = report(
        [make_candidate("a", "CoO", -1.2, energy_std_eV_per_atom=0.0123, max_force_std_eV_per_A=0.2, origin="by hand")]
    )
    assert page.column("top", "Members apart, meV/atom") == ["12.3"]
    headings = [cell["text"] for cell in page.tables["top"][0]]
    assert [name for name in headings if name.endswith("_std_eV_per_A") or name == "origin"] == ["origin"]


def test_missing_terminal_is_said_and_not_drawn(report, dft, make_candidate):
    rows = [make_candidate("a", "NaCl", -2.0), make_candidate("b", "KCl", -2.1)]
    page = report(rows, dft, hull="references")
    assert set(page.diagrams()) == {"Na-Cl"}
    assert "1 converged candidate without a distance to the hull: no reference entry for K." in page.text
    assert "an element has no reference entry: K-Cl" in page.text
    assert page.rows("flags")[0][:2] == ["missing_terminal", "1"]


def test_details_of_one_flag_stand_together(report, make_candidate):
    flags = "outside_fine_tuning:Al;large_volume_change;outside_fine_tuning:O"
    page = report([make_candidate("a", "Al2O3", -3.0, flags=flags), make_candidate("b", "MgO", -2.0)])
    assert page.column("top", "Flags") == ["outside_fine_tuning: Al, O; large_volume_change", ""]


def test_at_most_twelve_diagrams(report, make_candidate):
    metals = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Al", "Sc", "Y", "La", "Ti")
    page = report([make_candidate(metal, f"{metal}O", -2.0) for metal in metals])
    assert len(page.diagrams()) == 12
    assert "2 systems with fewer candidates are not drawn" in page.text


def test_volume_outliers(report, oxides):
    for n, change in enumerate((-25.0, 12.5, 10.0)):
        oxides[n]["volume_change_percent"] = change
    for row in oxides[3:]:
        row["volume_change_percent"] = 1.0
    assert [row[2] for row in report(oxides).rows("outliers")] == [f"{MINUS}25.0", "12.5"]


def test_hostile_text_is_text(report, oxides, make_candidate, make_failure, elements):
    rows = [
        *oxides,
        make_candidate(HOSTILE, "MgO", -3.0, volume_change_percent=30.0, flags=HOSTILE, **{HOSTILE: HOSTILE}),
        make_failure(HOSTILE, "failed", HOSTILE),
    ]
    page = report(rows, top=100)
    assert any(cell.startswith("<script>") for cell in page.column("top", "Id"))
    assert HOSTILE[:200] in page.column("failed", "Reason")
    tags = Counter(tag for tag, _ in page.elements)
    assert not tags["img"]
    assert tags["script"] == len(page.figures) + 3  # the libraries and our own
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    hovers = page.hovers("volume-change") + page.hovers("diagram-1")
    assert any("&lt;script&gt;" in hover for hover in hovers)
    assert not any("<script" in hover or "<img" in hover for hover in hovers)


def test_no_text_in_a_figure_ends_its_script():
    text = "</script><!-- & \u2028"
    embedded = figure_json(go.Figure(go.Scatter(x=[1], y=[2], hovertext=[text])))
    assert not set("<>&\u2028") & set(embedded)
    assert json.loads(embedded)["data"][0]["hovertext"] == [text]


def test_only_scripts_with_the_nonce_run(report, oxides):
    page = report(oxides)
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    nonce = re.search(r"script-src 'nonce-([0-9a-f]{64})'", policy)[1]
    assert "default-src 'none'" in policy
    for tag, attrs in page.elements:
        if tag == "script" and attrs.get("type") not in {"application/json", "text/plain"}:
            assert attrs == {"nonce": nonce}


def test_nothing_is_loaded_from_anywhere(report, oxides):
    page = report(oxides)
    for tag, attrs in page.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base"}
        assert "src" not in attrs
        assert "href" not in attrs
    for style in page.styles:
        assert "@import" not in style
        assert not re.search(r"url\(\s*['\"]?(?!data:)", style)


@pytest.mark.parametrize("n_failed", [0, 1, 3])
def test_without_any_evaluated_candidate(report, make_failure, n_failed):
    rows = [make_failure(f"f{n}", "failed", "RuntimeError: no") for n in range(n_failed)]
    page = report(rows or [], hull="candidates")
    assert page.figures == {}
    assert "No candidate could be ranked" in page.text
    assert ("held no candidates" if n_failed == 0 else "has a distance to the hull") in page.text


def test_one_candidate(report, make_candidate):
    page = report([make_candidate("only", "NaCl", -2.0)])
    assert "1 of 1 candidate is within 25 meV/atom" in page.text
    assert "only" in page.diagrams()["Na-Cl"]


def test_carried_columns(report, oxides):
    for row in oxides:
        row.update({"note": "x" * 300, "a & <b>": 1.5, **{f"extra {n}": n for n in range(8)}})
    page = report(oxides)
    headings = [cell["text"] for cell in page.tables["top"][0]]
    assert headings[-6:] == ["prototype", "note", "a & <b>", "extra 0", "extra 1", "extra 2"]
    assert page.column("top", "a & <b>") == ["1.5"] * len(oxides)
    assert max(map(len, page.column("top", "note"))) == 60
    assert "extra 7" in page.text


def test_carried_columns_with_the_names_of_ours_are_shown_as_they_are(report, oxides):
    for row in oxides:
        row["formation_eV"] = 9.25
    page = report(oxides)
    assert page.column("top", "input_formation_eV") == ["9.25"] * len(oxides)


def test_ten_thousand_rows_stay_small(report, make_candidate, make_failure):
    generator = random.Random(1)
    metals = ("Li", "Na", "K", "Mg", "Ca", "Al", "Ti", "Fe", "Co", "Ni")
    rows = [
        make_candidate(
            f"candidate-{n}",
            f"{generator.choice(metals)}{generator.randint(1, 4)}{generator.choice(metals)}O{generator.randint(1, 6)}",
            -2.0,
            e_above_hull_eV_per_atom=abs(generator.gauss(0, 0.2)),
            decomposition="",
            flags="",
        )
        for n in range(8000)
    ]
    rows += [make_failure(f"bad-{n}", "failed", "RuntimeError: " + "x" * 200) for n in range(2000)]
    page = report(rows)
    assert page.size < 12e6
    assert len(page.diagrams()) == 12
    assert page.figures["volume-change"]["data"][0]["type"] == "heatmap"


def test_provenance_and_model_notes(report, oxides):
    page = report(oxides)
    for text in ("d14ab7c0f093", "Deng et al.", "2.13.0", "ab" * 32, "settings", "Settings", "fmax_eV_per_A", "519.2"):
        assert text.lower() in page.text.lower()
    assert "63 meV/atom" in page.text
    assert "not applied again" in page.text


def test_what_is_made_of_a_fine_tunings_reference_energies_is_said(results_folder, oxides, elements):
    folder = results_folder(oxides)
    run = json.loads((folder / "run.json").read_text())
    run["model"] |= {"base": "chgnet-0.3.0", "reference_shifts": {"Na": 0.3, "O": 0.1}}
    (folder / "run.json").write_text(json.dumps(run))
    text = Page(write_screen_report(folder, elements)).text
    assert "The labels that its base was trained on already carried" in text
    assert "moved the reference energies of Na, O to those of its data" in text


def test_no_published_error_is_claimed_for_another_model(report, oxides):
    page = report(oxides, model="chgnet-r2scan")
    assert "63 meV/atom" not in page.text
    assert "predicts raw DFT energies" in page.text


def test_same_input_same_bytes_and_no_leftovers(results_folder, oxides, elements):
    folder = results_folder(oxides)
    first = write_screen_report(folder, elements).read_bytes()
    assert write_screen_report(folder, elements).read_bytes() == first
    assert {path.name for path in folder.iterdir()} == {"results.parquet", "run.json", "report.html"}


def test_refuses_what_is_not_a_results_folder(tmp_path, results_folder, oxides, elements):
    with pytest.raises(InputError, match="Expected a results folder"):
        write_screen_report(tmp_path, elements)
    folder = results_folder(oxides)
    with pytest.raises(InputError, match="top=0"):
        write_screen_report(folder, elements, top=0)
    (folder / "run.json").write_text("[]")
    with pytest.raises(InputError, match="holds a list"):
        write_screen_report(folder, elements)
    (folder / "results.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="not a Parquet table"):
        write_screen_report(folder, elements)
    pd.DataFrame({"id": ["a"]}).to_parquet(folder / "results.parquet")
    with pytest.raises(InputError, match="no column status"):
        write_screen_report(folder, elements)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_browser_runs_it_without_errors(results_folder, oxides, make_candidate, elements, tmp_path):
    rows = [*oxides, make_candidate(HOSTILE, "MgO", -3.0, **{HOSTILE: HOSTILE})]
    path = write_screen_report(results_folder(rows), elements)
    command = [
        "chromium",
        *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        *["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=8000"],
        f"--user-data-dir={tmp_path / 'profile'}",
        *("--enable-logging=stderr", "--dump-dom", path.as_uri()),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert "CONSOLE" not in run.stderr
    assert "<title>Screening of candidates.csv</title>" in run.stdout
    assert 'data-ready="true"' in run.stdout
    assert "dt-search" in run.stdout
    assert run.stdout.count("js-plotly-plot") >= 6
