from __future__ import annotations

import re
import shutil
import subprocess

import pandas as pd
import pytest
from test_screen_report import HOSTILE, MINUS, Page

import uniscreen
from benchmark_rows import SOURCE, benchmark_rows, cell, failed, frame, published, seeds
from uniscreen.errors import InputError
from uniscreen.reports.leaderboard_content import LeaderboardContent, telling
from uniscreen.reports.leaderboard_markdown import leaderboard_markdown
from uniscreen.reports.leaderboard_report import write_leaderboard

DASH = "\N{EN DASH}"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Files of a run's rows and of a published figure."""
    folder = tmp_path_factory.mktemp("results")
    benchmark_rows().to_csv(folder / "results.csv", index=False)
    published().to_csv(folder / "published.csv", index=False)
    return [folder / "results.csv", folder / "published.csv"]


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "board.html"
    write_leaderboard(path, LeaderboardContent.read(results))
    return Page(path)


def tables(markdown):
    """The tables of Markdown by the heading before them: rows of cells, the header first."""
    found = {}
    for block in re.split(r"^##+ ", markdown, flags=re.MULTILINE)[1:]:
        heading, _, body = block.partition("\n")
        rows = [line for line in body.splitlines() if line.startswith("|")]
        found[heading] = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows if "---" not in row
        ]
    return found


def test_the_csv_file_is_the_table_of_python(results, tmp_path):
    for metrics in ((), ("force_mae",)):
        write_leaderboard(tmp_path / "board.csv", LeaderboardContent.read(results, metrics, ("dataset", "regime")))
        expected = uniscreen.leaderboard(results, metric=metrics or None, by=("dataset", "regime"))
        found = pd.read_csv(
            tmp_path / "board.csv", dtype=dict.fromkeys(expected.columns[expected.dtypes == "Int64"], "Int64")
        )
        assert found.drop(columns="reason").equals(expected.drop(columns="reason"))
        assert found["reason"].fillna("").tolist() == expected["reason"].tolist()


def test_markdown_is_the_same_for_the_same_results(results):
    first = leaderboard_markdown(LeaderboardContent.read(results))
    assert leaderboard_markdown(LeaderboardContent.read(results[::-1])) == first
    shuffled = benchmark_rows().sample(frac=1, random_state=7)
    assert leaderboard_markdown(LeaderboardContent.read(shuffled)) == leaderboard_markdown(
        LeaderboardContent.read(benchmark_rows())
    )


def test_markdown_holds_the_numbers_and_every_entry(results):
    found = tables(leaderboard_markdown(LeaderboardContent.read(results)))
    board = uniscreen.leaderboard(results)
    of_si = board[(board["dataset"] == "Si") & (board["metric"] == "energy_mae")]
    header, *rows = found["bench: Si"]
    assert header[:7] == ["Model", "Regime", r"n\_train", "Seeds", r"\#", "Energy MAE, meV/atom", r"\#"]
    assert [row[0].replace(r" \[1\]", "") for row in rows] == of_si["model"].tolist()
    for row, expected in zip(rows, of_si.itertuples(), strict=True):
        if expected.n_seeds:
            assert float(row[5].split(" ± ")[0]) == pytest.approx(expected.mean, rel=0.005)
            places = [int(place) for place in row[4].split(DASH)]
            assert (places[0], places[-1]) == (expected.rank, expected.worst_rank)
        else:
            assert row[3:] == ["0 of 3", DASH, "failed", DASH, "failed", "failed", "failed"]
    reason = r"BackendError: no convergence \| \*at all\*"
    assert ["mtp", "dedicated", "10", "3 of 3", reason] in found["Failed cells"]


