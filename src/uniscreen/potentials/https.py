"""Requests over HTTPS and nothing else, with failures in words."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from uniscreen.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONNECT_TIMEOUT = 10.0
"""Seconds to reach a server, so that a missing network is an error soon."""

STALL_TIMEOUT = 30.0
"""Seconds without a byte after which a connection is given up; a slow one may take as long as it likes."""

CHUNK_BYTES = 2**16


class TransientError(Exception):
    """A failure that another attempt may mend."""


def secure_session(url: str) -> requests.Session:
    """A session that keeps to HTTPS, also where it is redirected; plain HTTP only from and to this machine."""
    plain = is_local(url)
    session = requests.Session()
    session.trust_env = not plain  # no proxy between this machine and itself
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "uniscreen"})
    for scheme in ("https://", "http://"):
        session.mount(scheme, _SecureAdapter(plain=plain))
    return session


def get(session: requests.Session, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """The beginning of a response; its body is yet to be read.

    Raises:
        DownloadError: the server cannot be reached, or only in the clear.
        TransientError: it was reached, but did not answer in time.
    """
    try:
        return session.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, STALL_TIMEOUT))
    except requests.ReadTimeout as error:
        raise TransientError(f"the server did not answer for {STALL_TIMEOUT:g} s") from error
    except requests.exceptions.SSLError as error:
        raise DownloadError(f"{url}: the server's certificate is not accepted: {_innermost(error)}.") from error
    except requests.ConnectionError as error:  # also ConnectTimeout and ProxyError
        raise DownloadError(f"{url} cannot be reached: {_innermost(error)}.") from error
    except requests.RequestException as error:
        raise DownloadError(f"{url} cannot be fetched: {error}.") from error


def get_json(url: str) -> tuple[int, Any]:
    """A server's status code and, if that is 200, its answer.

    Raises:
        DownloadError: the server cannot be reached, or does not answer in JSON.
    """
    try:
        with secure_session(url) as session, get(session, url) as response:
            return response.status_code, response.json() if response.ok else None
    except TransientError as error:
        raise DownloadError(f"{url} cannot be fetched: {error}.") from error
    except requests.RequestException as error:
        raise DownloadError(f"{url} did not answer in JSON: {error}.") from error


def chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as it is sent.

    Raises:
        TransientError: the connection broke or stalled.
    """
    try:
        yield from response.iter_content(CHUNK_BYTES)
    except requests.RequestException as error:
        stalled = "timed out" in str(error)  # requests wraps both in one class
        raise TransientError(f"no byte came for {STALL_TIMEOUT:g} s" if stalled else "the connection broke") from error


def is_local(url: str) -> bool:
    """Whether an address is plain HTTP to this machine."""
    parts = urlsplit(url)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.scheme == "http" and parts.hostname == "localhost"


class _SecureAdapter(HTTPAdapter):
    """Refuses every request that would go over the network in the clear."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self.plain = plain

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        url = str(request.url)
        if urlsplit(url).scheme != "https" and not (self.plain and is_local(url)):
            raise DownloadError(f"{url} is not fetched: weights come over HTTPS only.")
        return super().send(request, *args, **options)


def _innermost(error: BaseException) -> str:
    """The reason at the bottom of nested errors: "Connection refused" rather than a connection pool's repr."""
    reason: object = error
    while isinstance(reason, BaseException):
        text = str(reason)
        reason = getattr(reason, "reason", None) or (reason.args[0] if reason.args else None)
    return text.rpartition(": ")[2]
