"""What a run leaves behind."""

from dataclasses import replace
from types import SimpleNamespace

from uniscreen.potentials import find_card, load_potential
from uniscreen.potentials.licences import accept
from uniscreen.training.outputs import MEMBERS, _load


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
