"""What a run leaves behind."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from uniscreen.potentials import find_card, load_potential
from uniscreen.potentials.base import SystemResult
from uniscreen.potentials.licences import accept
from uniscreen.training.outputs import MEMBERS, _load, _mean


def test_an_ensemble_from_a_tuned_model_has_the_published_one_as_its_base(loaded, tmp_path, monkeypatch):
    """As its members have, by whose name a licence that restricts use was accepted."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    restricted = find_card("mace-omat-0")
    accept(restricted)
    terms = {name: getattr(restricted, name) for name in ("name", "licence", "licence_url", "restricted_use")}
    potential = loaded("chgnet-0.3.0")
    monkeypatch.setattr(potential, "card", replace(potential.card, **terms))
    potential.save(tmp_path / "tuned")
    tuned = load_potential(str(tmp_path / "tuned"), device="cpu")
    members = [SimpleNamespace(number=i, folder=tmp_path / "run" / MEMBERS / str(i)) for i in range(2)]
    for member in members:
        tuned.save(member.folder)
    prepared = SimpleNamespace(potential=tuned, device="cpu", data=SimpleNamespace(elements=frozenset({"Si"})))
    card = _load(tmp_path / "run", prepared, members).card
    assert (card.base, card.tuned_elements) == ("mace-omat-0-medium", {"Si"})


def test_what_several_members_say_of_a_frame_that_they_held_out():
    """Their mean, and how far they are apart (divided by n - 1): in energy per atom, and in the force on an atom."""
    forces = [[[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 3]], [[2, 2, 0], [0, 0, 0]]]
    members = [
        SystemResult(energy, np.array(force, float), np.full((3, 3), energy), None)
        for energy, force in zip((1.0, 2.0, 6.0), forces, strict=True)
    ]
    found = _mean(members)
    assert found.energy == pytest.approx(3.0)
    assert found.energy_std == pytest.approx(np.sqrt((4 + 1 + 9) / 2) / 2)
    np.testing.assert_allclose(found.forces, [[1, 2 / 3, 0], [0, 0, 1]])
    np.testing.assert_allclose(found.force_std, np.sqrt([1 + 4 / 3, 3]))
    np.testing.assert_allclose(found.stress, np.full((3, 3), 3.0))
    assert (_mean(members[:1]).energy_std, _mean(members[:1]).force_std) == (None, None)
