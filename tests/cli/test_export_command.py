"""``uniscreen export``: a trained folder for its own package, what is printed, and the errors."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from uniscreen import load_potential
from uniscreen.cli.main import main


@pytest.fixture
def run_folder(tmp_path):
    potential = load_potential("chgnet-0.3.0", device="cpu")
    potential.reference_energies = {"Si": -107.123456789}
    potential.save(tmp_path / "si-ft")
    return tmp_path / "si-ft"


def run(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_what_is_printed_loads_it(run_folder, tmp_path):
    result = run(run_folder, tmp_path / "si.pth.tar", "--format", "chgnet")
    assert result.exit_code == 0, result.output
    first, second = result.output.splitlines()
    assert first.startswith(f"si-ft is in {tmp_path / 'si.pth.tar'}, for chgnet. To load it there: ")
    assert second.startswith("Loaded there, it differs on 8 crystals by at most 0.0")
    statement, _, call = first.partition("there: ")[2].partition("; ")
    names = {}
    exec(statement, names)
    model = eval(call, names)
    assert float(model.composition_model.fc.weight[0, 13]) == pytest.approx(-107.123456789, rel=1e-7)


def test_a_loss_beyond_1_mev_per_atom_is_a_warning(tmp_path):
    potential = load_potential("chgnet-0.3.0", device="cpu")
    potential.reference_energies = {"Au": -535000.123456789}  # eV, about that of all electrons
    potential.save(tmp_path / "gold")
    result = run(tmp_path / "gold", tmp_path / "gold.pth.tar")
    assert result.exit_code == 0, result.output
    assert "Warning: reference energies this large leave chgnet's float32 no better than" in result.stderr
    assert "Warning" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chgnet", "NEW", "--format", "mace"], "can be exported for chgnet only, not for mace"),
        (["chgnet", "OLD"], "exists already"),
        (["mace-mp0", "NEW"], "Unknown model 'mace-mp0'. Did you mean"),
        (["ase:ase.calculators.emt:EMT", "NEW", "--trust-model-file"], "does not hold the weights"),
    ],
    ids=["format", "exists", "unknown", "calculator"],
)
def test_errors_are_one_line(arguments, message, tmp_path):
    (tmp_path / "old").touch()
    paths = {"NEW": tmp_path / "new", "OLD": tmp_path / "old"}
    result = run(*(paths.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
