"""A run from recipe to potential: what is learnt, what stays, what survives, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ase import units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io import read, write

from finetuning_frames import SHIFTS, labelled, rattled, write_labelled
from uniscreen import load_potential
from uniscreen.errors import InputError, ResumeError
from uniscreen.potentials.committee import SavedCommittee
from uniscreen.potentials.isolated.environments import Environment
from uniscreen.structures.labels import read_labelled
from uniscreen.training.finetuning import finetune, plan
from uniscreen.training.recipe_file import checked
from uniscreen.training.safety import read_trained_on
from uniscreen.training.splits import split

MODEL = "chgnet-0.3.0"


@pytest.fixture(scope="module")
def frames(loaded, tmp_path_factory):
    """Training and test files."""
    folder = tmp_path_factory.mktemp("frames")
    return {
        "train": str(write_labelled(folder / "train.extxyz", loaded(MODEL))),
        "test": str(write_labelled(folder / "test.extxyz", loaded(MODEL), count=6, seed=1)),
    }


def recipe(frames, **sections):
    quickly = {"epochs": 8, "batch_size": 4, "learning_rate": 2e-3, "ema": 0.9, "refit": False}
    settings = quickly | sections.pop("optimiser", {})
    data = {**frames, **sections.pop("data", {})}
    quick = {"model": MODEL, "data": data, "optimiser": settings, "checks": {"run": False}}
    return checked(quick | sections, "recipe")


@pytest.fixture(scope="module")
def run(frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    return folder, finetune(recipe(frames), folder, device="cpu")


def weights(folder):
    return load_potential(str(folder), device="cpu").model.state_dict()


def test_each_stage_is_better_than_the_one_before(run):
    _, summary = run
    stages = summary["errors"]["test"]
    energy = [stages[stage]["energy_mae_meV_per_atom"] for stage in ("pretrained", "rereferenced", "trained")]
    assert energy[0] > 1000  # the labels count from other atoms
    assert energy[1] < 100
    assert energy[2] < energy[1]
    assert stages["rereferenced"]["force_mae_meV_per_A"] == stages["pretrained"]["force_mae_meV_per_A"]
    assert stages["trained"]["force_mae_meV_per_A"] < 0.9 * stages["pretrained"]["force_mae_meV_per_A"]


def test_reference_energies_move_by_what_can_be_known(run, loaded):
    _, summary = run
    shifts = summary["reference_energy_shifts_eV_per_atom"]
    # one stoichiometry: only the sum is known, and the solution of least norm is the mean
    assert shifts["Na"] == pytest.approx(shifts["Cl"])
    assert shifts["Na"] + shifts["Cl"] == pytest.approx(SHIFTS["Na"] + SHIFTS["Cl"], abs=0.3)
    tuned = load_potential(str(run[0]), device="cpu")
    before = loaded(MODEL).reference_energies
    assert {s for s, e in tuned.reference_energies.items() if e != before[s]} == {"Na", "Cl"}


def test_the_folder_is_a_potential_that_gives_the_predictions_in_it(run, frames):
    folder, summary = run
    tuned = load_potential(str(folder), device="cpu")
    assert tuned.card.base == MODEL
    assert tuned.card.tuned_elements == {"Na", "Cl"}
    assert dict(tuned.card.reference_shifts) == pytest.approx(summary["reference_energy_shifts_eV_per_atom"])
    table = pd.read_csv(folder / "predictions.csv").query("set == 'test'")
    results = tuned.evaluate(read(frames["test"], ":"), batch_size=4)
    np.testing.assert_allclose(table["energy_trained_eV"], [r.energy for r in results], rtol=0, atol=1e-9)
    errors = table["energy_trained_eV"] - table["energy_eV"]
    mae = 1000 * float(np.mean(np.abs(errors / table["n_atoms"])))
    assert summary["errors"]["test"]["trained"]["energy_mae_meV_per_atom"] == pytest.approx(mae)
    forces = pd.read_parquet(folder / "forces.parquet").query("set == 'test'")
    of_labels = np.concatenate([atoms.get_forces() for atoms in read(frames["test"], ":")])
    np.testing.assert_allclose(forces[["fx", "fy", "fz"]], of_labels)


def test_the_best_epoch_is_the_one_that_is_kept(run):
    folder, summary = run
    rows = pd.read_csv(folder / "metrics.csv")
    assert list(rows["epoch"]) == list(range(9))
    best = int(rows["validation_loss"].idxmin())
    assert summary["best_epoch"] == [best]
    assert rows["event"][best] == "best"
    kept = summary["errors"]["validation"]["trained"]
    assert kept["energy_mae_meV_per_atom"] == pytest.approx(rows["validation_energy_mae_meV_per_atom"][best], abs=1e-3)


@pytest.fixture(scope="module")
def refitted(frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refitted") / "run"
    return folder, finetune(recipe(frames, optimiser={"refit": None}), folder, device="cpu")


def test_few_frames_are_all_trained_on_in_the_end(frames, run, refitted):
    folder, summary = refitted
    first, both = (pd.read_csv(path / "metrics.csv") for path in (run[0], folder))
    pd.testing.assert_frame_equal(both[:9].drop(columns="seconds"), first.drop(columns="seconds"))
    assert both["epoch"].tolist() == list(range(17))
    assert both["validation_loss"][9:].isna().all()
    assert summary["epochs_on_all_frames"] == [8]
    assert run[1]["epochs_on_all_frames"] == [0]
    assert len(pd.read_csv(folder / "predictions.csv").query("set == 'train'")) == 15


def test_the_errors_of_validation_are_from_before_its_frames_were_trained_on(run, refitted):
    (before, held), (folder, summary) = run, refitted
    assert summary["errors"]["validation"] == held["errors"]["validation"]
    tables = [pd.read_csv(path / "predictions.csv").set_index(["set", "place"]) for path in (before, folder)]
    column = "force_mae_trained_meV_per_A"
    in_the_end = tables[1].loc["train"][column][tables[0].loc["validation"].index]
    assert in_the_end.mean() < 0.9 * tables[0].loc["validation"][column].mean()


def test_what_training_makes_worse_is_not_trained_once_more(frames, tmp_path, loaded):
    four_groups = [atoms for atoms in read(frames["train"], ":") if atoms.info["group"] != "parent-4"]
    write(tmp_path / "train.extxyz", four_groups)
    too_fast = {"refit": True, "epochs": 2, "learning_rate": 1.0, "schedule": "constant"}
    files = frames | {"train": str(tmp_path / "train.extxyz")}
    summary = finetune(recipe(files, optimiser=too_fast), tmp_path / "run", device="cpu")
    assert summary["best_epoch"] == summary["epochs_on_all_frames"] == [0]
    assert summary["errors"]["train"]["trained"]["frames"] == 9
    assert "none of them trains" in summary["note"]
    tuned, before = weights(tmp_path / "run"), loaded(MODEL).model.state_dict()
    assert all(torch.equal(tuned[name], before[name]) for name in tuned)


def test_frames_that_are_like_no_others_do_not_decide_whether_to_train(tmp_path, loaded):
    frames = labelled(rattled(15), loaded(MODEL))
    write(tmp_path / "frames.extxyz", frames)
    (place, *_) = split(read_labelled(tmp_path / "frames.extxyz").structures).validation
    odd = frames[place].info["group"]  # it validates, and its crystals want to be larger, where all others want less
    labelled([atoms for atoms in frames if atoms.info["group"] == odd], loaded(MODEL), scale=0.94)
    write(tmp_path / "frames.extxyz", frames)
    files = {"train": str(tmp_path / "frames.extxyz"), "check_units": False}
    chosen, told = recipe(files, optimiser={"refit": None}), []
    expected = plan(chosen, device="cpu")
    assert expected.seconds_of_trials == pytest.approx(2 * 8 * expected.seconds_per_epoch)
    summary = finetune(chosen, tmp_path / "run", device="cpu", on_epoch=told.append)
    assert {(one.row["epoch"], one.epochs) for one in told} >= {(8, 8), (16, 16), (24, 24), (32, 32)}
    assert summary["best_epoch"] == [0]
    assert summary["epochs_on_all_frames"] == [8]
    assert summary["stopped"][0].endswith(", but with other frames held out training gained, and more")
    train = summary["errors"]["train"]
    assert train["trained"]["frames"] == 15
    assert train["trained"]["force_mae_meV_per_A"] < 0.8 * train["rereferenced"]["force_mae_meV_per_A"]


def test_an_epoch_that_was_better_is_enough_to_train_once_more(frames, tmp_path):
    """What validates may be all that there is of its kind, so that training without it ends worse than it began."""
    too_long = {"refit": True, "epochs": 2, "learning_rate": 1e-2, "schedule": "constant", "ema": 0}
    summary = finetune(recipe(frames, optimiser=too_long), tmp_path / "run", device="cpu")
    losses = pd.read_csv(tmp_path / "run" / "metrics.csv")["validation_loss"]
    assert losses[1] < losses[0] < losses[2]
    assert summary["epochs_on_all_frames"] == [2]


def test_energies_may_count_more_in_the_second_half_of_the_epochs(run, frames, tmp_path):
    finetune(recipe(frames, loss={"late_energy": 3.0}), tmp_path / "run", device="cpu")
    before, rows = (pd.read_csv(folder / "metrics.csv") for folder in (run[0], tmp_path / "run"))
    same = ["train_loss", "validation_energy_mae_meV_per_atom", "validation_force_mae_meV_per_A"]
    pd.testing.assert_frame_equal(rows.loc[:4, same], before.loc[:4, same])
    assert not np.isclose(rows["train_loss"][5:], before["train_loss"][5:], rtol=1e-3).any()
    # what is validated are the weights of the end from the beginning
    frame = pd.read_csv(tmp_path / "run" / "predictions.csv").query("set == 'validation'")
    errors = (frame["energy_rereferenced_eV"] - frame["energy_eV"]) / frame["n_atoms"]
    assert rows["validation_loss"][0] - before["validation_loss"][0] == pytest.approx(
        2 * huber(errors).mean(), rel=1e-4
    )


def huber(errors):
    return np.where(abs(errors) < 0.01, errors**2 / 0.02, abs(errors) - 0.005)


def test_frames_of_a_group_may_count_more(frames, tmp_path, loaded):
    files = frames | {"validation": frames["test"]}
    for name, groups in (("alike", {}), ("weighted", {"parent-1": 3.0})):
        finetune(recipe(files, optimiser={"epochs": 1}, loss={"groups": groups}), tmp_path / name, device="cpu")
    alike, weighted = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("alike", "weighted"))
    table = pd.read_csv(tmp_path / "alike" / "predictions.csv").query("set == 'validation'").set_index("group")
    energy = table["energy_rereferenced_eV"] - table["energy_eV"]
    (atoms,) = (one for one in read(frames["test"], ":") if one.info["group"] == "parent-1")
    result = loaded(MODEL).evaluate([atoms])[0]
    stress = (result.stress - atoms.get_stress(voigt=False)) / units.GPa
    counts = (
        huber(energy["parent-1"] / len(atoms)) / 6  # of six frames of two atoms
        + huber(result.forces - atoms.get_forces()).sum() / (6 * 2 * 3)
        + 0.1 * huber(stress).sum() / (6 * 9)
    )
    assert weighted["validation_loss"][0] - alike["validation_loss"][0] == pytest.approx(2 * counts, rel=1e-4)
    assert weighted["train_loss"][1] > 1.1 * alike["train_loss"][1]


def test_test_frames_that_are_trained_on_are_told(frames, tmp_path):
    write(tmp_path / "test.extxyz", read(frames["train"], "2:6") + read(frames["test"], ":"))
    files = frames | {"test": str(tmp_path / "test.extxyz")}
    assert "4 of 10 test frames are also among those" in plan(recipe(files), device="cpu").note
    summary = finetune(recipe(files, optimiser={"epochs": 1}), tmp_path / "run", device="cpu")
    assert "4 of 10 test frames are also among those" in summary["note"]
    assert summary["n_test_known"] == 4
    used = read_trained_on(tmp_path / "run")
    assert [one.geometry_digest in used for one in read_labelled(files["test"]).structures] == [True] * 4 + [False] * 6


def test_an_element_that_only_validates_is_rereferenced_too(frames, tmp_path, loaded):
    others = rattled(4, seed=2)
    for atoms in others:
        atoms.symbols = ["K", "Cl"]
        atoms.set_cell(1.1 * atoms.cell.array, scale_atoms=True)
    write(tmp_path / "validation.extxyz", labelled(others, loaded(MODEL)), format="extxyz")
    files = frames | {"validation": str(tmp_path / "validation.extxyz")}
    summary = finetune(recipe(files, optimiser={"epochs": 1}), tmp_path / "run", device="cpu")
    shifts = summary["reference_energy_shifts_eV_per_atom"]
    assert shifts["K"] + shifts["Cl"] == pytest.approx(SHIFTS["Cl"], abs=0.3)
    assert shifts["Na"] + shifts["Cl"] == pytest.approx(SHIFTS["Na"] + SHIFTS["Cl"], abs=0.3)


def test_reference_energies_that_were_better_before_are_told(frames, run, tmp_path):
    """One frame that is far off moves them all."""
    spoilt = read(frames["train"], ":")
    for atoms in spoilt:
        if atoms.info["group"] == "parent-0":
            atoms.calc.results["energy"] += 3.0
    write(tmp_path / "train.extxyz", spoilt, format="extxyz")
    again = recipe({"train": str(tmp_path / "train.extxyz")}, model=str(run[0]), optimiser={"epochs": 1})
    note = finetune(again, tmp_path / "run", device="cpu")["note"]
    assert "Refitting the reference energies took the energy error of the frames that validate from" in note
    assert "Refitting" not in run[1]["note"]


def test_reference_energies_that_one_compound_leaves_open_are_told_where_they_are_fitted(frames, run):
    open_ones = "The compositions of the frames fix only sums of the reference energies of Na, Cl."
    assert open_ones in run[1]["note"]
    assert open_ones in plan(recipe(frames), device="cpu").note
    assert open_ones not in plan(recipe(frames, reference_energies="keep"), device="cpu").note


def test_a_group_that_the_data_do_not_have_cannot_count_more(frames, tmp_path):
    message = "loss.groups names surface, but the data have the groups parent-0, parent-1, parent-2, parent-3, parent-4"
    with pytest.raises(InputError, match=message):
        finetune(recipe(frames, loss={"groups": {"surface": 5, "parent-1": 2}}), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("learning_rate", "late_energy", "best"),
    [
        (1e-2, 0.0, 2),  # the first epoch has the lower loss, but was trained with other weights
        (8e-3, 2.0, 1),  # unless the late one is worse than none
    ],
)
def test_the_best_epoch_is_a_late_one_where_energies_count_more_then(
    frames, tmp_path, learning_rate, late_energy, best
):
    settings = {"epochs": 2, "learning_rate": learning_rate, "schedule": "constant", "ema": 0}
    summary = finetune(
        recipe(frames, optimiser=settings, loss={"late_energy": late_energy}), tmp_path / "run", device="cpu"
    )
    losses = pd.read_csv(tmp_path / "run" / "metrics.csv")["validation_loss"]
    assert losses[1] < losses[2]
    assert losses[1] < losses[0]
    assert (losses[2] < losses[0]) == (best == 2)
    assert summary["best_epoch"] == [best]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(run, frames, tmp_path):
    finetune(recipe(frames), tmp_path / "again", device="cpu")
    finetune(recipe(frames, seed=1), tmp_path / "other", device="cpu")
    first, again, other = (weights(folder) for folder in (run[0], tmp_path / "again", tmp_path / "other"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_run_that_is_done_is_not_done_again(run, frames):
    folder, summary = run
    before = (folder / "weights.safetensors").stat().st_mtime_ns
    assert finetune(recipe(frames), folder, device="cpu") == summary
    assert (folder / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ResumeError, match=r"optimiser\.epochs was 8, now 9"):
        finetune(recipe(frames, optimiser={"epochs": 9}), folder, device="cpu")


@pytest.mark.parametrize("block", ["embedding", "interaction", "readout"])
def test_blocks_that_are_not_named_stay_as_they_are_to_the_bit(frames, tmp_path, loaded, block):
    strategy = {"kind": "blocks", "blocks": [block]}
    finetune(recipe(frames, strategy=strategy), tmp_path / "run", device="cpu")
    tuned, before = weights(tmp_path / "run"), loaded(MODEL).model.state_dict()
    changed = {name for name in tuned if not torch.equal(tuned[name], before[name])}
    members = {name for name, _ in loaded(MODEL).parameter_blocks()[block]}
    assert changed
    assert changed <= members


def test_low_rank_additions_become_part_of_the_weights(frames, tmp_path, loaded):
    strategy = {"kind": "lora", "rank": 2}
    summary = finetune(recipe(frames, strategy=strategy), tmp_path / "run", device="cpu")
    assert weights(tmp_path / "run").keys() == loaded(MODEL).model.state_dict().keys()
    assert summary["parameters_trained"] < 0.2 * sum(p.numel() for p in loaded(MODEL).model.parameters())
    stages = summary["errors"]["train"]
    assert stages["trained"]["force_mae_meV_per_A"] < stages["pretrained"]["force_mae_meV_per_A"]


def test_delta_holds_the_weights_back(frames, run, tmp_path, loaded):
    def change(folder):
        before = loaded(MODEL).model.state_dict()
        return sum(float((value - before[name]).square().sum()) for name, value in weights(folder).items())

    strategy = {"kind": "delta", "decay": 200.0}
    finetune(recipe(frames, strategy=strategy), tmp_path / "run", device="cpu")
    assert 0 < change(tmp_path / "run") < 0.5 * change(run[0])


def test_replay_keeps_what_the_potential_said_of_other_crystals(frames, run, tmp_path, loaded):
    others = [bulk("MgO", "rocksalt", a=4.2 + 0.05 * k) for k in range(4)]
    others += [bulk("Cu", "fcc", a=3.5 + 0.05 * k) for k in range(4)]
    for seed, atoms in enumerate(others):
        atoms.rattle(0.05, seed=seed)
    write(tmp_path / "others.extxyz", others)
    replay = {"structures": str(tmp_path / "others.extxyz"), "share": 0.5}
    summary = finetune(recipe(frames, replay=replay), tmp_path / "run", device="cpu")
    assert summary["n_replay"] == 8
    unseen = [bulk("MgO", "rocksalt", a=4.33), bulk("Cu", "fcc", a=3.58)]
    base = [result.energy for result in loaded(MODEL).evaluate(unseen)]

    def forgotten(folder):
        results = load_potential(str(folder), device="cpu").evaluate(unseen)
        return float(np.mean(np.abs(np.subtract([r.energy for r in results], base))))

    assert forgotten(tmp_path / "run") < 0.5 * forgotten(run[0])


def test_a_run_is_not_continued_with_other_replayed_crystals(frames, tmp_path):
    others = tmp_path / "others.extxyz"
    chosen = recipe(frames, optimiser={"epochs": 1}, replay={"structures": str(others)})
    write(others, bulk("MgO", "rocksalt", a=4.2))
    summary = finetune(chosen, tmp_path / "run", device="cpu")
    assert set(summary["data_sha256"]) == {"train", "test", "replay"}
    assert finetune(chosen, tmp_path / "run", device="cpu") == summary
    write(others, bulk("MgO", "rocksalt", a=4.3))
    with pytest.raises(ResumeError, match=r"data_sha256\.replay was"):
        finetune(chosen, tmp_path / "run", device="cpu")


def test_a_run_replaces_no_files_of_others(frames, tmp_path):
    """As where a recipe and notes of its user lie."""
    (tmp_path / "recipe.yaml").write_text("model: chgnet-0.3.0  # mine\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds recipe.yaml, but no fine-tuning, and a run there would replace it"):
        finetune(recipe(frames), tmp_path, device="cpu")
    assert (tmp_path / "recipe.yaml").read_text(encoding="utf-8") == "model: chgnet-0.3.0  # mine\n"


def test_a_file_is_no_folder_for_a_run(frames):
    with pytest.raises(InputError, match=r"train\.extxyz is a file; expected a folder"):
        finetune(recipe(frames), Path(frames["train"]), device="cpu")


def test_calculations_that_went_wrong_are_told(frames, tmp_path):
    found = read(frames["train"], ":")
    wrong = found[2]
    energy, forces = wrong.get_potential_energy(), wrong.get_forces().copy()
    forces[0, 0] = 900.0
    wrong.calc = SinglePointCalculator(wrong, energy=energy, forces=forces)
    write(tmp_path / "wrong.extxyz", found)
    chosen = recipe(frames | {"train": str(tmp_path / "wrong.extxyz")})
    note = plan(chosen, device="cpu").note
    assert f"Forces above 50 eV/Å in 1 of {len(found)} frames (frame 3 (line " in note


def test_energies_of_two_settings_are_told(frames, tmp_path):
    found = read(frames["train"], ":")
    for wrong in found[::3]:
        calculated = wrong.calc.results
        wrong.calc = SinglePointCalculator(wrong, **calculated | {"energy": calculated["energy"] + 0.8})
    write(tmp_path / "mixed.extxyz", found)
    note = plan(recipe(frames | {"train": str(tmp_path / "mixed.extxyz")}), device="cpu").note
    assert "The energies are two sets, 3" in note
    assert f"5 of {len(found)} frames (frame 1 (line 1), for one) are above the others" in note


def test_frames_that_validate_and_train_are_told(frames):
    twice = frames | {"validation": frames["train"]}
    count = len(read(frames["train"], ":"))
    note = f"{count} of {count} frames that validate are also among those that train"
    assert note in plan(recipe(twice), device="cpu").note


def test_fewer_groups_than_folds_are_told(frames):
    groups = {one.group for one in read_labelled(frames["train"]).structures}
    asked = len(groups) + 2
    found = plan(recipe(frames, data={"split": {"folds": asked}}), device="cpu")
    assert f"There are {len(groups)} groups, so as many folds and members, and not {asked}" in found.note


def test_a_name_of_a_label_that_no_frame_has_is_told(frames):
    for key in ("stress_key", "group_key"):
        with pytest.raises(InputError, match="no frame has dft_typo, which was given as the name of a label"):
            plan(recipe(frames | {key: "dft_typo"}), device="cpu")


def test_restart_clears_a_fine_tuning_and_nothing_else(frames, tmp_path):
    chosen, folder = recipe(frames, optimiser={"epochs": 1}), tmp_path / "run"
    (folder / "members").mkdir(parents=True)
    (folder / "members" / "alice.txt").touch()
    with pytest.raises(InputError, match="holds members, but no fine-tuning"):
        finetune(chosen, folder, device="cpu", restart=True)
    assert (folder / "members" / "alice.txt").exists()
    (folder / "manifest.json").write_text('{"input_sha256": "of a screen"}', encoding="utf-8")
    with pytest.raises(InputError, match="no fine-tuning, and a run there would replace it"):
        finetune(chosen, folder, device="cpu", restart=True)
    (folder / "manifest.json").write_text('{"recipe": {}}', encoding="utf-8")
    assert finetune(chosen, folder, device="cpu", restart=True)["epochs"] == [1]
    assert not (folder / "members").exists()


@pytest.mark.parametrize("restart", [False, True])
def test_a_run_does_not_replace_the_model_that_it_trains(frames, run, restart):
    folder, _ = run
    before = (folder / "weights.safetensors").stat().st_mtime_ns
    with pytest.raises(InputError, match="is the model that is trained further"):
        finetune(recipe(frames, model=str(folder)), folder, device="cpu", restart=restart)
    assert (folder / "weights.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [{"ensemble": {"members": 2}}, {"data": {"split": {"folds": 3}}}], ids=["seeds", "folds"]
)
def test_an_ensemble_is_a_committee(frames, tmp_path, how):
    summary = finetune(recipe(frames, optimiser={"epochs": 2}, **how), tmp_path / "run", device="cpu", workers=2)
    committee = load_potential(str(tmp_path / "run"), device="cpu")
    assert isinstance(committee, SavedCommittee)
    assert len(committee.members) == summary["members"] == len(summary["best_epoch"])
    crystal = rattled(1, seed=9)
    energies = [member.evaluate(crystal)[0].energy for member in committee.members]
    assert len(set(energies)) == len(energies)
    assert committee.evaluate(crystal)[0].energy == pytest.approx(np.mean(energies))
    row = pd.read_csv(tmp_path / "run" / "predictions.csv").query("set == 'train'").iloc[0]
    (frame,) = [one.atoms for one in read_labelled(frames["train"]).structures if one.place == row["place"]]
    found = committee.evaluate([frame])[0]
    assert row["energy_std_meV_per_atom"] == pytest.approx(1000 * found.energy_std, rel=0.01)
    assert row["max_force_std_meV_per_A"] == pytest.approx(1000 * found.force_std.max(), rel=0.01)
    atoms = pd.read_parquet(tmp_path / "run" / "forces.parquet").query("set == 'train'")
    np.testing.assert_allclose(atoms["force_std"][: len(frame)], found.force_std, rtol=0.01)
    (tmp_path / "run" / "members" / "0" / "model.json").unlink()
    with pytest.raises(InputError):
        load_potential(str(tmp_path / "run"), device="cpu")


@pytest.mark.slow
def test_with_folds_every_frame_is_predicted_by_the_member_that_held_it_out(frames, tmp_path):
    from uniscreen.training.finetuning import prepare

    chosen, folder = recipe(frames, data={"split": {"folds": 3}}, optimiser={"epochs": 2}), tmp_path / "run"
    finetune(chosen, folder, device="cpu", workers=2)
    found = pd.read_csv(folder / "predictions.csv").query("set == 'validation'").set_index("place")["energy_trained_eV"]
    assert len(found) == 15
    for one in prepare(chosen, device="cpu").assignments(folder, 1):
        member = load_potential(str(one.folder), device="cpu")
        held = one.material.validation
        energies = [result.energy for result in member.evaluate([label.atoms for label in held])]
        np.testing.assert_allclose(found[[label.place for label in held]], energies, rtol=0, atol=1e-5)


def test_every_frame_trains_a_fold(frames, tmp_path):
    from uniscreen.training.finetuning import prepare

    assignments = prepare(recipe(frames, data={"split": {"folds": 5}}), device="cpu").assignments(tmp_path, 12)
    assert [one.processes for one in assignments] == [2] * 5
    held = [label.place for one in assignments for label in one.material.validation]
    assert len(held) == len(set(held)) == 15


@pytest.mark.parametrize("kind", ["adam", "soap"])
def test_elements_without_samples_keep_their_embedding_to_the_bit(frames, tmp_path, loaded, kind):
    finetune(recipe(frames, optimiser={"kind": kind, "epochs": 2}), tmp_path / "run", device="cpu")
    name = "atom_embedding.embedding.weight"
    changed = (weights(tmp_path / "run")[name] != loaded(MODEL).model.state_dict()[name]).any(dim=1)
    assert {str(chemical_symbols[k + 1]) for k in changed.nonzero().flatten().tolist()} == {"Na", "Cl"}


def test_soap_gets_further_than_adam_in_the_same_steps(frames, tmp_path):
    losses = []
    for kind, rate in (("adam", 2e-3), ("soap", 1.2e-2)):
        settings = {"kind": kind, "learning_rate": rate, "epochs": 30}
        finetune(recipe(frames, optimiser=settings), tmp_path / kind, device="cpu")
        losses.append(pd.read_csv(tmp_path / kind / "metrics.csv")["validation_loss"].min())
    assert losses[1] < 0.9 * losses[0]


def test_a_rate_that_is_far_too_high_is_lowered(frames, tmp_path):
    hot = {"learning_rate": 1e4, "schedule": "constant", "epochs": 4, "clip": 1e9}
    told = []
    summary = finetune(recipe(frames, optimiser=hot), tmp_path / "run", device="cpu", on_epoch=told.append)
    assert sum(epoch.row["event"].startswith("rolled back") for epoch in told) == len(summary["rollbacks"][0]) > 0
    assert "learning rate 3e+03" in summary["rollbacks"][0][0]
    stages = summary["errors"]["validation"]
    assert stages["trained"]["force_mae_meV_per_A"] < 1.5 * stages["pretrained"]["force_mae_meV_per_A"]
    assert pd.read_csv(tmp_path / "run" / "metrics.csv")["event"].str.startswith("rolled back").any()


ALWAYS_SAVING = """
import uniscreen.training.checkpoints as checkpoints
from uniscreen.cli.main import main
checkpoints.INTERVAL = 0.0
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "refit", "name"),
    [("adam", False, "state.pt"), ("soap", False, "state.pt"), ("soap", True, "refit.pt")],
    ids=["adam", "soap", "all frames"],
)
def test_a_run_that_was_killed_goes_on_and_ends_the_same(frames, tmp_path, kind, refit, name):
    long = recipe(frames, optimiser={"kind": kind, "epochs": 40, "patience": 40, "refit": refit})
    (tmp_path / "recipe.yaml").write_text(long.as_yaml(), encoding="utf-8")
    arguments = ["finetune", "recipe.yaml", "-o", "run", "--device", "cpu", "--quiet"]
    command = [sys.executable, "-c", ALWAYS_SAVING, *arguments]
    process = subprocess.Popen(command, cwd=tmp_path)
    state = tmp_path / "run" / "checkpoint" / name
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None and _epoch(state) < 2:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 2 <= _epoch(state) < 40
    assert not (tmp_path / "run" / "summary.json").exists()
    subprocess.run(command, cwd=tmp_path, check=False, timeout=600)
    undisturbed = finetune(long, tmp_path / "undisturbed", device="cpu")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["best_epoch"] == undisturbed["best_epoch"]
    resumed, whole = weights(tmp_path / "run"), weights(tmp_path / "undisturbed")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def _epoch(state):
    try:
        return torch.load(state, weights_only=True)["state"]["epoch"]
    except (OSError, RuntimeError, EOFError):
        return 0


