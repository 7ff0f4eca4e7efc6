"""An HTTP server on this machine that serves files well, badly, slowly or not at all."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class File:
    """A file and how it is served.

    ``statuses`` are answered to the first requests; ``tear_at`` says after how many bytes of the whole file the
    connection of each of the next requests ends, ``stall_at`` where it stops sending and stays open. ``pause`` is
    waited for before every ``step`` bytes.
    """

    content: bytes
    etag: str | None = "default"
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    tear_at: list[int] = field(default_factory=list)
    stall_at: list[int] = field(default_factory=list)
    pause: float = 0.0
    step: int = 10_000
    length: bool = True
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        return f'"{hashlib.md5(self.content).hexdigest()}"' if self.etag == "default" else self.etag


class Server(ThreadingHTTPServer):
    """Serves ``files`` and ``answers`` (JSON) by path; ``requests`` are those that came."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        self.files: dict[str, File] = {}
        self.answers: dict[str, object] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def ranges_asked(self) -> list[str | None]:
        """The Range header of each GET."""
        return [headers.get("Range") for method, _, headers in self.requests if method == "GET"]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """A server in a thread; by HTTPS if there is a certificate (a PEM file with its key)."""
    with Server(certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        self.close_connection = True
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        if path in self.server.redirects:
            self._start(302, {"Location": self.server.redirects[path], "Content-Length": "0"})
        elif path in self.server.answers:
            content = json.dumps(self.server.answers[path]).encode()
            self._start(200, {"Content-Length": str(len(content)), "Content-Type": "application/json"})
            self.wfile.write(content if body else b"")
        elif path in self.server.files:
            self._serve(self.server.files[path], body=body)
        else:
            self._start(404, {"Content-Length": "0"})

    def _serve(self, file: File, *, body: bool) -> None:
        if file.statuses:
            self._start(file.statuses.pop(0), {"Content-Length": "0"})
            return
        start, headers = 0, dict(file.headers)
        if file.tag:
            headers["ETag"] = file.tag
        asked = self.headers.get("Range")
        if asked and file.ranges and self.headers.get("If-Range") == file.tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(file.content):
                self._start(416, {"Content-Range": f"bytes */{len(file.content)}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(file.content) - 1}/{len(file.content)}"
        if file.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif file.length:
            headers["Content-Length"] = str(len(file.content) - start)
        self._start(206 if "Content-Range" in headers else 200, headers)
        if body:
            self._send(file, start)

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, file: File, start: int) -> None:
        tear = file.tear_at.pop(0) if file.tear_at else None
        stall = file.stall_at.pop(0) if file.stall_at else None
        stop = min(x for x in (tear, stall, len(file.content)) if x is not None)
        for at in range(start, stop, file.step):
            time.sleep(file.pause)
            piece = file.content[at : min(at + file.step, stop)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if file.chunked else piece)
        if stall is not None:
            self.server.closing.wait(30)
        elif file.chunked and tear is None:
            self.wfile.write(b"0\r\n\r\n")
