"""``uniscreen models fetch``: what it asks, prints and returns."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from uniscreen.cli.main import main
from uniscreen.potentials import cards, find_card, licences, model_cards
from uniscreen.potentials.fetching import Fetched
from uniscreen.potentials.weights import FOLDER_VARIABLE, cache_folder

if TYPE_CHECKING:
    from pathlib import Path

ASL = "mace-matpes-r2scan-0"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def fetch(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", "fetch", *arguments])


def test_what_is_there_is_not_fetched() -> None:
    result = fetch("chgnet", "chgnet-r2scan")
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert first.startswith("chgnet-0.3.0: already at ")
    assert second.startswith("chgnet-r2scan: already at ")


def test_where_weights_went_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache_folder() / "mace-mp-0-small"
    fetched = Fetched("mace-mp-0-small", path, was_there=False)
    monkeypatch.setattr("uniscreen.potentials.fetching.fetch_weights", lambda name, **options: fetched)
    assert fetch("mace-mp-0-small").output == f"mace-mp-0-small: fetched to {path}\n"


def test_an_unknown_name_stops_it_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniscreen.potentials.fetching.fetch_weights", lambda name, **options: pytest.fail("fetched"))
    result = fetch("mace-mp-0-small", "mace-mp-0-smal")
    assert result.exit_code == 2
    assert "Unknown model 'mace-mp-0-smal'. Did you mean 'mace-mp-0-small'?" in result.output
    assert "expected matgl:NAME[@REVISION]" in fetch("matgl:a b").output


@pytest.mark.parametrize("command", [["models", "fetch"], ["models", "check"], ["screen", "candidates.csv", "--model"]])
def test_every_command_names_the_licence_and_the_option(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, ASL])
    assert result.exit_code == 2
    assert "Academic Software License (ASL), which allows academic, non-commercial use only: https://" in result.output
    assert f"uniscreen models fetch {ASL} --accept-licence" in result.output
    assert "Traceback" not in result.output


def test_the_option_accepts_and_shows_the_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = Fetched(ASL, cache_folder() / ASL, was_there=False)
    monkeypatch.setattr("uniscreen.potentials.fetching.fetch_weights", lambda name, **options: fetched)
    result = fetch(ASL, "--accept-licence")
    assert result.exit_code == 0
    assert "which allows academic, non-commercial use only" in result.output
    assert str(licences.acceptances_file()) in result.output
    assert "academic" not in fetch(ASL).output  # once


def test_the_list_and_the_card_say_that_use_is_restricted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = CliRunner().invoke(main, ["models"]).output.splitlines()
    restricted = {line.split()[0] for line in lines if "Academic Software License (ASL): restricted use" in line}
    assert restricted == {card.name for card in model_cards().values() if card.restricted_use}
    assert "academic, non-commercial use only; yet to be accepted" in shown(ASL)
    licences.accept(find_card(ASL))
    assert "academic, non-commercial use only; accepted" in shown(ASL)
    assert "not restricted further" in shown("chgnet")


def shown(name: str) -> str:
    return " ".join(CliRunner().invoke(main, ["models", "show", name]).output.split())


def test_the_list_reads_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniscreen.potentials.weights.sha256_of", lambda path: pytest.fail(f"{path} was read"))
    assert CliRunner().invoke(main, ["models"]).exit_code == 0


@pytest.mark.parametrize(("answer", "exit_code"), [("y", 2), ("n", 2)])
def test_on_a_terminal_it_asks(answer: str, exit_code: int, tmp_path: Path) -> None:
    """The address is one that nothing answers at, so that it ends after the question."""
    code = f"""
from dataclasses import replace
from uniscreen.potentials import cards, fetching, find_card
card = replace(find_card({ASL!r}), weights="http://127.0.0.1:9/weights")
fetching.find_card = lambda name: card
from uniscreen.cli.main import main
main(["models", "fetch", {ASL!r}])
"""
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=other_end, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.write(terminal, f"{answer}\n".encode())
    _, said = process.communicate()
    os.close(terminal)
    os.close(other_end)
    assert process.returncode == exit_code
    assert "academic, non-commercial use only" in said
    assert "Do you accept this licence?" in said
    assert ("cannot be reached" in said) == (answer == "y")
    assert licences.is_accepted(replace(cards.find_card(ASL))) == (answer == "y")


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(find_card("mace-mp-0-small"), weights="http://127.0.0.1:9/weights")
    monkeypatch.setattr("uniscreen.potentials.fetching.find_card", lambda name: card)
    result = fetch("mace-mp-0-small")
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    for text in (card.weights, str(cache_folder() / card.name), FOLDER_VARIABLE):
        assert text in result.output


@pytest.mark.parametrize("command", [["models", "check", "chgnet"], ["screen", "candidates.csv"]])
def test_mps_is_refused_with_the_reason(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candidates.csv").write_text("id,structure\n")
    result = CliRunner().invoke(main, [*command, "--device", "mps"])
    assert result.exit_code == 2
    assert "--device mps cannot be used: neighbours, bond lengths and strains are computed in float64" in result.output
