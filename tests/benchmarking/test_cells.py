"""The cells of a spec: which there are, that each draws what it should, and that names follow what decides results."""

from __future__ import annotations

import json

import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from uniscreen.benchmarking.cell import drawn
from uniscreen.benchmarking.cells import cells
from uniscreen.benchmarking.datasets import read_datasets
from uniscreen.benchmarking.spec import BenchmarkSpec
from uniscreen.errors import InputError, UnknownModelError
from uniscreen.structures.labels import read_labelled

MODEL = "chgnet-0.3.0"


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """40 frames in ten groups; the energy is the number of the frame, the stress in kbar with VASP's sign."""
    found = []
    for k in range(40):
        atoms = bulk("NaCl", "rocksalt", a=5.6 + 0.01 * k)
        atoms.info["group"] = f"parent-{k // 4}"
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(k), forces=0 * atoms.positions, stress=[k, 0, 0, 0, 0, 0]
        )
        found.append(atoms)
    path = tmp_path_factory.mktemp("frames") / "frames.extxyz"
    write(path, found)
    return path


def spec(frames, **changes):
    usual = {
        "benchmark": "trial",
        "datasets": {"salt": {"train": frames, "stress_unit": "kbar", "stress_sign": "compression-positive"}},
        "models": {MODEL: {"recipe": "chgnet-quick"}},
        "dedicated": {"gap": {}},
        "published": {"other": {"model": "mtp:Si.mtp:Si", "n_train": 7, "source": "Somebody (2020)"}},
        "n_train": [10, "all"],
        "seeds": 2,
    }
    return BenchmarkSpec.model_validate(usual | changes)


def made(chosen, folder):
    datasets = read_datasets(chosen, folder)
    for dataset in datasets:
        for path, content in dataset.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return cells(chosen, datasets)


def test_every_regime_has_its_sizes_and_seeds(frames, tmp_path):
    found = made(spec(frames), tmp_path)
    trained = {(10, 0), (10, 1), (28, 0), (28, 1)}
    by_regime = {}
    for cell in found:
        by_regime.setdefault((cell.label, cell.regime), set()).add((cell.n_train, cell.seed))
    assert by_regime == {
        (MODEL, "zero-shot"): {(0, 0)},
        (MODEL, "re-referenced"): trained,
        (MODEL, "fine-tuned"): trained,
        (MODEL, "from-scratch"): trained,
        ("gap", "dedicated"): trained,
        ("other", "published"): {(7, 0)},
    }
    assert len({cell.name for cell in found}) == len(found)
    assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
    (published,) = [cell for cell in found if cell.regime == "published"]
    assert published.source == "computed; Somebody (2020)"


def test_only_the_regimes_asked_for(frames, tmp_path):
    models = {MODEL: {"recipe": "chgnet-quick", "regimes": ["fine-tuned"]}, "chgnet-0.2.0": {}}
    found = made(spec(frames, models=models, regimes=["zero-shot", "fine-tuned"], published={}), tmp_path / "a")
    assert {(cell.label, cell.regime) for cell in found} == {(MODEL, "fine-tuned"), ("chgnet-0.2.0", "zero-shot")}


def test_a_model_without_a_recipe_cannot_be_trained(frames, tmp_path):
    with pytest.raises(InputError, match=f"models.{MODEL} has no recipe, which fine-tuned needs"):
        made(spec(frames, models={MODEL: {"regimes": ["fine-tuned"]}}), tmp_path)


def test_test_groups_train_nothing_and_conventions_are_kept(frames, tmp_path):
    (dataset,) = read_datasets(spec(frames), tmp_path)
    made(spec(frames), tmp_path)
    assert dataset.data.train is not None
    assert dataset.data.test is not None
    train, test = (
        read_labelled(path, dataset.data.conventions).structures for path in (dataset.data.train, dataset.data.test)
    )
    assert (len(train), len(test)) == (28, 12)
    assert not {one.group for one in train} & {one.group for one in test}
    (original,) = [one for one in read_labelled(frames).structures if one.energy == test[0].energy]
    assert test[0].stress is not None
    assert test[0].stress[0, 0] == pytest.approx(-original.stress[0, 0] / 1602.1766, rel=1e-6)


def test_every_regime_draws_the_same_structures_and_more_hold_fewer(frames, tmp_path):
    found = made(spec(frames), tmp_path)

    def energies(regime, n_train, seed):
        (cell,) = [c for c in found if (c.regime, c.n_train, c.seed) == (regime, n_train, seed)]
        return [{one.energy for one in part} for part in drawn(cell)]

    train, validation = energies("dedicated", 10, 0)
    assert (len(train | validation), len(train & validation)) == (10, 0)
    assert energies("re-referenced", 10, 0) == [train, validation]
    assert train | validation <= set.union(*energies("dedicated", 28, 0))
    assert train | validation != set.union(*energies("dedicated", 10, 1))


