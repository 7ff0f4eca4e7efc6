from __future__ import annotations

import json
import re
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from click.testing import CliRunner
from test_screen_report import HOSTILE, MINUS, Page

from uniscreen.cli.main import main
from uniscreen.errors import InputError
from uniscreen.reports import write_training_report
from uniscreen.reports.parity import LARGEST_ERRORS, MOST_POINTS, thinned


def frames(groups, seed):
    """Crystals of Cu and Au with the energies, forces and stresses of ASE's effective medium theory."""
    source = np.random.default_rng(seed)
    for group in groups:
        atoms = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.1] * 3, pbc=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + source.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += source.normal(0, 0.15, (2, 3))
        atoms.calc = EMT()
        atoms.calc = SinglePointCalculator(
            atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces(), stress=atoms.get_stress()
        )
        atoms.info["group"] = group
        yield atoms


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three epochs by the command, and what the command printed."""
    folder = tmp_path_factory.mktemp("finetune")
    write(folder / "train.extxyz", list(frames([HOSTILE, HOSTILE, "NA", "NA", "nan", "nan"], seed=1)))
    write(folder / "test.extxyz", list(frames([HOSTILE, "NA", "other"], seed=2)))
    data = {name: str(folder / f"{name}.extxyz") for name in ("train", "test")}
    recipe = {
        "model": "chgnet-0.3.0",
        "data": {**data, "check_units": False},
        "optimiser": {"epochs": 3, "batch_size": 2, "ema": 0, "refit": False},
        "checks": {"run": False},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    command = ["finetune", str(folder / "recipe.yaml"), "--out", str(folder / "cu-au"), "--device", "cpu"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return folder / "cu-au", command, result.stdout


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run's folder that a test may change."""
    return shutil.copytree(finished[0], tmp_path / "cu-au")


@pytest.fixture
def change(run):
    """Change the summary of the copy."""

    def make(**values):
        path = run / "summary.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return make


@pytest.fixture(scope="module")
def page(finished):
    return Page(finished[0] / "report.html")


def numbers(row):
    return [float(cell.replace(MINUS, "-")) for cell in row]


def test_the_command_writes_the_report_and_says_where(finished):
    folder, command, printed = finished
    assert printed.splitlines()[-1] == f"Report: {folder / 'report.html'}"
    (folder / "report.html").unlink()
    assert CliRunner().invoke(main, [*command, "--quiet"]).stdout == ""
    assert (folder / "report.html").is_file()


def test_errors_are_those_of_the_summary(page, finished):
    errors = json.loads((finished[0] / "summary.json").read_text())["errors"]
    assert [row[:3] for row in page.rows("errors")[:3]] == [
        ["test", stage, "3"] for stage in ("before", "re-referenced", "trained")
    ]
    assert page.column("errors", "Set") == ["test"] * 3 + ["validation"] * 3 + ["training"] * 3
    for row, stage in zip(page.rows("errors"), ("pretrained", "rereferenced", "trained"), strict=False):
        found = errors["test"][stage]
        keys = ("energy_mae_meV_per_atom", "force_mae_meV_per_A", "force_slope", "stress_mae_GPa")
        shown = [numbers(row)[k] for row, k in ((row[3:], k) for k in (0, 3, 5, 7))]
        assert shown == pytest.approx([found[key] for key in keys], abs=0.0501)
    before, after = (errors["test"][stage]["energy_mae_meV_per_atom"] for stage in ("rereferenced", "trained"))
    assert after < before
    assert (
        "On 3 test frames that took no part in training, training lowered the energy error from "
        f"{before:.1f} (re-referenced) to {after:.1f} meV/atom and lowered the force error from" in page.text
    )


@pytest.mark.parametrize(
    ("energy", "force", "said"),
    [
        (0.04, 9000.0, r"lowered the energy error from [\d.]+ \(re-referenced\) to 0\.0 meV/atom and raised the force"),
        (1e4, None, r"raised the energy error .* to 10000\.0 meV/atom and left the force error at \d+ meV/Å\."),
    ],
)
def test_the_verdict_does_not_call_worse_better(run, change, energy, force, said):
    errors = json.loads((run / "summary.json").read_text())["errors"]
    before, trained = errors["test"]["pretrained"], errors["test"]["trained"]
    trained["energy_mae_meV_per_atom"] = energy
    trained["force_mae_meV_per_A"] = force or before["force_mae_meV_per_A"] + 1e-9
    change(errors=errors)
    assert re.search(said, Page(write_training_report(run)).text)


