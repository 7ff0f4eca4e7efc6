"""A file from the web as a whole: received, checked and only then given its name; a torn download is resumed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import requests

from uniscreen.durable import rename_durably, sha256_of, write_json
from uniscreen.errors import DownloadError
from uniscreen.potentials.https import TransientError, chunks, get, secure_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OnProgress = Callable[[int, int | None], None]
    """Told the bytes that are there and how many there will be, if that is known."""

WAITS = (1.0, 3.0, 9.0)
"""Seconds before the second and later attempts after a connection broke, stalled or was told to come back."""

TRY_LATER = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Resource:
    """What to fetch; a size of 0 or an empty checksum is one that is not known."""

    url: str
    size_bytes: int = 0
    sha256: str = ""


class Received(NamedTuple):
    """What was fetched."""

    size_bytes: int
    sha256: str


def download(
    resource: Resource,
    target: Path,
    *,
    before_naming: Callable[[Received], None] = lambda *_: None,
    on_progress: OnProgress = lambda *_: None,
) -> Received:
    """Fetch a resource to a file, replacing what is there; hold the target's lock meanwhile.

    The bytes are collected in ``<target>.part``. What a broken download left there is continued where the server
    vouches that the resource is still the same, else it is discarded. ``before_naming`` is called once the content is
    known to be right and before the file has its name.

    Raises:
        DownloadError: an address that is not HTTPS, no network, a server's refusal, or not the expected content. The
            target is then as it was.
    """
    partial = _Partial(target.with_name(f"{target.name}.part"))
    try:
        with secure_session(resource.url) as session:
            received = _attempts(session, resource, partial, on_progress)
        before_naming(received)
        rename_durably(partial.path, target)
        partial.discard()
    except OSError as error:
        raise DownloadError(f"{target} cannot be written: {error}.") from error
    return received


class _Partial:
    """The bytes received so far, and beside them which resource they are of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts = path.with_name(f"{path.name}.json")

    def begin(self, resource: Resource, response: requests.Response) -> None:
        """Forget what is there and note what the bytes to come are of."""
        self.discard()
        write_json(self.facts, {"url": resource.url, "validator": _validator(response)})

    def resumable(self, resource: Resource) -> tuple[int, str]:
        """How many bytes are there and what the server must vouch for; (0, "") where nothing can be continued."""
        try:
            facts = json.loads(self.facts.read_text(encoding="utf-8"))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            return 0, ""
        if not size or not isinstance(facts, dict) or facts.get("url") != resource.url or not facts.get("validator"):
            return 0, ""
        return size, str(facts["validator"])

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)


def _attempts(session: requests.Session, resource: Resource, partial: _Partial, on_progress: OnProgress) -> Received:
    """Receive the resource, trying again where that may help."""
    for wait in (*WAITS, None):
        resumed = partial.resumable(resource)[0] > 0
        try:
            _receive(session, resource, partial, on_progress)
            return _checked(resource, partial, resumed=resumed)
        except TransientError as error:
            if wait is None:
                raise DownloadError(
                    f"{resource.url} could not be fetched in {len(WAITS) + 1} attempts; at last {error}."
                ) from error
            time.sleep(wait)
    raise AssertionError


def _receive(session: requests.Session, resource: Resource, partial: _Partial, on_progress: OnProgress) -> None:
    """One attempt: ask for what is missing and add it to the partial file."""
    offset, validator = partial.resumable(resource)
    headers = {"Range": f"bytes={offset}-", "If-Range": validator} if offset else {}
    with get(session, resource.url, headers) as response:
        if not _continues(response, offset, validator):
            _require_whole(resource.url, response, partial)
            offset = 0
        total = _total(resource, response, offset)
        if offset == 0:
            partial.begin(resource, response)
        done = _append(response, partial.path, offset, total, on_progress)
    if total is not None and done < total:
        raise TransientError(f"the connection ended after {done} of {total} bytes")
    if resource.size_bytes and done != resource.size_bytes:
        partial.discard()
        raise DownloadError(f"{resource.url} has {done} bytes, expected {resource.size_bytes}. Nothing was kept.")


def _append(response: requests.Response, path: Path, offset: int, total: int | None, on_progress: OnProgress) -> int:
    """Add the body to a file of ``offset`` bytes; returns how many it has then, all of them on the disk."""
    done = offset
    with path.open("ab") as file:
        on_progress(done, total)
        for chunk in chunks(response):
            file.write(chunk)
            done += len(chunk)
            on_progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    return done


def _continues(response: requests.Response, offset: int, validator: str) -> bool:
    """Whether a response is the rest of the resource of which ``offset`` bytes are there."""
    if not offset or response.status_code != requests.codes.partial_content:
        return False
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return start == str(offset) and _validator(response) in ("", validator)


def _require_whole(url: str, response: requests.Response, partial: _Partial) -> None:
    """Raise unless the response is the resource from its beginning."""
    code = response.status_code
    if code == requests.codes.ok:
        return
    if code in TRY_LATER:
        raise TransientError(f"the server said {code} {response.reason}")
    if code in (requests.codes.partial_content, requests.codes.requested_range_not_satisfiable):
        partial.discard()
        raise TransientError("the server did not continue the file that was begun")
    raise DownloadError(f"{url} cannot be fetched: the server said {code} {response.reason}.")


def _total(resource: Resource, response: requests.Response, offset: int) -> int | None:
    """How many bytes the whole file has; None where only the end of a chunked response will tell.

    Raises:
        DownloadError: it is not as large as expected, or a torn download could not be told from a whole one.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"{resource.url} is sent compressed, although that was not asked for.")
    if "Content-Length" in response.headers:
        total = offset + int(response.headers["Content-Length"])
        if resource.size_bytes and total != resource.size_bytes:
            raise DownloadError(f"{resource.url} has {total} bytes, expected {resource.size_bytes}. Nothing was kept.")
        return total
    if not (resource.size_bytes or resource.sha256 or response.headers.get("Transfer-Encoding") == "chunked"):
        raise DownloadError(f"{resource.url} is sent without its length: a part could not be told from the whole.")
    return resource.size_bytes or None


def _checked(resource: Resource, partial: _Partial, *, resumed: bool) -> Received:
    """The size and checksum of what was received, if they are as expected; else it is discarded."""
    received = Received(partial.path.stat().st_size, sha256_of(partial.path))
    if not resource.sha256 or received.sha256 == resource.sha256:
        return received
    partial.discard()
    if resumed:  # the parts may be of different files: fetch it whole
        raise TransientError(f"the continued file has sha256 {received.sha256}, expected {resource.sha256}")
    raise DownloadError(
        f"{resource.url} has sha256 {received.sha256} ({received.size_bytes} bytes), expected {resource.sha256}. "
        "Nothing was kept."
    )


def _validator(response: requests.Response) -> str:
    """What identifies the content for If-Range: a strong ETag, else the time of its last change."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