def test_the_recipe_has_the_data_seed_and_settings_of_the_cell(frames, tmp_path):
    models = {"mine": {"model": MODEL, "recipe": "chgnet-quick", "settings": {"optimiser.steps": 7}}}
    for cell in made(spec(frames, models=models), tmp_path):
        if cell.recipe is not None:
            assert cell.recipe.model == MODEL
            assert cell.recipe.optimiser.steps == 7
            assert not cell.recipe.checks.run
            assert cell.recipe.seed == cell.recipe.data.split.seed == cell.seed
            assert cell.recipe.data.n_train == cell.n_train
            assert cell.recipe.strategy.kind == ("scratch" if cell.regime == "from-scratch" else "full")


def test_a_setting_changes_the_names_of_its_cells_alone(frames, tmp_path):
    before = made(spec(frames), tmp_path)
    after = made(spec(frames, models={MODEL: {"recipe": "chgnet-quick", "settings": {"loss.forces": 2}}}), tmp_path)
    changed = {cell.regime for cell, other in zip(before, after, strict=True) if cell.name != other.name}
    assert changed == {"fine-tuned", "from-scratch"}
    renamed = made(spec(frames, benchmark="other", cell_hours=1), tmp_path)
    changed = {cell.regime for cell, other in zip(before, renamed, strict=True) if cell.name != other.name}
    assert changed == {"dedicated"}  # whose networks train as long as they may
    alone = made(spec(frames, dedicated={"gap": {"cell_hours": 1}}), tmp_path)
    assert {cell.name for cell in alone} <= {cell.name for cell in renamed}


def test_test_structures_are_none_of_those_to_train_on(frames, tmp_path):
    write(tmp_path / "test.extxyz", read(frames, "3:5"))
    message = r"salt: 2 of 2 test structures are also among those to train on: frame 1 .* is frame 4 .* of the other"
    with pytest.raises(InputError, match=message):
        made(spec(frames, datasets={"salt": {"train": frames, "test": tmp_path / "test.extxyz"}}), tmp_path)