def test_breakdowns_are_those_of_the_tables(page, finished):
    atoms = pd.read_parquet(finished[0] / "forces.parquet")
    table = pd.read_csv(finished[0] / "predictions.csv", keep_default_na=False)
    for name in ("test", "validation", "train"):
        of_set, frame_rows = atoms[atoms["set"] == name], table[table["set"] == name]
        assert page.column(f"elements-{name}", "Element") == ["Au", "Cu"]
        for row in page.rows(f"elements-{name}"):
            inside = of_set[of_set["element"] == row[0]]
            true, before, after = (
                inside[[f"f{axis}{stage}" for axis in "xyz"]].to_numpy() for stage in ("", "_pretrained", "_trained")
            )
            mae = [1000 * np.abs(one - true).mean() for one in (before, after)]
            slope = [(one * true).sum() / (true**2).sum() for one in (before, after)]
            assert numbers(row[1:4]) == pytest.approx([len(inside), *mae], abs=0.0501)
            assert numbers(row[4:]) == pytest.approx(slope, abs=0.00501)
        groups = {row[0]: numbers(row[1:]) for row in page.rows(f"groups-{name}")}
        assert {group.rstrip("…")[:79] for group in groups} == {group[:79] for group in frame_rows["group"]}
        assert sum(row[0] for row in groups.values()) == len(frame_rows)
        forces = [
            np.average(column, weights=[row[0] for row in groups.values()])
            for column in zip(*groups.values(), strict=True)
        ]
        total = 1000 * np.abs(
            of_set[["fx_trained", "fy_trained", "fz_trained"]].to_numpy() - of_set[["fx", "fy", "fz"]]
        )
        assert forces[-1] == pytest.approx(total.to_numpy().mean(), abs=0.0501)
        assert sum(int(row[1]) for row in page.rows(f"magnitudes-{name}")) == len(of_set)


def test_groups_with_the_names_of_missing_values(page):
    shown = {group for name in ("test", "validation", "train") for group in page.column(f"groups-{name}", "Group")}
    assert {"NA", "nan", "other"} <= shown


def test_a_frame_without_a_group(run):
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    table.loc[table["set"] == "test", "group"] = ""
    table.to_csv(run / "predictions.csv", index=False)
    assert Page(write_training_report(run)).column("groups-test", "Group") == ["–"]  # noqa: RUF001


def test_forces_of_a_group_count_by_atoms_and_energies_by_frames(run):
    table = pd.read_csv(run / "predictions.csv")
    is_test = table["set"] == "test"
    table.loc[is_test, ["group", "energy_eV", "energy_trained_eV"]] = ["one", 0.0, 0.0]
    table.loc[is_test, "n_atoms"] = [1, 1, 6]
    table.loc[is_test, "energy_trained_eV"] = [0.01, -0.02, 0.36]
    table.loc[is_test, "force_mae_trained_meV_per_A"] = [10.0, 20.0, 70.0]
    table.to_csv(run / "predictions.csv", index=False)
    ((group, frames, *_, energy, _, force),) = Page(write_training_report(run)).rows("groups-test")
    assert (group, frames, energy) == ("one", "3", "30.0")
    assert float(force) == pytest.approx((10 + 20 + 6 * 70) / 8, abs=0.051)


def test_forces_by_length(run):
    atoms = pd.read_parquet(run / "forces.parquet")
    atoms = pd.concat([atoms[atoms["set"] != "test"], *[atoms[atoms["set"] == "test"].head(1)] * 3])
    for axis in "yz":
        atoms.loc[atoms["set"] == "test", [f"f{axis}", f"f{axis}_pretrained", f"f{axis}_trained"]] = 0.0
    is_test = atoms["set"] == "test"
    atoms.loc[is_test, "fx"] = [0.0999, -0.1, 20.0]
    atoms.loc[is_test, "fx_pretrained"] = [0.0, -0.05, 10.0]
    atoms.loc[is_test, "fx_trained"] = [0.0999, -0.13, 20.3]
    atoms.to_parquet(run / "forces.parquet")
    rows = Page(write_training_report(run)).rows("magnitudes-test")
    assert rows == [
        ["0 to 0.1", "1", "33.3", "0.0", "0.00", "1.00"],
        ["0.1 to 0.3", "1", "16.7", "10.0", "0.50", "1.30"],
        ["10 and more", "1", "3333.3", "100.0", "0.50", "1.01"],
    ]


