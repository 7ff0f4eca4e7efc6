"""Licences that restrict use: accepted once, before fetching and before loading."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from uniscreen import load_potential
from uniscreen.errors import DownloadError, InputError, LicenceError
from uniscreen.potentials import fetching, find_card, licences, loading, model_cards
from uniscreen.potentials.fetching import fetch_weights
from uniscreen.potentials.weights import FOLDER_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

NAME = "mace-omat-0-medium"
TERMS = r"under the Academic Software License \(ASL\), which allows academic, non-commercial use only: https://github"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def test_the_academic_models_are_those_that_mace_names() -> None:
    """The table of models in the README of mace-torch 0.3.16 gives the licence ASL to these."""
    restricted = {card.name for card in model_cards().values() if card.restricted_use}
    assert restricted == {"mace-omat-0-medium", "mace-matpes-pbe-0", "mace-matpes-r2scan-0"}
    assert all(find_card(name).licence_url == "https://github.com/gabor1/ASL" for name in restricted)


def test_a_restricted_model_is_neither_fetched_nor_loaded_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file was put there by hand."""
    (tmp_path / NAME).write_bytes(b"by hand")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    for action in (fetch_weights, load_potential):
        with pytest.raises(LicenceError, match=rf"{TERMS}.* uniscreen models fetch {NAME} --accept-licence"):
            action(NAME)
    with pytest.raises(LicenceError, match=TERMS):
        load_potential("mace-omat-0", trust_model_file=True)


def test_it_is_accepted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).write_bytes(b"by hand")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert fetch_weights(NAME, accept_licence=True).was_there
    assert fetch_weights(NAME).was_there
    with pytest.raises(InputError, match="is a pickled Python module"):  # it is past the licence
        load_potential(NAME)
    (entry,) = json.loads(licences.acceptances_file().read_text()).items()
    assert entry[0] == NAME
    assert entry[1]["licence"] == "Academic Software License (ASL)"
    assert entry[1]["accepted"].startswith("20")
    with pytest.raises(LicenceError):
        fetch_weights("mace-matpes-pbe-0")  # each model for itself


def test_another_licence_is_not_the_one_that_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    card = find_card(NAME)
    licences.accept(card)
    assert licences.is_accepted(card)
    stricter = replace(card, licence="Another")
    monkeypatch.setattr(loading, "find_card", lambda name: stricter)
    with pytest.raises(LicenceError, match="is under the Another"):
        load_potential(NAME)


def test_the_acceptance_stands_even_if_the_network_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(find_card(NAME), weights="http://127.0.0.1:9/weights")
    monkeypatch.setattr(fetching, "find_card", lambda name: card)
    with pytest.raises(DownloadError):
        fetch_weights(NAME, accept_licence=True)
    assert licences.is_accepted(card)


def test_a_model_without_restrictions_needs_nothing() -> None:
    assert licences.is_accepted(find_card("mace-mp-0"))
    assert not licences.acceptances_file().exists()


def test_a_broken_record_is_an_error() -> None:
    licences.acceptances_file().parent.mkdir(parents=True)
    licences.acceptances_file().write_text("{")
    with pytest.raises(InputError, match=r"accepted-licences\.json, which records accepted licences, cannot be read"):
        fetch_weights(NAME)
    load_potential("chgnet-0.3.0", device="cpu")  # which it does not concern