def test_each_ranked_metric_has_a_table_by_number_of_structures():
    rows = frame(
        cell({"force_mae": 80.0}, model="u", regime="zero-shot", n_train=0, seed=None),
        seeds("force_mae", [40.0, 60.0], model="u", regime="fine-tuned", n_train=10),
        seeds("force_mae", [20.0, 20.0], model="u", regime="fine-tuned", n_train=100),
        cell({"force_mae": 90.0}, model="d", regime="dedicated", n_train=10),
        failed("no convergence", model="d", regime="dedicated", n_train=100),
    )
    found = tables(leaderboard_markdown(LeaderboardContent.read(rows)))
    assert found["Force MAE by component, meV/Å, by number of structures"] == [
        ["Model", "Regime", "0", "10", "100"],
        ["u", "fine-tuned", DASH, "50.0 ± 14.1", "20.0 ± 0.0"],
        ["u", "zero-shot", "80.0", DASH, DASH],
        ["d", "dedicated", DASH, "90.0 ± ?", "failed"],
    ]
    one_size = tables(leaderboard_markdown(LeaderboardContent.read(rows[rows["n_train"] == 10])))
    assert not [heading for heading in one_size if "by number" in heading]


def test_published_figures_are_marked_and_have_no_spread(results, page):
    markdown = leaderboard_markdown(LeaderboardContent.read(results))
    assert rf"- \[1\] {SOURCE}" in markdown
    (row,) = [row for row in tables(markdown)["bench: Si"] if row[0].startswith("GAP 2018")]
    board = uniscreen.leaderboard(results, metric="energy_mae").set_index("model")
    place = board.loc["GAP 2018", ["rank", "worst_rank"]].tolist()
    assert row[:6] == [r"GAP 2018 \[1\]", "published", "214", "1", f"{place[0]}{DASH}{place[1]}", "4.20"]
    assert place[0] < place[1]  # within the noise of another entry, if without one of its own
    assert "GAP 2018 [1]" in page.column("part-2-main", "Model")
    assert SOURCE in page.text


def test_one_seed_has_a_spread_that_is_not_known():
    rows = frame(
        seeds("energy_mae", [5.0], model="tuned once"),
        seeds("energy_mae", [7.0], model="untrained", regime="zero-shot", n_train=0),
        seeds("energy_mae", [9.0, 9.5], model="twice"),
    )
    found = tables(leaderboard_markdown(LeaderboardContent.read(rows)))["bench: Si"]
    assert {row[0]: row[5] for row in found[1:]} == {
        "tuned once": "5.00 ± ?",
        "untrained": "7.00",
        "twice": "9.25 ± 0.35",
    }


def test_ties_are_said_in_words():
    rows = frame(
        seeds("energy_mae", [5.0, 6.0, 7.0], model="a"),
        seeds("energy_mae", [5.5, 6.5, 7.5], model="b"),
        seeds("energy_mae", [90.0, 91.0, 92.0], model="c"),
    )
    said = "Best energy MAE: 6.00 ± 1.00 meV/atom, a (fine-tuned, 100 structures); 1 more cannot be told from it."
    assert said in leaderboard_markdown(LeaderboardContent.read(rows))
    apart = leaderboard_markdown(LeaderboardContent.read(rows, by=("dataset", "model")))
    assert "Best energy" not in apart
    assert "of the same model" in apart


def test_learning_curves_and_fronts_in_the_page(page):
    needed = dict(zip(page.column("part-2-table-5", "Model"), page.rows("part-2-table-5"), strict=True))
    exponent, error = (float(text.replace(MINUS, "-")) for text in needed["gap"][3].split(" ± "))
    assert exponent == pytest.approx(-0.6, abs=0.06)
    assert 0 < error < 0.06
    assert needed["mtp"][2] == "30 to 214"
    fronts = page.rows("part-2-table-6")
    assert ["energy MAE against DFT calculations", "chgnet-0.3.0", "zero-shot"] not in [row[:3] for row in fronts]
    assert ["energy MAE against DFT calculations", "mace-mp-0-medium", "zero-shot", "0"] in [row[:4] for row in fronts]
    assert len(page.figures) == 2 * (2 + 4)