def test_errors_by_how_far_the_members_are_apart(run, page):
    assert "deviations-test" not in page.tables
    atoms = pd.read_parquet(run / "forces.parquet")
    is_test = atoms["set"] == "test"
    assert is_test.sum() == 6
    atoms["force_std"] = np.nan
    atoms.loc[is_test, "force_std"] = [0.03, 0.01, 0.02, 0.05, 0.04, 0.06]
    for axis in "xyz":
        atoms.loc[is_test, f"f{axis}_trained"] = atoms.loc[is_test, f"f{axis}"]
    atoms.loc[is_test, "fx_trained"] += [0.3, -0.1, 0.2, 0.6, 0.4, -0.7]
    atoms.to_parquet(run / "forces.parquet")
    page = Page(write_training_report(run))
    assert page.rows("deviations-test") == [
        ["least", "2", "15.0", "150.0", "200.0"],
        ["less", "2", "35.0", "350.0", "400.0"],
        ["more", "1", "50.0", "600.0", "600.0"],
        ["most", "1", "60.0", "700.0", "700.0"],
    ]
    assert "deviations-train" not in page.tables


def test_parity_plots_hold_every_point_and_its_residual(page, finished):
    table = pd.read_csv(finished[0] / "predictions.csv", keep_default_na=False)
    table = table[table["set"] == "test"]
    traces = {
        (trace["name"], trace["yaxis"]): trace for trace in page.figures["parity-energy"]["data"] if "name" in trace
    }
    for stage, words in (("rereferenced", "re-referenced"), ("trained", "trained")):
        predicted = table[f"energy_{stage}_eV"] / table["n_atoms"]
        assert traces[f"test, {words}", "y"]["y"] == pytest.approx(predicted.tolist(), abs=1e-5)
        assert traces[f"training, {words}", "y"]["visible"] == "legendonly"
        residuals = next(
            trace["y"]
            for trace in page.figures["parity-energy"]["data"]
            if trace["legendgroup"] == f"test {stage}" and trace["yaxis"] == "y2" and trace["mode"] == "markers"
        )
        errors = 1000 * (table[f"energy_{stage}_eV"] - table["energy_eV"]) / table["n_atoms"]
        assert residuals == pytest.approx(errors.tolist(), abs=1e-3)


def test_slopes_are_drawn_and_said(page, finished):
    errors = json.loads((finished[0] / "summary.json").read_text())["errors"]["test"]
    for stage in ("pretrained", "trained"):
        line = next(
            trace
            for trace in page.figures["parity-force"]["data"]
            if trace["legendgroup"] == f"test {stage}" and trace.get("line", {}).get("dash") == "dash"
        )
        assert np.divide(line["y"], line["x"]) == pytest.approx(errors[stage]["force_slope"])
    before, after = (errors[stage]["force_slope"] for stage in ("pretrained", "trained"))
    assert f"(before {before:.3f}, trained {after:.3f})".replace("-", MINUS) in page.text


def test_many_points_are_thinned_by_the_rule_that_is_stated(run):
    labels = np.random.default_rng(0).normal(size=20_000)
    errors = np.random.default_rng(1).normal(scale=0.1, size=20_000)
    drawn = thinned(labels, [labels, labels + errors])
    assert len(drawn) == len(set(drawn.tolist())) == MOST_POINTS
    assert set(np.argsort(-np.abs(errors))[:LARGEST_ERRORS]) <= set(drawn)
    assert {labels.argmin(), labels.argmax()} <= set(drawn)
    few = np.arange(5.0)
    assert thinned(few, [few]).tolist() == [0, 1, 2, 3, 4]

    atoms = pd.read_parquet(run / "forces.parquet")
    pd.concat([atoms] * 200).to_parquet(run / "forces.parquet")
    page = Page(write_training_report(run))
    assert f"Of {3 * 6 * 200:,} test points 2,500 are drawn: the 250 with the largest errors" in page.text
    shown = next(trace for trace in page.figures["parity-force"]["data"] if trace.get("name") == "test, trained")
    assert len(shown["x"]) == MOST_POINTS