def test_a_plan_counts_without_training(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = plan(recipe(frames, strategy={"kind": "blocks", "blocks": ["readout"]}), device="cpu")
    assert (found.n_train, found.n_validation, found.n_test) == (12, 3, 6)
    assert (found.steps_per_epoch, found.epochs) == (3, 8)
    assert 0 < found.parameters_trained < found.parameters
    assert found.seconds > 0
    assert not list(tmp_path.iterdir())
    twice = plan(recipe(frames, optimiser={"refit": True, "steps": 7}), device="cpu")
    assert (twice.epochs, twice.epochs_on_all_frames) == (3, 2)  # of 3 and of 4 steps
    assert twice.seconds > twice.epochs * twice.seconds_per_epoch


def wrong_labels(path, potential, change):
    frames = [atoms if k % 2 else atoms.repeat((2, 1, 1)) for k, atoms in enumerate(rattled(10))]
    frames = labelled(frames, potential, scale=1.0)
    for atoms in frames:
        change(atoms)
    write(path, frames, format="extxyz")
    return {"train": str(path)}


def _per_atom(atoms):
    atoms.calc.results["energy"] /= len(atoms)


def _kbar(atoms):
    atoms.calc.results["stress"] *= 1602.18


def _flipped(atoms):
    atoms.calc.results["stress"] *= -1


def _without_forces(atoms):
    del atoms.calc.results["forces"]


def _not_a_number(atoms):
    atoms.calc.results["forces"][0, 0] = np.nan


def _unknown_element(atoms):
    atoms.symbols[0] = "Po"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_per_atom, "set data.energy=per-atom"),
        (_kbar, "Set data.stress_unit=kbar"),
        (_flipped, "Set data.stress_sign=compression-positive"),
        (_without_forces, "has no forces"),
        (_not_a_number, "forces"),
        (_unknown_element, "holds Po, which chgnet-0.3.0 does not know"),
    ],
    ids=["per-atom", "kbar", "sign", "no forces", "nan", "element"],
)
def test_wrong_data_is_refused_with_what_fixes_it(loaded, tmp_path, change, said):
    data = wrong_labels(tmp_path / "wrong.extxyz", loaded("chgnet-0.2.0"), change)
    with pytest.raises(InputError) as caught:
        finetune(recipe({}, data=data), tmp_path / "run", device="cpu")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_units_are_checked_in_every_file(frames, loaded, tmp_path, name):
    data = wrong_labels(tmp_path / "wrong.extxyz", loaded("chgnet-0.2.0"), _kbar)
    with pytest.raises(InputError, match=r"wrong\.extxyz: stresses are .*stress_unit=kbar"):
        finetune(recipe(frames, data={name: data["train"]}), tmp_path / "run", device="cpu")