def test_needs_are_for_the_target_of_each_metric_and_fronts_show_error_and_speed():
    """From 20 to 5 meV/atom 10 is halfway in the logarithm, from 400 to 50 meV/Å 100 is two thirds of the way."""
    curve = [
        cell({"energy_mae": 20.0, "force_mae": 400.0}, n_train=10),
        cell({"energy_mae": 5.0, "force_mae": 50.0, "speed": 3000.0}, n_train=1000),
    ]
    found = tables(leaderboard_markdown(LeaderboardContent.read(frame(*curve))))
    ((*_, for_energy, for_force),) = found["Learning curves"][1:]
    assert (for_energy, for_force) == ("100", "216")
    (by_speed,) = [row for row in found["Pareto fronts"] if row[0] == "energy MAE against speed"]
    assert by_speed[3:] == ["1000", "5.00 meV/atom", "3000 atom steps/s"]


def test_every_number_cell_sorts_by_a_number(page):
    cells = [cell for table in page.tables.values() for row in table[1:] for cell in row if cell["class"] == "number"]
    assert len(cells) > 500
    for one in cells:
        float(one["data-order"])


def test_metrics_that_are_asked_for_are_the_only_ones(results, tmp_path):
    content = LeaderboardContent.read(results, ["bulk_modulus_error:diamond"])
    header = tables(leaderboard_markdown(content))["bench: Si"][0]
    assert header[4:] == [r"\#", "Error of the bulk modulus of diamond, %"]
    with pytest.raises(InputError, match="no metric stress_mae; they have energy_mae"):
        LeaderboardContent.read(results, ["stress_mae"])


def test_a_dataset_of_failures_only(tmp_path):
    content = LeaderboardContent.read(frame(failed("ValueError: no", model="m")))
    write_leaderboard(tmp_path / "board.html", content)
    page = Page(tmp_path / "board.html")
    assert page.rows("part-1-main") == [["m", "fine-tuned", "100", "0 of 1", DASH, "failed", DASH, "failed"]]
    assert page.figures == {}
    assert "1 entry of 1 cell, 1 of which failed" in page.text


def test_hostile_text_is_text(tmp_path):
    rows = frame(
        cell({"energy_mae": 5.0, "speed": 10.0}, model=HOSTILE, dataset=HOSTILE),
        cell(
            {"energy_mae": 9.0, "speed": 10.0},
            model=HOSTILE,
            dataset=HOSTILE,
            n_train=10,
            source=f"computed; {HOSTILE}",
        ),
        failed(HOSTILE, model="m", dataset=HOSTILE),
    )
    write_leaderboard(tmp_path / "board.html", LeaderboardContent.read(rows))
    page = Page(tmp_path / "board.html")
    assert sum(tag == "script" for tag, _ in page.elements) == len(page.figures) + 3  # the libraries and our own
    assert "img" not in [tag for tag, _ in page.elements]
    assert not any("<img" in hover for name in page.figures for hover in page.hovers(name))