def test_learning_curves_and_their_best_epoch(page, finished):
    metrics = pd.read_csv(finished[0] / "metrics.csv")
    best = json.loads((finished[0] / "summary.json").read_text())["best_epoch"][0]
    training, validation, star = page.figures["curve-loss"]["data"]
    assert training["x"] == [1, 2, 3]
    assert training["y"] == metrics["train_loss"].dropna().tolist()
    assert validation["x"] == [0, 1, 2, 3]
    assert (star["x"], star["y"]) == ([best], [metrics["validation_loss"][best]])
    assert page.figures["curve-loss"]["layout"]["yaxis"]["type"] == "log"
    for name, column in (("energy", "energy_mae_meV_per_atom"), ("force", "force_mae_meV_per_A")):
        assert page.figures[f"curve-{name}"]["data"][0]["y"] == metrics[f"validation_{column}"].tolist()


def test_test_frames_that_were_trained_on_are_told(run, page, change):
    assert "3 test frames that took no part in training" in page.text
    change(n_test_known=2)
    text = Page(write_training_report(run)).text
    assert "3 test frames, of which 2 are also among those that train or validate, training" in text
    assert "took no part" not in text


def test_training_once_more_on_all_frames_is_told(run, change):
    metrics = pd.read_csv(run / "metrics.csv")
    validated = [column for column in metrics if column.startswith("validation_")]
    later = metrics[1:].assign(epoch=[4, 5, 6], event="", **dict.fromkeys(validated))
    pd.concat([metrics, later]).to_csv(run / "metrics.csv", index=False)
    change(epochs_on_all_frames=[3])
    page = Page(write_training_report(run))
    training, validation, star = page.figures["curve-loss"]["data"]
    assert training["x"] == [1, 2, 3, 4, 5, 6]
    assert validation["x"] == [0, 1, 2, 3]
    assert star["name"] == "best epoch by validation"
    assert "it was trained on the validation frames too" in page.text
    assert "chose the epoch whose weights are kept" not in page.text


def test_energies_that_count_more_late_are_told(run, page):
    assert "In the second half" not in page.text
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["recipe"]["loss"]["late_energy"] = 10.0
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert "In the second half of the epochs energies have the weight 10," in Page(write_training_report(run)).text


def test_members_are_lines_of_their_own_and_rollbacks_are_marked(run, change):
    metrics = pd.read_csv(run / "metrics.csv")
    second = metrics.assign(member=1, validation_loss=metrics["validation_loss"] * 2)
    thrown_away = pd.DataFrame([{"member": 1, "epoch": 2, "step": 2, "event": "rolled back: the loss was nan"}])
    pd.concat([metrics, second, thrown_away]).to_csv(run / "metrics.csv", index=False)
    change(members=2, best_epoch=[2, 0], rollbacks=[[], ["the loss was nan; back to epoch 0"]], epochs=[3, 3])
    page = Page(write_training_report(run))
    figure = page.figures["curve-loss"]
    lines = {(trace["name"], trace["line"]["dash"]): trace for trace in figure["data"] if trace["mode"] == "lines"}
    assert set(lines) == {(f"member {member}", dash) for member in (0, 1) for dash in ("dot", "solid")}
    first, other = (lines[f"member {member}", "solid"] for member in (0, 1))
    assert other["y"] == pytest.approx([2 * loss for loss in first["y"]])
    assert first["line"]["color"] != other["line"]["color"]
    stars = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert [star["x"] for star in stars] == [[2], [0]]
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [2]
    assert "Member 1: the loss was nan; back to epoch 0" in page.text


def test_largest_errors_come_first(page, finished):
    table = pd.read_csv(finished[0] / "predictions.csv", keep_default_na=False)
    error = 1000 * (table["energy_trained_eV"] - table["energy_eV"]) / table["n_atoms"]
    order = error.abs().sort_values(ascending=False).index
    rows = page.rows("worst-energies")
    assert [row[1] for row in rows] == table["place"][order].tolist()
    assert [numbers(row[-1:])[0] for row in rows] == pytest.approx(error[order].tolist(), abs=0.0501)
    assert page.rows("worst-forces")[0][1] == table["place"][table["force_mae_trained_meV_per_A"].idxmax()]


