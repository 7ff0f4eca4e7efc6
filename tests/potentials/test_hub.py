"""Models of the hub: fetched at one commit from a server that answers as the hub, and loaded with no network."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from ase.build import bulk
from click.testing import CliRunner
from local_server import File, Server, serving
from matgl_folders import ELEMENTS, save

from uniscreen import load_potential
from uniscreen.cli.main import main
from uniscreen.errors import DownloadError, InputError, MissingPackageError, UnknownModelError
from uniscreen.potentials import downloads, hub, resolve_model
from uniscreen.potentials.fetching import fetch_weights
from uniscreen.potentials.hub import HubName, hub_names
from uniscreen.potentials.weights import FOLDER_VARIABLE, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_matgl = pytest.mark.skipif(find_spec("matgl") is None, reason="matgl is not installed")

NAME = "TensorNet-PES-MatPES-PBE-2025.2"
COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(downloads, "WAITS", (0.0, 0.0, 0.0))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.answers["/api/models"] = []
        yield server


def publish(
    server: Server, files: dict[str, bytes], commit: str, *, name: str = NAME, licence: str | None = None
) -> None:
    """Make a commit the hub's main branch of a repository, with answers in the form of the hub's."""
    repository = f"materialyze/{name}"
    entries = []
    for file, content in files.items():
        tag = hashlib.sha256(content).hexdigest()
        entry: dict[str, object] = {"rfilename": file, "size": len(content), "blobId": "0" * 40}
        if file.endswith(".pt"):
            entry["lfs"] = {"sha256": tag, "size": len(content), "pointerSize": 130}
        entries.append(entry)
        for revision in ("main", commit):
            headers = {"X-Repo-Commit": commit, "X-Linked-Etag": f'"{tag}"', "X-Linked-Size": str(len(content))}
            server.files[f"/{repository}/resolve/{revision}/{file}"] = File(content, headers=headers)
    card = {"license": licence} if licence else None
    answer = {"_id": "0", "id": repository, "modelId": repository, "sha": commit, "siblings": entries, "cardData": card}
    for revision in ("main", commit):
        server.answers[f"/api/models/{repository}/revision/{revision}"] = answer
    listed = server.answers["/api/models"]
    assert isinstance(listed, list)
    if not any(model["id"] == repository for model in listed):
        listed.append({"_id": "0", "id": repository, "modelId": repository, "tags": []})


DESCRIPTION = {
    "@class": "Potential",
    "@module": "matgl.apps.pes",
    "metadata": {"dataset": "MatPES-PBE-2025.2"},
    "kwargs": {
        "model": {
            "@class": "TensorNet",
            "@module": "matgl.models",
            "init_args": {
                "element_types": ["H", "O"],
                "cutoff": 5.0,
                "is_intensive": False,
                "include_state": False,
                "ntargets": 1,
            },
        }
    },
}


def described(
    dataset: str | None = "MatPES-PBE-2025.2", network: str = "TensorNet", state: bytes = b"x"
) -> dict[str, bytes]:
    """The files of a model, as far as fetching and describing it goes: no matgl is needed."""
    description = json.loads(json.dumps(DESCRIPTION))
    description["metadata"] = None if dataset is None else {"dataset": dataset}
    description["kwargs"]["model"]["@class"] = network
    return {"model.json": json.dumps(description).encode(), "state.pt": state, "model.pt": b"", "README.md": b"#"}


def saved(folder: Path, variant: str) -> dict[str, bytes]:
    save(folder, variant)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@needs_matgl
@pytest.mark.slow
@pytest.mark.parametrize(("variant", "architecture"), [("TensorNet", "TensorNet"), ("M3GNet", "M3GNet (matgl 3)")])
def test_a_fetched_model_is_what_matgl_loads_from_the_hub(
    variant: str, architecture: str, server: Server, tmp_path: Path
) -> None:
    """matgl itself, in another process, from the same server."""
    publish(server, saved(tmp_path / "saved", variant), COMMITS[0], licence="bsd-3-clause")
    fetched = fetch_weights(f"matgl:{NAME}")
    assert not fetched.was_there

    code = f"""