def test_nothing_is_loaded_from_a_network(page):
    (policy,) = [
        attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert not [attrs for _, attrs in page.elements if "src" in attrs or attrs.get("href", "#")[0] != "#"]


def test_an_unknown_format(tmp_path):
    with pytest.raises(InputError, match=r"board.pdf; expected a name that ends in .csv, .md, .html"):
        write_leaderboard(tmp_path / "board.pdf", LeaderboardContent.read(benchmark_rows()))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_browser_runs_it_without_errors(results, tmp_path):
    path = tmp_path / "board.html"
    write_leaderboard(path, LeaderboardContent.read(results))
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
    assert run.stdout.count("js-plotly-plot") >= 12


def test_values_give_way_to_their_errors():
    metrics = [
        "volume:rocksalt",
        "volume_error:rocksalt",
        "volume:zincblende",
        "c11:rocksalt",
        "elastic_error:rocksalt",
        "phonon_frequency:rocksalt X",
        "phonon_mae:rocksalt",
        "surface_energy:rocksalt(100)",
        "nve_drift",
    ]
    gone = {"volume:rocksalt", "c11:rocksalt", "phonon_frequency:rocksalt X"}
    assert telling(metrics) == [name for name in metrics if name not in gone]


@pytest.mark.parametrize(
    ("value", "error", "goes"),
    [
        ("volume:alpha quartz", "volume_error:alpha quartz", True),
        ("volume:alpha quartz", "volume_error:alpha tridymite", False),
        ("phonon_frequency:alpha quartz L", "phonon_mae:alpha quartz", True),
        ("surface_energy:bcc(110)", "surface_energy_error:bcc(110)", True),
        ("surface_energy:bcc(100)", "surface_energy_error:bcc(110)", False),
    ],
)
def test_a_value_gives_way_to_its_own_error_alone(value, error, goes):
    assert telling([value, error]) == ([error] if goes else [value, error])


def test_all_that_cannot_be_told_from_the_best_are_counted():
    """Also one that is behind another, which the noise of the best does not hide."""
    rows = frame(
        seeds("energy_mae", [3.0, 6.0, 9.0], model="best"),
        seeds("energy_mae", [6.1], model="second", regime="zero-shot"),
        seeds("energy_mae", [6.2], model="third", regime="zero-shot"),
    )
    content = LeaderboardContent.read(rows)
    assert content.board.loc[content.board["metric"] == "energy_mae", "rank"].tolist() == [1, 1, 2]
    assert "(fine-tuned, 100 structures); 2 more cannot be told from it." in leaderboard_markdown(content)


def test_the_test_set_of_a_published_figure_is_not_that_of_the_benchmark():
    quoted = cell({"energy_mae": 1.0}, model="quoted", regime="published", n_train=None, n_test=2000, source=SOURCE)
    text = leaderboard_markdown(LeaderboardContent.read(frame(cell({"energy_mae": 1.0}), quoted)))
    assert "Tested on 25 structures." in text
    assert "Not on all of them" not in text


def test_cells_that_failed_in_different_metrics_are_all_counted():
    broken = [
        {**failed("no minimum", model="m", seed=seed)[0], "metric": metric}
        for seed, metric in enumerate(("volume:x", "nve_drift"))
    ]
    content = LeaderboardContent.read(frame(seeds("energy_mae", [1.0, 2.0], model="m"), broken))
    assert "1 entry of 2 cells, 2 of which failed." in leaderboard_markdown(content)


def test_what_was_not_measured_has_not_failed():
    broken = [{**failed("an atom flies away", model="m")[0], "metric": "nve_drift"}]
    rows = frame(
        cell({"energy_mae": 1.0}, model="m"),
        broken,
        cell({"energy_mae": 1.0, "training_time": 5.0, "nve_drift": 0.1}, model="n"),
    )
    found = tables(leaderboard_markdown(LeaderboardContent.read(rows)))
    (row,) = [row for row in found["bench: Si"] if row[0] == "m"]
    assert dict(zip(found["bench: Si"][0], row, strict=True))["CPU time of training, s"] == DASH
    (row,) = [row for row in found["Physics"] if row[0] == "m"]
    assert row[-1] == "failed"


def test_a_mean_over_fewer_seeds_than_the_others_says_so_and_why():
    broken = [{**failed("no minimum", model="m", seed=2)[0], "metric": "volume:x"}]
    drifts, volumes = seeds("nve_drift", [1.0, 2.0, 3.0], model="m"), seeds("volume:x", [4.0, 5.0], model="m")
    headline = seeds("energy_mae", [1.0, 2.0, 3.0], model="m")
    found = tables(leaderboard_markdown(LeaderboardContent.read(frame(headline, drifts, volumes, broken))))
    cells = [cell for rows in found.values() for row in rows for cell in row]
    assert [cell for cell in cells if "of 3" in cell] == ["4.50 ± 0.71 (2 of 3)", "1 of 3"]
    assert found["Failed cells"][1][-1] == "volume:x: no minimum"


def test_entries_that_were_tested_on_fewer_structures_are_named():
    rows = frame(cell({"energy_mae": 1.0}, model="m"), cell({"energy_mae": 0.5}, model="n", n_test=20))
    text = leaderboard_markdown(LeaderboardContent.read(rows))
    assert "Tested on 25 structures. Not on all of them: n fine-tuned 100 (20)." in text
    assert "Not on all" not in leaderboard_markdown(LeaderboardContent.read(rows[:1]))