def test_a_check_that_does_not_count_is_no_failure(run, change):
    check = {"name": "energy error", "value": 2.0, "unit": "meV/atom", "limit": "< 10", "status": "pass", "detail": ""}
    change(checks=[{**check, "required": True}, {**check, "limit": "< 1", "status": "fail", "required": False}])
    assert "No failure in 1 check." in Page(write_training_report(run)).text


def test_a_training_that_brought_nothing_is_said_to(run, change):
    assert "No epoch was better" not in Page(write_training_report(run)).text
    change(best_epoch=[0])
    assert "No epoch was better than epoch 0: the weights are those" in Page(write_training_report(run)).text
    change(epochs_on_all_frames=[3])
    assert "training gained more with others held out" in Page(write_training_report(run)).text


def test_axes_of_epochs_and_losses_can_be_read(page):
    for name in ("loss", "energy", "force"):
        assert page.figures[f"curve-{name}"]["layout"]["xaxis"]["dtick"] == 1  # no half epochs of the three
    values = [y for trace in page.figures["curve-loss"]["data"] for y in trace["y"]]
    ticks = page.figures["curve-loss"]["layout"]["yaxis"]["tickvals"]
    assert sum(min(values) <= tick <= max(values) for tick in ticks) >= 3


def test_parity_and_residuals_are_zoomed_together(page):
    assert page.figures["parity-energy"]["layout"]["xaxis"]["matches"] == "x2"


def test_checks_of_the_potential(run, change):
    check = {"name": "NVE drift", "value": 0.00012, "unit": "meV/atom/ps", "limit": 1.0, "status": "pass", "detail": ""}
    page = Page(write_training_report(run))
    assert "checks" not in page.tables
    change(
        checks=[
            check,
            {**check, "name": HOSTILE, "value": -3.14159, "status": "fail", "detail": HOSTILE},
            {**check, "name": "dimer", "value": None, "limit": None, "status": "not run", "detail": "no phonopy"},
        ]
    )
    page = Page(write_training_report(run))
    assert page.rows("checks")[0][1:5] == ["0.00012", "1", "meV/atom/ps", "pass"]
    assert page.rows("checks")[1][1] == f"{MINUS}3.142"
    assert [cell["class"] for cell in (row[4] for row in page.tables["checks"][1:])] == [
        "status pass",
        "status fail",
        "status not-run",
    ]
    assert "1 of 2 checks failed: <script>" in page.text
    assert "1 could not be run" in page.text


def test_shifts_what_was_left_out_and_the_recipe(run, change):
    change(left_out=[f"train.extxyz, frame 7: {HOSTILE}"])
    page = Page(write_training_report(run))
    shifts = json.loads((run / "summary.json").read_text())["reference_energy_shifts_eV_per_atom"]
    assert {row[0]: numbers(row[1:])[0] for row in page.rows("shifts")} == pytest.approx(shifts, abs=0.0000501)
    assert "train.extxyz, frame 7: <script>" in page.text
    assert " ".join((run / "recipe.yaml").read_text().split()) in page.text
    assert json.loads((run / "manifest.json").read_text())["data_sha256"]["train"] in page.text


def test_without_test_frames_the_validation_is_not_called_unseen(run, change):
    for name, read in (("predictions.csv", pd.read_csv), ("forces.parquet", pd.read_parquet)):
        table = read(run / name)
        kept = table[table["set"] != "test"].drop(columns="stress_mae_trained_GPa", errors="ignore")
        kept.to_parquet(run / name) if name.endswith("parquet") else kept.to_csv(run / name, index=False)
    summary = json.loads((run / "summary.json").read_text())
    errors = {name: summary["errors"][name] for name in ("train", "validation")}
    for stages in errors.values():
        for one in stages.values():
            one["stress_mae_GPa"] = one["force_slope"] = None
    change(errors=errors, reference_energy_shifts_eV_per_atom={})
    page = Page(write_training_report(run))
    assert "validation frames (they chose the epoch: errors of new structures are larger), training" in page.text
    change(epochs_on_all_frames=[3])
    told = Page(write_training_report(run)).text
    assert "validation frames (predicted by a first training that held them out), training" in told
    assert page.column("errors", "Stress MAE, GPa") == ["–"] * 6  # noqa: RUF001
    assert "test" not in {row[0] for row in page.rows("worst-energies")}
    assert "The test frames" not in page.text


