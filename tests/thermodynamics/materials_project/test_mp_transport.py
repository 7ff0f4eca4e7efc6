"""What happens to a request: retries, pauses, refusals, and where the key goes."""

import socket
from email.utils import formatdate
from time import time

import pytest

from materials_project_server import KEY, Fault, MaterialsProjectServer
from uniscreen.errors import MaterialsProjectError, MissingPackageError
from uniscreen.thermodynamics.materials_project import MaterialsProject, transport
from uniscreen.thermodynamics.materials_project.access import Access


def thermo_of_lithium(database):
    return database.thermo_documents(["energy_above_hull"], "GGA_GGA+U", chemsys=["Li"])


def pauses(server):
    """The pauses between attempts."""
    return [wait for wait in server.waits if wait > 0]


PASSING = {
    "limited": Fault(429, {"Retry-After": "7"}),
    "server error": Fault(500),
    "overloaded": Fault(503),
    "reset": Fault(reset=True),
    "torn": Fault(torn=True),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_request_that_failed_in_passing_is_repeated(materials_project, name):
    database = MaterialsProject.connect()
    materials_project.faults.append(PASSING[name])
    (document,) = thermo_of_lithium(database)
    assert document["energy_above_hull"] == 0
    assert len(materials_project.data_requests()) == 2
    assert pauses(materials_project) == [7.0 if name == "limited" else transport.BACKOFF]


def test_a_pause_may_be_asked_for_as_a_date(materials_project):
    database = MaterialsProject.connect()
    materials_project.faults.append(Fault(429, {"Retry-After": formatdate(time() + 60, usegmt=True)}))
    thermo_of_lithium(database)
    (wait,) = pauses(materials_project)
    assert 30 < wait <= 60


def test_pauses_grow_and_end(materials_project):
    database = MaterialsProject.connect()
    materials_project.faults.extend([Fault(503)] * 20)
    with pytest.raises(MaterialsProjectError, match=r"HTTP status 503, 6 times.*continues") as caught:
        thermo_of_lithium(database)
    assert KEY not in str(caught.value)
    assert pauses(materials_project) == [1, 2, 4, 8, 16]


def test_an_hours_pause_is_left_to_the_user(materials_project):
    database = MaterialsProject.connect()
    materials_project.faults.extend([Fault(429, {"Retry-After": "3600"})] * 20)
    with pytest.raises(MaterialsProjectError, match="asked for a pause of 3600 s"):
        thermo_of_lithium(database)
    assert len(materials_project.data_requests()) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_error_at_once(materials_project, monkeypatch, status):
    wrong = "w" * 32
    monkeypatch.setenv("MP_API_KEY", wrong)
    database = MaterialsProject.connect()
    if status == 403:
        materials_project.faults.append(Fault(403, body=f"no service for {wrong}".encode()))
    with pytest.raises(MaterialsProjectError, match=rf"refuses the key \(HTTP status {status}\)") as caught:
        thermo_of_lithium(database)
    assert wrong not in str(caught.value)
    assert len(materials_project.data_requests()) == 1
    assert pauses(materials_project) == []


@pytest.mark.parametrize("status", [404, 422])
def test_what_the_server_says_is_passed_on_without_the_key(materials_project, status):
    database = MaterialsProject.connect()
    materials_project.faults.append(Fault(status, body=f'{{"detail": "no such thing for {KEY}"}}'.encode()))
    with pytest.raises(MaterialsProjectError, match="no such thing for <key>"):
        thermo_of_lithium(database)
    assert len(materials_project.data_requests()) == 1


def test_no_network_is_an_error_at_once(materials_project, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MP_API_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(MaterialsProjectError, match=r"cannot be reached.*uniscreen references mp"):
        MaterialsProject.connect()
    assert pauses(materials_project) == []


def test_an_unknown_host_is_an_error_at_once(materials_project, monkeypatch):
    monkeypatch.setenv("MP_API_ENDPOINT", "https://api.materialsproject.invalid")
    with pytest.raises(MaterialsProjectError, match=r"api\.materialsproject\.invalid cannot be reached"):
        MaterialsProject.connect()
    assert pauses(materials_project) == []


def test_the_first_request_may_be_reset_too(materials_project):
    materials_project.heartbeat_faults.append(Fault(reset=True))
    assert MaterialsProject.connect().version == "2026.04.13"


def test_the_clients_own_first_request_is_repeated(materials_project):
    database = MaterialsProject.connect()
    materials_project.heartbeat_faults.extend([Fault(500), Fault(reset=True)])
    assert len(thermo_of_lithium(database)) == 1
    assert pauses(materials_project) == [1, 2]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, body=b"<html>Please log in</html>"),
        Fault(404),
        Fault(302, {"Location": "https://login.example.org"}),
        Fault(200, body=b'{"db_version": "../../.ssh"}'),
        Fault(200, body=b'{"db_version": null}'),
        Fault(200, body=b"[]"),
    ],
    ids=["html", "not found", "redirect", "path", "null", "list"],
)
def test_another_server_is_not_taken_for_the_materials_project(materials_project, fault):
    materials_project.heartbeat_faults.append(fault)
    with pytest.raises(MaterialsProjectError, match="is not the Materials Project"):
        MaterialsProject.connect()


def test_the_key_does_not_follow_a_redirect(materials_project):
    with MaterialsProjectServer() as other:
        materials_project.faults.append(Fault(302, {"Location": f"{other.endpoint}materials/thermo/"}))
        session = transport.open_session(Access.find())
        with pytest.raises(MaterialsProjectError):  # the other one asks for a key
            session.get(f"{materials_project.endpoint}materials/thermo/")
    assert [asked.key for asked in materials_project.asked] == [KEY]
    assert [asked.key for asked in other.asked] == [None]


def test_requests_keep_a_pace(materials_project, monkeypatch):
    monkeypatch.setattr(transport, "INTERVAL", 0.25)
    monkeypatch.setattr(transport, "monotonic", lambda: 100.0)
    session = transport.open_session(Access.find())
    for _ in range(3):
        session.get(f"{materials_project.endpoint}heartbeat")
    assert pauses(materials_project) == [0.25, 0.5]


def test_without_mp_api_its_installation_is_named(materials_project, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install"):
        MaterialsProject.connect()
