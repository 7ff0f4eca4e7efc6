"""From a name to a potential: cards, weights, errors, and what loading leaves alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest
import torch
from ase.data import chemical_symbols

from uniscreen import load_potential
from uniscreen.errors import InputError, UnknownModelError
from uniscreen.potentials import find_card, loading, model_cards, resolve_device
from uniscreen.potentials.cards import EnergyConvention, Functional
from uniscreen.potentials.weights import FOLDER_VARIABLE, locate

if TYPE_CHECKING:
    from pathlib import Path

    from uniscreen.potentials import ModelCard
    from uniscreen.potentials.base import Potential

CARDS = list(model_cards().values())
CHGNET = [card.name for card in CARDS if card.architecture == "CHGNet"]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_card_is_complete(card: ModelCard) -> None:
    assert card.elements <= set(chemical_symbols[1:])
    assert card.licence
    assert card.citation
    assert card.functional in get_args(Functional)
    assert card.energy_convention in get_args(EnergyConvention)
    assert card.sha256 == "" or set(card.sha256) <= set("0123456789abcdef")
    assert len(card.sha256) in (0, 64)


def test_a_card_describes_real_weights(model_name: str) -> None:
    card = find_card(model_name)
    content = (locate(card) / card.weights_file).read_bytes()
    assert len(content) == card.size_bytes
    assert hashlib.sha256(content).hexdigest() == card.sha256


def test_names_and_aliases_are_unique() -> None:
    names = [name for card in CARDS for name in (card.name, *card.aliases)]
    assert len(set(names)) == len(names)
    for card in CARDS:
        assert all(find_card(name) is card for name in (card.name, *card.aliases))
        assert model_cards()[card.name] is card


@pytest.mark.parametrize("model_name", CHGNET, indirect=True)
def test_a_potential_has_the_cutoff_and_precision_of_its_card(potential: Potential) -> None:
    assert potential.card.cutoff == float(potential.model.graph_converter.atom_graph_cutoff)
    assert {str(p.dtype) for p in potential.model.parameters()} == {f"torch.{potential.card.dtype}"}
    assert not potential.model.training


def test_the_elements_of_mptrj() -> None:
    """89 elements: Deng et al., Nat. Mach. Intell. 5, 1031 (2023); MPtrj has no Po, At, Rn, Fr, Ra."""
    expected = set(chemical_symbols[1:95]) - {"Po", "At", "Rn", "Fr", "Ra"}
    assert find_card("chgnet-0.3.0").elements == expected
    assert len(expected) == 89


@pytest.mark.parametrize(
    ("given", "meant"), [("chgnet-0.3.1", "chgnet-0.3.0"), ("CHGNet", "chgnet"), ("chgnet_r2scan", "chgnet-r2scan")]
)
def test_an_unknown_name_gets_a_suggestion(given: str, meant: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        load_potential(given)
    assert f"Unknown model {given!r}. Did you mean {meant!r}?" in str(caught.value)
    assert all(name in str(caught.value) for name in model_cards())


def test_a_name_like_no_other_gets_the_list_alone() -> None:
    with pytest.raises(UnknownModelError, match=r"Unknown model 'zzz'\. Known models: chgnet-0\.3\.0"):
        load_potential("zzz")
    with pytest.raises(UnknownModelError, match=r"Unknown model 'runs/salt'\..*; also the folder of a trained model, "):
        load_potential("runs/salt")


def test_an_empty_variable_does_not_name_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mace-mp-0-small").touch()
    with pytest.raises(InputError, match="not on this machine"):
        locate(find_card("mace-mp-0-small"))


def test_a_head_of_a_model_without_heads_is_refused() -> None:
    with pytest.raises(InputError, match=r"chgnet-0\.3\.0 has one output only, so there is no head 'pbe' to choose"):
        load_potential("chgnet", device="cpu", head="pbe")


def test_weights_that_are_not_those_of_the_card_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card = find_card("chgnet-0.3.0")
    monkeypatch.setattr(loading, "find_card", lambda name: replace(card, sha256="0" * 64))
    with pytest.raises(InputError, match=f"have sha256 {card.sha256}, expected {'0' * 64}"):
        load_potential("chgnet-0.3.0", device="cpu")


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        load_potential("chgnet-0.3.0", device="cuda")
    assert resolve_device("auto") == "cpu"


def test_a_device_or_precision_that_is_not_offered_is_refused() -> None:
    with pytest.raises(InputError, match="device is 'gpu', expected one of auto, cpu, cuda, mps"):
        load_potential("chgnet-0.3.0", device="gpu")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="dtype is 'float16', expected one of float32, float64"):
        load_potential("chgnet-0.3.0", device="cpu", dtype="float16")  # type: ignore[arg-type]


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda") == "cuda"
    assert resolve_device("cpu") == "cpu"


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "statement", ["import uniscreen", "from uniscreen.potentials import model_cards; model_cards()"]
)
def test_nothing_heavy_is_imported_before_it_is_used(statement: str, tmp_path: Path) -> None:
    heavy = ("torch", "ase", "pymatgen", "pandas", "chgnet", "numpy", "scipy")
    done = python(f"import sys; {statement}; print(*(m for m in {heavy} if m in sys.modules))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_loading_prints_nothing_and_writes_nothing(tmp_path: Path) -> None:
    done = python("import uniscreen; uniscreen.load_potential('chgnet', device='cpu')", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_loading_again_prints_nothing(model_name: str, capfd: pytest.CaptureFixture[str]) -> None:
    load_potential(model_name, device="cpu")
    assert capfd.readouterr() == ("", "")
