"""The kinds of dedicated models: what is listed can be made, and hyperparameters are what they are said to be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from uniscreen.benchmarking.baselines import Baseline, baselines, find_baseline, train_baseline
from uniscreen.errors import BackendUnavailableError, InputError, LicenceError, UnknownModelError
from uniscreen.potentials import licences
from uniscreen.potentials.loading import BACKENDS

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["gap", "mtp", "snap", "qsnap", "ace", "hdnnp", "deepmd", "schnet", "dimenet", "nequip", "mace"]
AVAILABLE = [name for name in NAMES if not baselines()[name].unavailable]


def test_every_kind_is_listed_and_says_what_it_is() -> None:
    assert sorted(baselines()) == sorted(NAMES)
    for baseline in baselines().values():
        assert all((baseline.title, baseline.package, baseline.licence, baseline.citation)), baseline.name
        assert bool(baseline.unavailable) != bool(baseline.architecture), baseline.name


@pytest.mark.parametrize("name", AVAILABLE)
def test_what_can_be_had_has_a_backend_and_pinned_requirements(name: str) -> None:
    baseline = find_baseline(name)
    assert BACKENDS[baseline.architecture].isolated
    assert BACKENDS[baseline.architecture].package == baseline.package
    assert "def train(" in baseline.environment.backend_file.read_text()
    assert "def load(" in baseline.environment.backend_file.read_text()
    lines = [line for line in baseline.environment.requirements.read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line for line in lines), lines
    assert any(line.startswith(f"{baseline.package}==") for line in lines), lines
    assert baseline.hyperparameters
    assert baseline.hyperparameters_from


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_worker_reads_no_hyperparameter_that_is_not_listed(name: str) -> None:
    """And the list has none that nothing reads; what a worker's file imports from those beside it reads some too."""
    import re

    baseline = find_baseline(name)
    folder = baseline.environment.backend_file.parent
    read_from, text = set(), baseline.environment.backend_file.read_text()
    while found := {file for file in folder.glob("*.py") if f"from {file.stem} import" in text} - read_from:
        read_from |= found
        text += "".join(file.read_text() for file in sorted(found))
    read = set(re.findall(r"""\b(?:p|parameters)\[f?["'](\w+)["']\]""", text))
    if "_weight" in text:
        read |= {f"{label}_weight" for label in ("energy", "forces", "stress")}
    assert read == set(baseline.hyperparameters or {})


def test_hyperparameters_are_resolved_by_type() -> None:
    mtp = find_baseline("MTP")
    assert mtp.resolved({})["level"] == 16
    resolved = mtp.resolved({"level": "12", "cutoff": "4", "energy_weight": 2})
    assert (resolved["level"], resolved["cutoff"], resolved["energy_weight"]) == (12, 4.0, 2.0)
    assert isinstance(resolved["cutoff"], float)
    assert find_baseline("nequip").resolved({"parity": "false"})["parity"] is False
    with pytest.raises(InputError, match=r"mtp has no hyperparameter 'cutof'. Did you mean 'cutoff'"):
        mtp.resolved({"cutof": 4})
    for wrong in ("many", "12.5", 12.5, math.inf):
        with pytest.raises(InputError, match=r"level is .* expected a whole number, e.g. 16"):
            mtp.resolved({"level": wrong})
    for wrong in (-3, "-1", "nan", math.inf):
        with pytest.raises(InputError, match=r"cutoff is .* expected a number from 0 on, e.g. 5"):
            mtp.resolved({"cutoff": wrong})
    with pytest.raises(InputError, match=r"angular_cutoff is 0, so that no atom has a neighbour"):
        find_baseline("hdnnp").resolved({"angular_cutoff": 0})
    unweighted = {"energy_weight": 0, "forces_weight": "0", "stress_weight": 0.0}
    with pytest.raises(InputError, match=r"energy_weight, forces_weight, stress_weight are all 0"):
        mtp.resolved(unweighted)
    assert mtp.resolved(unweighted | {"stress_weight": 1})["energy_weight"] == 0
    assert find_baseline("snap").resolved({"last_weight": -0.3})["last_weight"] == -0.3
    with pytest.raises(InputError, match=r"parity is 'maybe', expected true or false"):
        find_baseline("nequip").resolved({"parity": "maybe"})


def test_what_cannot_be_trained_says_why(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"Unknown baseline 'mpt'. Did you mean 'mtp'"):
        train_baseline("mpt", [], tmp_path / "out")
    with pytest.raises(InputError, match=r"schnet trains until .*--validation"):
        train_baseline("schnet", [], tmp_path / "out")
    lost = Baseline("lost", "Lost", "lost", "MIT", "nobody", unavailable="its package was withdrawn")
    assert lost.status == "cannot be had"
    with pytest.raises(BackendUnavailableError, match=r"lost cannot be had: its package was withdrawn"):
        lost.install()


@pytest.mark.parametrize("name", ["gap", "ace"])
def test_an_academic_package_is_not_installed_before_its_licence_is_accepted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of GAP as libatoms.github.io/GAP says, of tensorpotential as in its LICENSE.md."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    made = []
    monkeypatch.setattr("uniscreen.potentials.isolated.environments.Environment.ensure", lambda *_: made.append(name))
    with pytest.raises(LicenceError, match=rf"non-commercial use only: http.*uniscreen baselines install {name} --acc"):
        find_baseline(name).install()
    assert made == []
    licences.accept(find_baseline(name))
    find_baseline(name).install()
    assert made == [name]
