"""The key: where it is found, what is wrong with it, and that it is in no text."""

import pytest

from uniscreen.errors import MaterialsProjectError
from uniscreen.thermodynamics.materials_project.access import DEFAULT_ENDPOINT, Access

KEY = "k" * 32


@pytest.fixture
def no_key(monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.delenv("MP_API_ENDPOINT", raising=False)
    monkeypatch.setattr("pymatgen.core.SETTINGS", {})


def test_no_key_says_where_to_get_one(no_key):
    with pytest.raises(MaterialsProjectError, match=r"no key.*https://.*MP_API_KEY"):
        Access.find()


def test_the_key_of_pymatgens_settings_is_used_after_that_of_the_environment(no_key, monkeypatch):
    monkeypatch.setattr("pymatgen.core.SETTINGS", {"PMG_MAPI_KEY": KEY})
    assert Access.find() == Access(KEY, DEFAULT_ENDPOINT)
    monkeypatch.setenv("MP_API_KEY", " " + "e" * 32 + "\n")
    assert Access.find().key == "e" * 32


@pytest.mark.parametrize("key", ["short-legacy-key", KEY + "x", "é" * 32, "a b" + "c" * 29])
def test_what_cannot_be_a_key_is_not_sent_and_not_shown(no_key, monkeypatch, key):
    monkeypatch.setenv("MP_API_KEY", key)
    with pytest.raises(MaterialsProjectError, match=f"has {len(key)} characters, expected 32") as caught:
        Access.find()
    assert key not in str(caught.value)


def test_an_access_does_not_show_its_key():
    access = Access(KEY, DEFAULT_ENDPOINT)
    assert KEY not in repr(access)
    assert KEY not in access.redact(f"bad key {KEY}!")


@pytest.mark.parametrize(
    "endpoint", ["http://api.materialsproject.org", "ftp://x.org", "api.materialsproject.org", "https://user:pw@x.org/"]
)
def test_the_key_is_not_sent_unencrypted(no_key, monkeypatch, endpoint):
    monkeypatch.setenv("MP_API_KEY", KEY)
    with pytest.raises(MaterialsProjectError, match="https") as caught:
        Access.find(endpoint)
    assert "pw" not in str(caught.value)


def test_the_endpoint_is_that_of_the_environment_and_ends_with_a_slash(no_key, monkeypatch):
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setenv("MP_API_ENDPOINT", "http://localhost:8000")
    assert Access.find().endpoint == "http://localhost:8000/"
    assert Access.find("https://other.org").host == "other.org"
