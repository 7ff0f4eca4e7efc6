"""A local server that answers as the Materials Project's API does, for the routes that mp-api's client calls here.

Written after the client (mp-api 0.46: heartbeat, pagination by _limit and _skip, _fields, comma-joined lists, ``meta``
with ``total_doc``, the bodies of errors) and after the API's public source (emmet-api and maggma: which parameters a
route knows, 400 for any other and for a limit beyond the largest, the default fields, wildcards in chemical systems).
Documents are made by emmet's own ThermoDoc from pymatgen entries, or are checked against its fields.
"""

from __future__ import annotations

import copy
import gzip
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

KEY = "pQ7vWm2ZkT9xLr4NcB8sHd6YfJ3gUe5A"
MAX_LIMIT = 1000
COMMON = {"_limit", "_skip", "_fields", "_all_fields", "_page", "_per_page", "_sort_fields"}
THERMO_NUMBERS = ("energy_above_hull", "formation_energy_per_atom", "energy_per_atom", "uncorrected_energy_per_atom")
ROUTES = {
    "/materials/thermo/": COMMON
    | {
        "material_ids",
        "thermo_ids",
        "thermo_types",
        "formula",
        "chemsys",
        "is_stable",
        "nelements_min",
        "nelements_max",
    }
    | {f"{name}_{end}" for name in THERMO_NUMBERS for end in ("min", "max")},
    "/materials/summary/": COMMON
    | {"material_ids", "formula", "chemsys", "elements", "exclude_elements", "deprecated", "nsites_min", "nsites_max"}
    | {"batch_id", "batch_id_not_eq"},
}
DEFAULT_FIELDS = {
    "/materials/thermo/": ["thermo_id", "material_id", "last_updated"],
    "/materials/summary/": ["material_id"],
}