def test_a_frame_with_atoms_in_one_place_is_left_out(loaded, tmp_path):
    atoms = labelled(rattled(15), loaded(MODEL))
    atoms[4].positions[1] = atoms[4].positions[0]
    write(tmp_path / "train.extxyz", atoms, format="extxyz")
    found = plan(recipe({"train": str(tmp_path / "train.extxyz")}), device="cpu")
    (reason,) = found.left_out
    assert reason.startswith("train.extxyz, frame 5 ")
    assert found.n_train + found.n_validation == 14
    assert np.isfinite(list(found.reference_energy_shifts_eV_per_atom.values())).all()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train": None}, "names no training data"),
        ({"n_train": 99}, "has 15 frames"),
        ({"train": "nowhere.extxyz"}, "data.train is nowhere.extxyz, which does not exist. Give yours with --train"),
        ({"test": "nowhere.extxyz"}, "data.test is nowhere.extxyz, which does not exist. Give yours with --test"),
    ],
    ids=["none", "too few", "no file", "no test file"],
)
def test_data_that_is_not_there(frames, tmp_path, data, said):
    with pytest.raises(InputError, match=said):
        finetune(recipe(frames, data=data), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_crystals_to_replay_that_are_not_there(frames, tmp_path):
    chosen = recipe(frames, replay={"structures": "nowhere.extxyz"})
    said = r"replay\.structures is nowhere\.extxyz, which does not exist\. Give yours: replay\.structures=FILE"
    with pytest.raises(InputError, match=said):
        finetune(chosen, tmp_path / "run", device="cpu")


def test_one_frame_is_too_few(loaded, tmp_path):
    path = write_labelled(tmp_path / "one.extxyz", loaded(MODEL), count=1)
    with pytest.raises(InputError, match=r"1 frame\(s\): expected at least 2"):
        finetune(recipe({"train": str(path)}), tmp_path / "run", device="cpu")


def test_energies_of_isolated_atoms_that_are_not_there(frames, tmp_path):
    said = r"reference_energies\.isolated_atoms is a\.extxyz, which does not exist\. Give yours: reference_energies\."
    with pytest.raises(InputError, match=said):
        finetune(recipe(frames, reference_energies={"isolated_atoms": "a.extxyz"}), tmp_path / "run", device="cpu")


def test_energies_of_isolated_atoms_do_not_suit_chgnet(frames, tmp_path):
    chosen = recipe(frames, reference_energies={"isolated_atoms": frames["train"]})
    with pytest.raises(InputError, match="fitted to compounds"):
        finetune(chosen, tmp_path / "run", device="cpu")


def test_a_model_that_cannot_be_trained_says_so(frames, tmp_path):
    chosen = recipe(frames).model_copy(update={"model": "ase:ase.calculators.emt:EMT"})
    with pytest.raises(InputError, match="cannot be trained here"):
        finetune(chosen, tmp_path / "run", device="cpu", trust_model_file=True)


def test_no_environment_is_made_for_a_model_that_cannot_be_trained(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(Environment, "ensure", lambda *_: pytest.fail("an environment was made"))
    with pytest.raises(InputError, match=r"sevennet-0 \(SevenNet\) cannot be trained here"):
        finetune(recipe(frames).model_copy(update={"model": "sevennet-0"}), tmp_path / "run", device="cpu")