def test_test_structures_trained_no_potential(frames, tmp_path):
    """Those of a file, and those that are split off: the potential had all frames."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    used = [one.geometry_digest for one in read_labelled(frames).structures]
    (folder / "summary.json").write_text(json.dumps({"trained_on": used}), encoding="utf-8")
    tuned = {"model": str(folder)}
    for section in ({"models": {"tuned": tuned}}, {"published": {"tuned": {**tuned, "source": "Somebody (2020)"}}}):
        with pytest.raises(InputError, match=r"tuned was trained on or chosen by 12 of the 12 test structures of salt"):
            made(spec(frames, **section), tmp_path)
    write(tmp_path / "test.extxyz", read(frames, "3:5"))
    write(tmp_path / "train.extxyz", read(frames, "5:"))
    files = {"train": tmp_path / "train.extxyz", "test": tmp_path / "test.extxyz"}
    with pytest.raises(InputError, match=r"2 of the 2 test structures of salt \(frame 1"):
        made(spec(frames, datasets={"salt": files}, models={"tuned": {"model": str(folder)}}), tmp_path)
    (folder / "summary.json").write_text(json.dumps({"trained_on": used[5:]}), encoding="utf-8")
    made(spec(frames, datasets={"salt": files}, models={"tuned": {"model": str(folder)}}), tmp_path)


def test_names_do_not_follow_where_files_are(frames, tmp_path):
    """A benchmark that was moved, or is named otherwise, has the same cells."""
    copy = tmp_path / "copy.extxyz"
    copy.write_bytes(frames.read_bytes())
    here = {cell.name for cell in made(spec(frames), tmp_path / "here")}
    assert {cell.name for cell in made(spec(copy), tmp_path / "there")} == here


def test_usual_sizes_are_those_that_the_data_have(frames, tmp_path):
    given = {"benchmark": "trial", "datasets": {"salt": {"train": frames}}, "dedicated": {"snap": {}}}
    usual = BenchmarkSpec.model_validate(given)
    assert {cell.n_train for cell in made(usual, tmp_path)} == {10, 28}


def test_names_follow_the_files_that_decide_results(frames, tmp_path):
    """A crystal's structure file, a model's file or folder, and what a recipe replays."""
    salt, mtp, replayed = tmp_path / "salt.cif", tmp_path / "fitted.mtp", tmp_path / "replayed.extxyz"
    properties, saved = tmp_path / "salt.toml", tmp_path / "saved" / "model.json"
    properties.write_text('[crystals.salt]\nstructure = "salt.cif"\n[crystals.salt.equation_of_state]\n')
    saved.parent.mkdir()

    def names(a=5.6, fitted="1", description="1", frames_of_replay="1"):
        write(salt, bulk("NaCl", "rocksalt", a=a, cubic=True))
        mtp.write_text(fitted)
        saved.write_text(description)
        replayed.write_text(frames_of_replay)
        data = {"salt": {"train": frames, "properties": properties}}
        settings = {"replay": {"structures": str(replayed)}}
        models = {
            "own": {"model": str(saved.parent), "regimes": ["zero-shot"]},
            "replaying": {"model": MODEL, "recipe": "chgnet-quick", "settings": settings, "regimes": ["fine-tuned"]},
        }
        published = {"fitted": {"model": f"mtp:{mtp}:Na-Cl", "source": "Somebody (2020)"}}
        chosen = spec(frames, datasets=data, models=models, published=published, n_train=[10], seeds=1)
        return {cell.label: (cell.name, cell.rows_name) for cell in made(chosen, tmp_path)}

    before = names()
    assert names() == before
    for changes, labels in (
        ({"a": 5.7}, {"own", "replaying", "fitted", "gap"}),
        ({"fitted": "2"}, {"fitted"}),
        ({"description": "2"}, {"own"}),
        ({"frames_of_replay": "2"}, {"replaying"}),
    ):
        after = names(**changes)
        assert {label for label in before if before[label] != after[label]} == labels, changes
    assert [name for name, _ in names(a=5.7).values()] == [name for name, _ in before.values()]  # what is trained


@pytest.mark.parametrize(
    ("changes", "error", "expected"),
    [
        ({"n_train": [10, 29]}, InputError, "n_train is 29, but salt has 28 structures to train on"),
        ({"n_train": [1]}, InputError, "expected at least 2 structures"),
        ({"models": {"chgnet-0.2": {}}}, UnknownModelError, "chgnet-0.3.0"),
        ({"models": {"mine": {"model": "runs/mine"}}}, UnknownModelError, "runs/mine"),
        ({"published": {"theirs": {"model": "chgnet-0.2", "source": "S"}}}, UnknownModelError, "chgnet-0.3.0"),
        ({"dedicated": {"gpa": {}}}, UnknownModelError, "Did you mean 'gap'"),
        ({"dedicated": {"gap": {"hyperparameters": {"cutof": 5}}}}, InputError, "Did you mean 'cutoff'"),
        ({"models": {MODEL: {"recipe": "chgnet-qick"}}}, InputError, "Did you mean chgnet-quick"),
        (
            {"models": {MODEL: {"recipe": "chgnet-quick", "settings": {"ensemble.members": 3}}}},
            InputError,
            "trains one potential a seed",
        ),
        (
            {"models": {MODEL: {"recipe": "chgnet-quick", "settings": {"replay": {"structures": "none.extxyz"}}}}},
            InputError,
            "replay.structures is none.extxyz, which does not exist",
        ),
        (
            {"models": {"sevennet-0": {"recipe": "chgnet-quick"}}},
            InputError,
            "cannot be trained here",
        ),
        (
            {"models": {MODEL: {"recipe": "chgnet-quick", "settings": {"data.split.by": "frame"}}}},
            InputError,
            f"models.{MODEL}: settings.data.split.by is decided by the benchmark",
        ),
        ({"models": {}, "dedicated": {}, "regimes": ["zero-shot"]}, InputError, "no model has any of the regimes"),
    ],
)
def test_what_is_wrong_is_known_before_anything_runs(frames, tmp_path, changes, error, expected):
    with pytest.raises(error, match=expected):
        made(spec(frames, **changes), tmp_path)


def test_which_data_set_cannot_be_split_is_said(tmp_path):
    frames = [bulk("NaCl", "rocksalt", a=5.6 + 0.01 * k) for k in range(9)]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=0 * atoms.positions)
    write(tmp_path / "ungrouped.extxyz", frames)
    with pytest.raises(InputError, match="salt: no test set can be split off: 9 of 9 frames have no group"):
        read_datasets(spec(frames, datasets={"salt": {"train": tmp_path / "ungrouped.extxyz"}}), tmp_path)


def test_what_cannot_be_split_is_known_before_anything_runs(tmp_path):
    frames = []
    for k in range(6):
        frames.append(bulk("NaCl", "rocksalt", a=5.6 + 0.01 * k))
        frames[-1].calc = SinglePointCalculator(frames[-1], energy=float(k), forces=0 * frames[-1].positions)
    write(tmp_path / "frames.extxyz", frames)
    write(tmp_path / "test.extxyz", frames[4:])
    write(tmp_path / "frames.extxyz", frames[:4])
    files = {"train": tmp_path / "frames.extxyz", "test": tmp_path / "test.extxyz"}
    with pytest.raises(InputError, match=r"salt: 4 structures for seed 0 cannot be split: .* group"):
        made(spec(frames, datasets={"salt": files}, n_train=[4]), tmp_path)
    made(spec(frames, datasets={"salt": files | {"split": {"by": "frame"}}}, n_train=[4]), tmp_path)