@dataclass
class Fault:
    """What one request gets instead of its answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"message": "An unexpected error occurred"}'
    reset: bool = False
    torn: bool = False


@dataclass
class Asked:
    """A request that came in."""

    path: str
    parameters: dict[str, str]
    key: str | None


class MaterialsProjectServer:
    """The server, its documents, and what happens to requests; started and stopped by ``with``."""

    def __init__(self) -> None:
        self.version = "2026.04.13"
        self.key = KEY
        self.thermo: list[dict[str, Any]] = []
        self.summary: list[dict[str, Any]] = []
        self.asked: list[Asked] = []
        self.faults: deque[Fault] = deque()
        self.heartbeat_faults: deque[Fault] = deque()
        self.on_data = lambda: None
        self.waits: list[float] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/"

    def __enter__(self) -> MaterialsProjectServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def add(self, document: dict[str, Any]) -> None:
        """Take in a thermo document, and the summary of its material unless there is one."""
        self.thermo.append(document)
        if document["material_id"] not in {known["material_id"] for known in self.summary}:
            (entry, *_) = document["entries"].values()
            self.summary.append(
                {
                    "material_id": document["material_id"],
                    "structure": entry["structure"],
                    "elements": sorted(entry["composition"]),
                    "nsites": len(entry["structure"]["sites"]),
                    "deprecated": False,
                    "energy_above_hull": 9.0,  # of the mixed hull: not what is to be used
                }
            )

    def data_requests(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path in ROUTES]

    def respond(self, asked: Asked) -> Fault | tuple[int, dict[str, Any]]:
        """What a request gets: a fault that waits for it, the version, a refusal, or documents."""
        self.asked.append(asked)
        heartbeat = asked.path.rstrip("/") == "/heartbeat"
        faults = self.heartbeat_faults if heartbeat else self.faults
        if faults:
            return faults.popleft()
        if heartbeat:
            beat = {"status": "OK", "version": "0.86.3", "db_version": self.version}
            return 200, beat | {"access_controlled_batch_ids": ["gnome_r2scan_statics"]}
        if asked.key is None:
            return 401, {"message": "No API key found in request"}
        if asked.key != self.key:
            return 401, {"message": f"Invalid authentication credentials: {asked.key}"}
        self.on_data()
        return self.answer(asked.path, asked.parameters)

    def answer(self, path: str, given: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path not in ROUTES:
            return 404, {"message": "no Route matched with those values"}
        if unknown := sorted({*given} - ROUTES[path]):
            return 400, {"detail": f"Request contains query parameters which cannot be used: {', '.join(unknown)}"}
        limit, skip = int(given.get("_limit", 100)), int(given.get("_skip", 0))
        if limit > MAX_LIMIT:
            return 400, {"detail": "Requested more data per query than allowed by this endpoint."}
        documents = self.thermo if path == "/materials/thermo/" else self.summary
        if "*" in given.get("chemsys", "") and "," in given["chemsys"]:
            return 400, {"detail": "Wild cards only supported for single chemsys queries."}
        found = [document for document in documents if _matches(document, given)]
        fields = given["_fields"].split(",") if "_fields" in given else DEFAULT_FIELDS[path]
        page = [{name: doc[name] for name in fields if name in doc} for doc in found[skip : skip + limit]]
        return 200, {"data": page, "meta": {"api_version": "0.86.3", "total_doc": len(found), "max_limit": MAX_LIMIT}}


def _matches(document: dict[str, Any], given: dict[str, str]) -> bool:
    elements = _elements(document)
    tests = {
        "material_ids": lambda text: any(_same_id(document["material_id"], name) for name in text.split(",")),
        "thermo_types": lambda text: str(document.get("thermo_type")).upper() in text.upper().split(","),
        "chemsys": lambda text: any(_in_system(elements, system) for system in text.split(",")),
        "elements": lambda text: elements >= {*text.split(",")},
        "exclude_elements": lambda text: not elements & {*text.split(",")},
        "deprecated": lambda text: document.get("deprecated", False) == (text == "True"),
        "nsites_min": lambda text: document["nsites"] >= int(text),
        "nsites_max": lambda text: document["nsites"] <= int(text),
        "energy_above_hull_min": lambda text: document["energy_above_hull"] >= float(text),
        "energy_above_hull_max": lambda text: document["energy_above_hull"] <= float(text),
    }
    return all(tests[name](text) for name, text in given.items() if not name.startswith("_"))


def _same_id(one: str, other: str) -> bool:
    """Whether two ids are of one material: mp-149 is mp-aaaaaaft in letters."""
    from emmet.core.mpid import AlphaID

    return bool(AlphaID(one) == AlphaID(other))


def _elements(document: dict[str, Any]) -> set[str]:
    if "elements" in document:
        return {*document["elements"]}
    (entry, *_) = document["entries"].values()
    return {*entry["composition"]}


def _in_system(elements: set[str], system: str) -> bool:
    parts = system.split("-")
    if "*" in parts:
        return len(elements) == len(parts) and elements >= {*parts} - {"*"}
    return "-".join(sorted(elements)) == "-".join(sorted(parts))


def _handler(server: MaterialsProjectServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            given = {name: values[-1] for name, values in parse_qs(url.query).items()}
            response = server.respond(Asked(url.path, given, self.headers.get("x-api-key")))
            if isinstance(response, Fault):
                self._fail(response)
            else:
                self._reply(*response)

        def _reply(self, status: int, content: dict[str, Any]) -> None:
            body = gzip.compress(json.dumps(content).encode())
            self._send(status, body, {"content-type": "application/json", "content-encoding": "gzip"})

        def _fail(self, fault: Fault) -> None:
            if fault.reset:
                self.close_connection = True
                self.connection.close()
            elif fault.torn:
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                self.wfile.write(b'{"data": [')
                self.close_connection = True
            else:
                self._send(fault.status, fault.body, fault.headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"content-length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def materials_project(monkeypatch, tmp_path):
    """A local Materials Project that mp-api asks, with a key, no waiting, and an empty cache."""
    pytest.importorskip("mp_api", reason="mp-api is not installed (pip install mp-api)")
    from materials_project_data import documents

    waits: list[float] = []
    monkeypatch.setattr("uniscreen.thermodynamics.materials_project.transport.sleep", waits.append)
    monkeypatch.setattr("uniscreen.thermodynamics.materials_project.transport.INTERVAL", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with MaterialsProjectServer() as server:
        monkeypatch.setenv("MP_API_KEY", server.key)
        monkeypatch.setenv("MP_API_ENDPOINT", server.endpoint)
        for document in documents():
            server.add(copy.deepcopy(document))
        server.waits = waits
        yield server
