"""``uniscreen models``: the list, a card, and the check with its exit code."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from uniscreen.cli.main import main
from uniscreen.errors import InputError
from uniscreen.potentials import find_card, model_cards, testing
from uniscreen.potentials.isolated.environments import MARKER, environment_of
from uniscreen.potentials.isolated.trained import write_description
from uniscreen.potentials.testing import CheckResult, checks, training_checks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from uniscreen.potentials.base import Potential

HEAVY = ("torch", "numpy", "pandas", "pymatgen", "ase", "chgnet", "mace", "matgl", "plotly", "scipy")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def uniscreen(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def imported_by(*arguments: str) -> str:
    """Which heavy packages a command imports."""
    code = (
        "import sys; from uniscreen.cli.main import main\n"
        f"try: main({list(arguments)})\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(m for m in {(*HEAVY, 'rich')} if m in sys.modules))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr.strip()


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["models", "check", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported_by(*arguments) == ""


def test_the_list_imports_neither_torch_nor_a_backend() -> None:
    assert imported_by("models") == "rich"


def test_the_list_has_every_card_in_one_line() -> None:
    result = uniscreen("models")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.output.splitlines()[2:]}
    assert list(lines) == list(model_cards())
    for name, card in model_cards().items():
        assert re.match(rf"{name} +{card.architecture} +{card.functional} +{card.energy_convention} +\w", lines[name])
    assert re.search(r"Modified BSD \(LBNL\) +yes +yes", lines["chgnet-0.3.0"])


def test_the_list_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output = uniscreen("models").output
    assert all(len(line) <= 80 for line in output.splitlines())
    assert all(re.search(rf"^{re.escape(name)} ", output, re.MULTILINE) for name in model_cards())
    assert "…" not in output


def test_lines_are_long_where_a_program_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    assert len(uniscreen("models").output.splitlines()) == len(model_cards()) + 2


def test_a_missing_package_and_missing_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(card: object, *, check: bool = True) -> None:
        raise InputError("not here")

    monkeypatch.setattr("uniscreen.cli.models.find_spec", lambda name: None)
    assert re.search(r"chgnet-0\.3\.0 .* no +yes", uniscreen("models").output)
    monkeypatch.setattr("uniscreen.potentials.weights.locate", missing)
    assert re.search(r"chgnet-0\.3\.0 .* no +no", uniscreen("models").output)
    shown = uniscreen("models", "show", "chgnet").output
    assert "chgnet, not installed" in shown
    assert "not on this machine, or not those of this card" in shown


def test_an_environment_is_shown_and_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment = environment_of("SevenNet")
    assert re.search(r"sevennet-0 .* no +no", uniscreen("models").output)
    assert "which is made when it is first needed" in uniscreen("models", "show", "sevennet-0").output
    result = uniscreen("models", "remove", "sevennet-0")
    assert (result.exit_code, result.output) == (
        2,
        f"Error: There is no environment of sevennet-0 in {environment.folder.parent}.\n",
    )

    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    (environment.folder / MARKER).touch()
    assert re.search(r"sevennet-0 .* yes +no", uniscreen("models").output)
    shown = uniscreen("models", "show", "sevennet-0").output
    assert str(environment.folder) in "".join(shown.split())
    result = uniscreen("models", "remove", "7net-0")
    assert (result.exit_code, result.output) == (0, f"removed {environment.folder}\n")
    assert not environment.folder.exists()


def test_showing_a_folder_makes_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "uniscreen.potentials.isolated.environments.run_uv", lambda *_: pytest.fail("an environment was made")
    )
    folder = tmp_path / "trained"
    folder.mkdir()
    card = replace(find_card("sevennet-0"), name="trained", base="")
    write_description(folder, card, {"hyperparameters": {}})
    result = uniscreen("models", "show", str(folder))
    assert result.exit_code == 0, result.output
    assert "which is made when it is first needed" in result.output
    assert str(folder) in "".join(result.output.split())


def test_only_a_model_with_an_environment_of_its_own_can_be_removed() -> None:
    result = uniscreen("models", "remove", "chgnet")
    assert result.exit_code == 2
    assert "Error: chgnet-0.3.0 runs in this environment" in result.output


@pytest.mark.parametrize("name", list(model_cards()))
def test_a_card_is_shown_in_full(name: str) -> None:
    result, card = uniscreen("models", "show", name), find_card(name)
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    for fact in (card.name, card.architecture, card.licence, card.citation, card.weights, f"{card.cutoff:g} Å"):
        assert fact in text
    assert f"functional {card.functional} " in text
    assert f"energies {card.energy_convention}: " in text
    assert f"forces {card.forces}" in text
    assert card.sha256 in text
    symbols = text.partition(" elements ")[2].partition(": ")[2].split()
    assert set(symbols) == card.elements
    assert symbols[0] == "H"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chgnet-0.3.0", "MP2020-corrected: total energies that already carry the Materials Project's 2020"),
        ("m3gnet-mp-2021.2.8", "raw: raw DFT total energies; a screen adds the Materials Project's 2020 corrections"),
        ("chgnet-r2scan", "raw: raw DFT total energies; a screen adds no corrections"),
        ("mace-omat-0-medium", "raw: raw DFT total energies; a screen adds no corrections"),
    ],
)
def test_a_card_says_what_a_screen_adds_to_the_energies(name: str, said: str) -> None:
    assert f"energies {said}" in " ".join(uniscreen("models", "show", name).output.split())


def test_a_card_is_shown_beside_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder of weights, which is where they are looked for under the names of their cards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UNISCREEN_WEIGHTS", raising=False)
    (tmp_path / "m3gnet-mp-2021.2.8").mkdir()
    monkeypatch.chdir(tmp_path)
    result = uniscreen("models", "show", "m3gnet-mp-2021.2.8")
    assert result.exit_code == 0, result.output
    assert "not on this machine" in result.output


@pytest.mark.parametrize("name", ["cu.model", "ase:ase.calculators.emt:EMT", "mtp:Si.mtp:Si"])
def test_a_model_without_a_card_has_none_to_show(name: str) -> None:
    result = uniscreen("models", "show", name)
    assert (result.exit_code, result.output) == (
        2,
        f"Error: {name} has no model card to show. What it does: uniscreen models check {name}\n",
    )


@pytest.mark.parametrize("command", ["show", "check"])
def test_an_unknown_name_gets_a_suggestion(command: str) -> None:
    result = uniscreen("models", command, "chgnet-0.3")
    assert result.exit_code == 2
    assert "Unknown model 'chgnet-0.3'. Did you mean 'chgnet-0.3.0'?" in result.output


def test_check_prints_every_error_against_its_tolerance() -> None:
    result = uniscreen("models", "check", "chgnet", "--device", "cpu", "--dtype", "float64")
    assert result.exit_code == 0, result.output
    assert "chgnet-0.3.0, float64, cpu" in result.output
    every = checks() + training_checks()
    for check in every:
        assert re.search(rf"^{check.name} +[\d.e-]+ +[\d.e-]+ +\S+ +passed +\w", result.output, re.MULTILINE)
    assert result.output.rstrip().endswith(f"{len(every)} passed")


@pytest.mark.parametrize(
    ("outcome", "exit_code", "counts"),
    [("failed", 1, "1 passed, 1 failed"), ("expected failure", 0, "1 passed, 1 expected failure")],
)
def test_the_exit_code_is_that_of_the_worst_outcome(
    outcome: str, exit_code: int, counts: str, monkeypatch: pytest.MonkeyPatch, loaded: Callable[..., Potential]
) -> None:
    results = [
        CheckResult("rotation", "passed", 1e-9, 1e-6, "eV/atom", "energy, slab"),
        CheckResult("net-force", outcome, math.inf, 0.0, "", "ValueError: [/red] is no markup"),
    ]
    monkeypatch.setattr("uniscreen.potentials.load_potential", lambda name, **options: loaded("chgnet-0.3.0"))
    monkeypatch.setattr(testing, "check_potential", lambda potential: results)
    result = uniscreen("models", "check", "chgnet")
    assert result.exit_code == exit_code
    assert re.search(rf"net-force +inf +0 +{outcome} +ValueError: \[/red\] is no markup", result.output)
    assert result.output.rstrip().endswith(counts)
