"""A potential as a folder: the same numbers, and a clear error for a folder that is not what was written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from broken_trainables import Learned

import uniscreen
from uniscreen import load_potential
from uniscreen.errors import InputError, LicenceError, UnknownModelError
from uniscreen.potentials import find_card, resolve_model
from uniscreen.potentials.licences import accept
from uniscreen.potentials.saved import is_saved, read_card
from uniscreen.potentials.trainable import TrainablePotential

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ase import Atoms

    from uniscreen.potentials.base import Potential, SystemResult


@pytest.fixture
def saved(loaded: Callable[..., Potential], tmp_path: Path) -> Path:
    """A folder with CHGNet."""
    potential = loaded("chgnet-0.3.0")
    assert isinstance(potential, TrainablePotential)
    potential.save(tmp_path / "runs" / "si-ft")
    return tmp_path / "runs" / "si-ft"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    change(description)
    path.write_text(json.dumps(description), encoding="utf-8")


def assert_same_bits(ours: list[SystemResult], theirs: list[SystemResult]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.energy == b.energy
        np.testing.assert_array_equal(a.forces, b.forces)
        np.testing.assert_array_equal(a.stress, b.stress)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_model_gives_the_same_bits_once_saved(
    dtype: str, trainable_name: str, loaded: Callable[..., Potential], crystals: dict[str, Atoms], tmp_path: Path
) -> None:
    potential = loaded(trainable_name, dtype)
    assert isinstance(potential, TrainablePotential)
    potential.save(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["model.json", "weights.safetensors"]
    again = load_potential(str(tmp_path / "run"), device="cpu")
    structures = list(crystals.values())
    assert_same_bits(again.evaluate(structures), potential.evaluate(structures))
    assert again.card.dtype == dtype
    assert isinstance(again, TrainablePotential)
    assert again.reference_energies == potential.reference_energies


def test_the_card_is_that_of_the_base_but_for_what_is_new(saved: Path, loaded: Callable[..., Potential]) -> None:
    base, card = loaded("chgnet-0.3.0").card, load_potential(str(saved), device="cpu").card
    assert (card.name, card.base, card.aliases) == ("si-ft", "chgnet-0.3.0", ())
    assert (card.weights, card.weights_file) == (str(saved), "weights.safetensors")
    assert card.size_bytes == (saved / "weights.safetensors").stat().st_size
    assert card.sha256 != base.sha256
    for name in ("architecture", "elements", "cutoff", "functional", "energy_convention", "licence", "citation"):
        assert getattr(card, name) == getattr(base, name)


def test_the_elements_of_a_fine_tuning_are_kept_and_older_folders_have_none(
    loaded: Callable[..., Potential], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    potential = loaded("chgnet-0.3.0")
    assert isinstance(potential, TrainablePotential)
    assert potential.card.tuned_elements == frozenset()
    monkeypatch.setattr(potential, "card", replace(potential.card, tuned_elements=frozenset({"Si", "Ge"})))
    potential.save(tmp_path / "run")
    card = read_card(tmp_path / "run")
    assert card.tuned_elements == {"Ge", "Si"}
    assert card.elements == potential.card.elements
    edit(tmp_path / "run", lambda d: d["card"].pop("tuned_elements"))
    assert load_potential(str(tmp_path / "run"), device="cpu").card.tuned_elements == frozenset()


def test_a_licence_that_restricts_the_base_restricts_what_was_trained_from_it(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    base = find_card("mace-omat-0")
    terms = {"licence": base.licence, "licence_url": base.licence_url, "restricted_use": base.restricted_use}
    edit(saved, lambda d: d["card"].update(terms, base=base.name))
    with pytest.raises(LicenceError, match="uniscreen models fetch mace-omat-0-medium --accept-licence"):
        load_potential(str(saved), device="cpu")
    accept(base)
    assert load_potential(str(saved), device="cpu").card.restricted_use == base.restricted_use


def test_a_folder_can_be_moved_and_saved_again(saved: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(saved, tmp_path / "elsewhere")
    potential = load_potential(str(moved), device="cpu")
    assert potential.card.name == "elsewhere"
    assert isinstance(potential, TrainablePotential)
    potential.reference_energies = {"Si": -626.123456789012}
    potential.save(moved)
    assert potential.card.base == "chgnet-0.3.0"
    again = load_potential(str(moved), device="cpu")
    assert isinstance(again, TrainablePotential)
    assert again.card.base == "chgnet-0.3.0"
    assert again.reference_energies["Si"] == -626.123456789012  # float32 would keep -626.1235


def test_a_saved_potential_screens(saved: Path, crystals: dict[str, Atoms], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"relax": False, "workers": 1}
    (row,) = uniscreen.screen([crystals["Cu"]], model=str(saved), out=tmp_path / "a", **settings).to_dict("records")
    (base,) = uniscreen.screen([crystals["Cu"]], out=tmp_path / "b", **settings).to_dict("records")
    assert row["status"] == "ok"
    assert row["energy_eV_per_atom"] == base["energy_eV_per_atom"]


def _flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)


def _tear_weights(folder: Path) -> None:
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[: len(content) // 2])


def _tear_description(folder: Path) -> None:
    content = (folder / "model.json").read_bytes()
    (folder / "model.json").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_bit, "has sha256 .*, expected .* the folder was changed"),
        (_tear_weights, "has sha256 .*, expected .* or copied or written only in part"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors is missing"),
        (_tear_description, "model.json does not describe a saved potential: JSONDecodeError"),
        (lambda folder: (folder / "model.json").unlink(), "holds no model.json, so it is no saved potential"),
        (lambda folder: edit(folder, lambda d: d.update(version=2)), "version 2; expected .* version 1"),
        (lambda folder: edit(folder, lambda d: d.update(card=[])), "model.json has no card, which"),
        (lambda folder: edit(folder, lambda d: d["card"].pop("cutoff")), "no complete model card: .*cutoff"),
        (lambda folder: edit(folder, lambda d: d["card"].update(colour=1)), "no complete model card: .*colour"),
        (
            lambda folder: edit(folder, lambda d: d["architecture"].update(n_conv=3)),
            "does not describe a CHGNet that its weights fit: RuntimeError",
        ),
    ],
    ids=[
        "bit",
        "torn weights",
        "no weights",
        "torn json",
        "no json",
        "version",
        "card",
        "field",
        "new field",
        "layers",
    ],
)
def test_a_folder_that_is_not_what_was_written_is_refused(
    damage: Callable[[Path], object], message: str, saved: Path
) -> None:
    damage(saved)
    with pytest.raises(InputError, match=message):
        load_potential(str(saved), device="cpu")


def test_an_unknown_architecture_is_refused(saved: Path) -> None:
    edit(saved, lambda d: d["card"].update(architecture="os"))
    with pytest.raises(InputError, match="is of the architecture 'os'"):
        load_potential(str(saved), device="cpu")


def test_a_saved_potential_keeps_its_head(saved: Path) -> None:
    with pytest.raises(InputError, match="was trained with the head that is its only one, not pbe"):
        resolve_model(str(saved), head="pbe")


def test_a_model_card_comes_before_a_folder_of_its_name(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(saved, tmp_path / "chgnet")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("chgnet")[0].name == "chgnet-0.3.0"
    assert resolve_model("./chgnet")[0].name == "chgnet"
    with pytest.raises(UnknownModelError):
        resolve_model("runs/absent")


def test_a_folder_may_be_named_as_a_model_file(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "si.model")
    assert load_potential(str(folder), device="cpu").card.name == "si.model"


def test_a_name_is_that_of_the_folder_however_it_is_written(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    assert read_card(saved.parent.parent / "runs/../runs/si-ft").name == resolve_model(".")[0].name == "si-ft"
    assert not is_saved(saved.parent)


def test_weights_without_reference_energies_are_refused(tmp_path: Path) -> None:
    import hashlib

    import safetensors.torch

    Learned().save(tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    del tensors["reference_energies"]
    content = safetensors.torch.save(tensors)
    (tmp_path / "weights.safetensors").write_bytes(content)
    edit(tmp_path, lambda d: d["card"].update(sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(InputError, match="holds no reference_energies"):
        Learned(weights=tmp_path)