def test_hostile_text_is_text(page):
    tags = Counter(tag for tag, _ in page.elements)
    assert any(cell.startswith("<script>") for cell in page.column("groups-test", "Group"))
    assert not tags["img"]
    assert tags["script"] == len(page.figures) + 2  # the library and our own
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    hovers = page.hovers("parity-energy")
    assert any("&lt;script&gt;" in hover for hover in hovers)
    assert not any("<script" in hover or "<img" in hover for hover in hovers)


def test_nothing_is_loaded_from_anywhere_and_only_our_scripts_run(page):
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    nonce = re.search(r"script-src 'nonce-([0-9a-f]{64})'", policy)[1]
    assert "default-src 'none'" in policy
    for tag, attrs in page.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base"}
        assert not {"src", "href"} & set(attrs)
        if tag == "script" and attrs.get("type") != "application/json":
            assert attrs == {"nonce": nonce}
    for style in page.styles:
        assert "@import" not in style
        assert "url(" not in style


def test_every_axis_has_a_title_and_every_error_its_unit(page):
    for name, figure in page.figures.items():
        axes = {key: axis for key, axis in figure["layout"].items() if re.fullmatch(r"[xy]axis\d*", key)}
        for key, axis in axes.items():
            shares_the_axis_below = axis.get("matches") and key == "xaxis"
            assert axis["title"].get("text") or shares_the_axis_below, (name, key)
    for table in ("errors", "groups-test", "magnitudes-test", "worst-energies", "worst-forces"):
        for cell in page.tables[table][0]:
            assert not re.search("MAE|RMSE|error", cell["text"]) or re.search("meV/atom|meV/Å|GPa", cell["text"])


def test_the_same_run_gives_the_same_report(run):
    first = write_training_report(run).read_bytes()
    assert write_training_report(run).read_bytes() == first


@pytest.mark.parametrize("name", ["summary.json", "manifest.json", "metrics.csv", "predictions.csv", "forces.parquet"])
def test_files_that_are_missing_or_not_what_they_should_be(run, name):
    (run / name).write_text("nonsense")
    with pytest.raises(InputError, match=name):
        write_training_report(run)
    (run / name).unlink()
    with pytest.raises(InputError, match=f"{name}.*Expected the folder of a 'uniscreen finetune' that is done"):
        write_training_report(run)


def test_a_failed_check_stands_out_and_one_that_does_not_count_does_not(run, change):
    check = {"name": "energy error", "value": 4.0, "unit": "meV/atom", "limit": "< 10", "status": "pass", "detail": ""}
    strict = {**check, "name": "energy error, strict", "limit": "< 1", "status": "fail", "required": False}
    change(checks=[check, strict])
    page = Page(write_training_report(run))
    assert "No failure in 1 check." in page.text
    assert page.rows("checks")[1][4] == "(fail)"
    assert "(fail) does not count: a stricter limit" in page.text
    assert "unsafe" not in verdicts(page)
    failed = {**check, "status": "fail"}
    change(checks=[failed, {**failed, "name": "energy error, worst group"}, strict])
    page = Page(write_training_report(run))
    assert "2 of 2 checks failed: energy error; energy error, worst group." in page.text
    assert "unsafe" in verdicts(page)


def test_what_to_know_of_the_run_is_at_the_top(run, change):
    change(note="")
    assert "remark" not in verdicts(Page(write_training_report(run)))
    change(note="3 of 6 test frames are also among those that train.")
    page = Page(write_training_report(run))
    assert "remark" in verdicts(page)
    assert page.text.count("3 of 6 test frames are also") == 1
    assert page.text.index("3 of 6 test frames are also") < page.text.index("Errors before and after")


def verdicts(page):
    """The classes of the boxes at the top."""
    return " ".join(attributes["class"] for tag, attributes in page.elements if tag == "p" and "class" in attributes)