import logging, matgl
from ase.build import bulk
from matgl.ext.ase import PESCalculator
logging.disable()
calculator = PESCalculator(matgl.load_model({NAME!r}), stress_unit="eV/A3")
print(calculator.get_potential_energy(bulk("NaCl", "rocksalt", a=5.69)))
"""
    environment = os.environ | {"HOME": str(tmp_path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    server.shutdown()
    potential = load_potential(f"matgl:{NAME}", device="cpu")
    energy = potential.evaluate([bulk("NaCl", "rocksalt", a=5.69)])[0].energy
    assert energy == pytest.approx(float(done.stdout), rel=0, abs=2e-5)
    card = potential.card
    assert (card.name, card.architecture) == (f"matgl:{NAME}@{COMMITS[0][:12]}", architecture)
    assert (card.functional, card.energy_convention, card.licence) == ("PBE-noU", "raw", "bsd-3-clause")
    assert card.elements == set(ELEMENTS)
    assert card.sha256 == hashlib.sha256((fetched.path / "state.pt").read_bytes()).hexdigest()


def test_the_first_fetch_pins_the_commit(server: Server) -> None:
    publish(server, described(state=b"first"), COMMITS[0])
    first = fetch_weights(f"matgl:{NAME}")
    publish(server, described(state=b"second"), COMMITS[1])
    again = fetch_weights(f"matgl:{NAME}")
    assert (again.path, again.was_there) == (first.path, True)
    assert resolve_model(f"matgl:{NAME}")[0].name.endswith(COMMITS[0][:12])

    newer = fetch_weights(f"matgl:{NAME}@{COMMITS[1]}")
    assert (newer.path / "state.pt").read_bytes() == b"second"
    for asked in (COMMITS[1], COMMITS[1][:12]):
        assert resolve_model(f"matgl:{NAME}@{asked}")[1] == newer.path
    assert resolve_model(f"matgl:{NAME}")[1] == first.path


def test_a_damaged_model_is_found_out_and_the_same_commit_fetched_again(server: Server) -> None:
    publish(server, described(state=b"first"), COMMITS[0])
    path = fetch_weights(f"matgl:{NAME}").path
    (path / "state.pt").write_bytes(b"other")
    with pytest.raises(InputError, match=r"state\.pt is not the file that was fetched .* Fetch the model again"):
        resolve_model(f"matgl:{NAME}")
    publish(server, described(state=b"second"), COMMITS[1])
    assert fetch_weights(f"matgl:{NAME}").path == path
    assert (path / "state.pt").read_bytes() == b"first"


def test_a_damaged_copy_elsewhere_does_not_hide_the_one_that_was_fetched_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, described(state=b"first"), COMMITS[0])
    fetch_weights(f"matgl:{NAME}")
    cache_folder().rename(tmp_path / "carried")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "carried"))
    (tmp_path / "carried" / "matgl" / NAME / COMMITS[0] / "state.pt").write_bytes(b"other")
    with pytest.raises(InputError, match=r"carried.*state\.pt is not the file that was fetched"):
        resolve_model(f"matgl:{NAME}")
    publish(server, described(state=b"second"), COMMITS[1])
    again = fetch_weights(f"matgl:{NAME}")
    assert (again.path, again.was_there) == (cache_folder() / "matgl" / NAME / COMMITS[0], False)
    assert resolve_model(f"matgl:{NAME}")[1] == again.path
    assert fetch_weights(f"matgl:{NAME}").was_there


def test_a_torn_file_of_a_model_is_not_a_model(server: Server) -> None:
    content = b"0123456789" * 20_000
    publish(server, described(state=content), COMMITS[0])
    state = server.files[f"/materialyze/{NAME}/resolve/{COMMITS[0]}/state.pt"]
    state.tear_at = [150_000] * 4
    with pytest.raises(DownloadError, match="in 4 attempts"):
        fetch_weights(f"matgl:{NAME}")
    with pytest.raises(InputError, match="is not on this machine"):
        resolve_model(f"matgl:{NAME}")
    assert (fetch_weights(f"matgl:{NAME}").path / "state.pt").read_bytes() == content
    assert server.ranges_asked()[-1] is not None


def test_a_file_that_is_not_what_the_hub_announces_is_refused(server: Server) -> None:
    publish(server, described(state=b"first"), COMMITS[0])
    server.files[f"/materialyze/{NAME}/resolve/{COMMITS[0]}/state.pt"] = File(b"f1rst")
    with pytest.raises(DownloadError, match="Nothing was kept"):
        fetch_weights(f"matgl:{NAME}")


def test_a_model_that_cannot_be_run_is_refused_before_its_weights_are_fetched(server: Server) -> None:
    publish(server, described(network="QET"), COMMITS[0])
    with pytest.raises(InputError, match=r"matgl\.models\.QET, expected"):
        fetch_weights(f"matgl:{NAME}")
    assert not any(path.endswith("state.pt") for _, path, _ in server.requests)


@pytest.mark.parametrize(
    ("dataset", "functional"),
    [("MatPES-PBE-2025.2", "PBE-noU"), ("MatPES-r2SCAN-2025.2", "r2SCAN"), ("other", "unknown"), (None, "unknown")],
)
def test_the_functional_is_that_of_the_data_set(dataset: str | None, functional: str, server: Server) -> None:
    publish(server, described(dataset), COMMITS[0])
    fetch_weights(f"matgl:{NAME}")
    card = resolve_model(f"matgl:{NAME}")[0]
    assert (card.functional, card.licence) == (functional, "not stated by its repository")
    if functional == "unknown":
        assert resolve_model(f"matgl:{NAME}", functional="PBE")[0].functional == "PBE"
    else:
        with pytest.raises(InputError, match=f"was trained on {functional}, not on PBE"):
            resolve_model(f"matgl:{NAME}", functional="PBE")


@needs_matgl
def test_an_unknown_model_gets_a_suggestion(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matgl.get_available_pretrained_models", lambda: [NAME])
    with pytest.raises(UnknownModelError, match=rf"has no .* Did you mean 'matgl:{NAME}'\?"):
        fetch_weights("matgl:TensorNet-PES-MatPES-PBE-2025")
    with pytest.raises(UnknownModelError, match=r"with a revision main\. See: uniscreen models hub"):
        fetch_weights("matgl:zzz")


def test_a_model_that_is_not_here_says_how_to_get_it(server: Server) -> None:
    with pytest.raises(InputError) as caught:
        load_potential(f"matgl:{NAME}")
    message = str(caught.value)
    assert f"uniscreen models fetch matgl:{NAME}" in message
    assert f"{cache_folder() / 'matgl' / NAME}, or as matgl/{NAME} in a folder that {FOLDER_VARIABLE} names" in message
    assert server.requests == []  # loading never fetches

    publish(server, described(), COMMITS[0])
    fetch_weights(f"matgl:{NAME}")
    with pytest.raises(InputError, match=rf"Did you mean 'matgl:{NAME}', which is here\?"):
        load_potential("matgl:TensorNet-PES-MatPES-PBE")


def test_a_fetched_model_can_be_carried_to_another_machine(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, described(), COMMITS[0])
    fetch_weights(f"matgl:{NAME}")
    cache_folder().rename(tmp_path / "carried")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "carried"))
    assert resolve_model(f"matgl:{NAME}")[1] == tmp_path / "carried" / "matgl" / NAME / COMMITS[0]


def test_a_fetched_model_is_listed_and_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # so that no path is folded
    publish(server, described(), COMMITS[0], licence="bsd-3-clause")
    fetch_weights(f"matgl:{NAME}")
    name = f"matgl:{NAME}@{COMMITS[0][:12]}"
    listed = CliRunner().invoke(main, ["models"]).output.splitlines()[-1]
    assert listed.split() == [name, "TensorNet", "PBE-noU", "raw", "bsd-3-clause"]
    shown = " ".join(CliRunner().invoke(main, ["models", "show", name]).output.split())
    for fact in (f"weights {cache_folder()}", f"commit {COMMITS[0]}", "functional PBE-noU", "elements 2: H O"):
        assert fact in shown
    next((cache_folder() / "matgl" / NAME).glob("*.json")).write_text("{}")
    result = CliRunner().invoke(main, ["models"])
    assert (result.exit_code, "chgnet-0.3.0" in result.output) == (0, True)
    assert "main.json cannot be read: " in result.output


@pytest.mark.parametrize("name", ["matgl:", "matgl:../x", "matgl:a/b", "matgl:a@", "matgl:a@../../b", "matgl:.x"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"expected matgl:NAME\[@REVISION\]"):
        HubName.parse(name)


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        ({"siblings": []}, DownloadError, "did not describe"),
        ({"sha": "../../x", "siblings": []}, DownloadError, "names '../../x' as the commit"),
        ({"sha": COMMITS[0], "siblings": []}, InputError, r"holds no model\.json and no state\.pt"),
        ("nothing", DownloadError, "did not describe"),
    ],
    ids=["no commit", "a path", "no files", "no table"],
)
def test_a_strange_answer_is_refused(answer: object, error: type[InputError], reason: str, server: Server) -> None:
    server.answers[f"/api/models/materialyze/{NAME}/revision/main"] = answer
    with pytest.raises(error, match=reason):
        fetch_weights(f"matgl:{NAME}")


def test_no_network_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"cannot be reached: .*Or fetch matgl:.* on another machine"):
        fetch_weights(f"matgl:{NAME}")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.org")
    with pytest.raises(DownloadError, match="HTTPS only"):
        fetch_weights(f"matgl:{NAME}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        fetch_weights(f"matgl:{NAME}")


def test_the_list_needs_matgl_and_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "find_spec", lambda name: object())
    with pytest.raises(DownloadError, match="cannot be reached"):
        hub_names()
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install matgl"):
        hub_names()


@needs_matgl
@pytest.mark.slow
def test_the_list_is_matgls(server: Server) -> None:
    """In a process of its own, since huggingface_hub reads its address once."""
    for name in (NAME, "M3GNet-PES-ANI-1x-Subset", "QET-PES-MatPES-PBE-2025.2", "M3GNet-Eform-MP-2019.4.1"):
        publish(server, described(), COMMITS[0], name=name)
    fetch_weights(f"matgl:{NAME}")
    command = [sys.executable, "-m", "uniscreen", "models", "hub"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[:2]] == [
        ["matgl:M3GNet-PES-ANI-1x-Subset", "not", "fetched"],
        [f"matgl:{NAME}", "fetched"],
    ]
    assert "2 others" in done.stdout
