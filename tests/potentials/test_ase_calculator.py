"""Any ASE calculator as a potential: its numbers, its contract with what it is known to fail, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

import uniscreen
from uniscreen import load_potential
from uniscreen.errors import InputError, IsolatedAtomsError
from uniscreen.potentials import resolve_model
from uniscreen.potentials.testing import ExpectedFailure, check_potential

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from uniscreen.potentials.base import Potential

LENNARD_JONES = "ase:ase.calculators.lj:LennardJones"

FACTORIES = """
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list

PARAMETERS = {"sigma": 2.2, "epsilon": 0.3, "rc": 6.0}

def smooth():
    return LennardJones(**PARAMETERS, ro=5.0, smooth=True)

def shifted():
    return LennardJones(**PARAMETERS)

class Truncated(LennardJones):
    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        sixth = (self.parameters.sigma / self.parameters.rc) ** 6
        pairs = len(neighbor_list("i", self.atoms, self.parameters.rc)) / 2
        self.results["energy"] += pairs * 4 * self.parameters.epsilon * (sixth**2 - sixth)

def truncated():
    return Truncated(**PARAMETERS)

class Half(Calculator):
    implemented_properties = ["energy", "forces"]

def nothing():
    return None

class outer:
    inner = LennardJones

def of_a_file(path):
    return LennardJones()
"""

EXPECTED = {
    "smooth": [],
    "shifted": [],  # ASE's default: the force jumps at the cutoff, the energy does not
    "truncated": [ExpectedFailure("smooth-at-cutoff", "the pair energy at the cutoff is not subtracted")],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module of factories, which is forgotten afterwards."""
    (tmp_path / "factories_of_a_test.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    sys.modules.pop("factories_of_a_test", None)


def load(factory: str) -> Potential:
    return load_potential(f"ase:factories_of_a_test:{factory}", device="cpu", trust_model_file=True)


def test_numbers_are_those_of_the_calculator(here: Path) -> None:
    potential = load_potential("ase:ase.calculators.emt:EMT", device="cpu", trust_model_file=True)
    structures = [bulk("Cu", a=3.7), bulk("Al", cubic=True) * (2, 1, 1)]
    structures[1].rattle(0.1, seed=0)
    for atoms, result in zip(structures, potential.evaluate(structures), strict=True):
        atoms.calc = EMT()
        assert result.energy == atoms.get_potential_energy()
        np.testing.assert_array_equal(result.forces, atoms.get_forces())
        np.testing.assert_array_equal(result.stress, atoms.get_stress(voigt=False))
        assert result.magnetic_moments is None


@pytest.mark.parametrize("factory", list(EXPECTED))
def test_a_calculator_keeps_the_contract(factory: str, here: Path) -> None:
    """But for what is expected: an expected failure that does not occur is a failure."""
    results = check_potential(load(factory), EXPECTED[factory])
    assert [result for result in results if result.status == "failed"] == []


def test_the_card_says_what_is_known(here: Path) -> None:
    card, path = resolve_model("ase:factories_of_a_test:smooth", trust_model_file=True, functional="PBE")
    assert path == here / "factories_of_a_test.py"
    assert (card.functional, card.energy_convention, card.dtype) == ("PBE", "raw", "float64")
    assert {"H", "Og"} <= card.elements
    before = card.sha256
    path.write_text(FACTORIES + "\n")
    assert resolve_model(card.name, trust_model_file=True)[0].sha256 != before  # a run is not continued with other code


def test_an_isolated_atom_is_refused(here: Path) -> None:
    with pytest.raises(IsolatedAtomsError, match="within 6 Å"):
        load("smooth").evaluate([bulk("Cu", "sc", a=8.0)])


def test_nothing_runs_without_trust(here: Path) -> None:
    (here / "hostile_module.py").write_text("import pathlib; pathlib.Path('ran').touch()\ndef make(): ...\n")
    with pytest.raises(InputError, match=r"runs the code of the module hostile_module.*--trust-model-file"):
        load_potential("ase:hostile_module:make")
    assert not (here / "ran").exists()
    with pytest.raises(InputError, match="is no factory of ASE calculators"):
        load_potential("ase:hostile_module:make", trust_model_file=True)
    assert (here / "ran").exists()  # the module was live: only the refusal held it back


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ase:factories_of_a_test", "does not name a calculator, expected ase:MODULE:FACTORY"),
        ("ase:os;os:x", "does not name a calculator"),
        ("ase:no_such_module:make", "There is no module no_such_module .*installed nor in"),
        ("ase:no_such_package.inner:make", "There is no module no_such_package.inner"),
        ("ase:factories_of_a_test:absent", "has no attribute 'absent'"),
        ("ase:factories_of_a_test:nothing", "called without arguments it gives None"),
        ("ase:factories_of_a_test:Half", "makes a calculator without stress"),
        ("ase:factories_of_a_test:of_a_file", r"called without arguments, raises TypeError: .* argument: 'path'"),
        ("ase:module_that_needs_another:make", "cannot be imported: ModuleNotFoundError: No module named 'no_such_mod"),
    ],
)
def test_what_is_no_calculator_is_refused(name: str, reason: str, here: Path) -> None:
    (here / "module_that_needs_another.py").write_text("import no_such_module\n")
    with pytest.raises(InputError, match=reason):
        load_potential(name, device="cpu", trust_model_file=True)


def test_a_factory_may_be_inside_a_class(here: Path) -> None:
    assert isinstance(load("outer.inner").wrapped, LennardJones)  # type: ignore[attr-defined]


def test_an_installed_module_is_not_hidden_by_the_working_directory(here: Path) -> None:
    (here / "ase").mkdir()
    (here / "ase" / "__init__.py").touch()
    code = f"import uniscreen; uniscreen.load_potential({LENNARD_JONES!r}, device='cpu', trust_model_file=True)"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_screen_with_a_calculator(here: Path) -> None:
    """Its worker processes find the module too."""
    settings = {"model": "ase:factories_of_a_test:smooth", "trust_model_file": True, "functional": "PBE", "workers": 1}
    atoms = bulk("Cu", a=3.2)
    (row,) = uniscreen.screen([atoms], out=here / "run", **settings).to_dict("records")
    assert row["status"] == "ok", row["reason"]
    assert row["volume_change_percent"] != 0
