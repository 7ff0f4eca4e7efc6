"""Weights from a server on this machine: right, torn, slow, silent, wrong and missing files, and what each leaves."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import requests
from local_server import File, Server, serving

from uniscreen.errors import DownloadError, InputError, MissingPackageError, UnknownModelError
from uniscreen.potentials import downloads, fetching, find_card, https
from uniscreen.potentials.fetching import fetch_weights
from uniscreen.potentials.receipts import Receipt
from uniscreen.potentials.weights import FOLDER_VARIABLE, as_fetched, cache_folder, locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from uniscreen.potentials import ModelCard

CONTENT = random.Random(0).randbytes(500_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "mace-mp-0-small"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(downloads, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(https, "STALL_TIMEOUT", 0.5)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def card(server: Server, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """A card without a checksum, as those of MACE, whose file is on the server."""
    card = replace(find_card(NAME), weights=f"{server.url}/weights")
    monkeypatch.setattr(fetching, "find_card", lambda name: card)
    return card


def left() -> set[str]:
    """What is in the cache, but locks."""
    return {path.name for path in cache_folder().glob("*") if path.suffix != ".lock"}


def test_a_file_is_fetched_recorded_and_found(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT)
    told: list[tuple[int, int | None]] = []
    fetched = fetch_weights(NAME, on_progress=lambda *progress: told.append(progress))
    assert fetched == (NAME, cache_folder() / NAME, False)
    assert fetched.path.read_bytes() == CONTENT
    assert left() == {NAME, f"{NAME}.json"}
    assert (told[0], told[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    receipt = Receipt.of(fetched.path)
    assert receipt is not None
    assert (receipt.url, receipt.size_bytes, receipt.sha256) == (card.weights, len(CONTENT), SHA256)
    assert as_fetched(card, locate(card)).sha256 == SHA256

    assert fetch_weights(NAME).was_there
    assert len(server.requests) == 1


def test_a_fetched_file_is_checked_ever_after(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT)
    path = fetch_weights(NAME).path
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(InputError, match=f"have sha256 .*, expected {SHA256}"):
        locate(card)
    assert locate(card, check=False) == path  # a list does not read the files
    assert not fetch_weights(NAME).was_there  # asked for again, it is mended
    assert path.read_bytes() == CONTENT


def test_a_file_that_was_published_anew_is_not_the_one_that_was_fetched_first(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT)
    fetch_weights(NAME).path.unlink()
    server.files["/weights"] = File(CONTENT[::-1])
    with pytest.raises(DownloadError, match=f"expected {SHA256}. Nothing was kept"):
        fetch_weights(NAME)
    assert left() == {f"{NAME}.json"}


def test_a_record_counts_only_in_the_cache(
    server: Server, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hands out a file can hand out a record beside it; that must not stand for the user's trust."""
    server.files["/weights"] = File(CONTENT)
    fetch_weights(NAME)
    elsewhere = shutil.copytree(cache_folder(), tmp_path / "elsewhere")
    monkeypatch.setenv(FOLDER_VARIABLE, str(elsewhere))
    assert locate(card) == elsewhere / NAME
    assert as_fetched(card, locate(card)).sha256 == ""


@pytest.mark.parametrize("chunked", [False, True])
def test_a_torn_download_is_continued(chunked: bool, server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT, tear_at=[200_000, 420_000], chunked=chunked)
    assert fetch_weights(NAME).path.read_bytes() == CONTENT
    first, second, third = server.ranges_asked()
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in (second, third) if asked]
    assert first is None
    assert 100_000 < starts[0] <= 200_000
    assert 300_000 < starts[1] <= 420_000


@pytest.mark.parametrize("changes", [{"ranges": False}, {"etag": None}, {"etag": 'W/"weak"'}], ids=str)
def test_a_torn_download_starts_clean_where_nothing_vouches_for_the_rest(
    changes: dict[str, object], server: Server, card: ModelCard
) -> None:
    server.files["/weights"] = File(CONTENT, tear_at=[200_000], **changes)  # type: ignore[arg-type]
    assert fetch_weights(NAME).path.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_what_one_command_left_the_next_continues(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT, tear_at=[100_000, 100_000, 100_000, 100_000])
    with pytest.raises(DownloadError, match=r"in 4 attempts; at last the connection broke") as caught:
        fetch_weights(NAME)
    assert all(text in str(caught.value) for text in (card.weights, str(cache_folder() / NAME), FOLDER_VARIABLE))
    assert left() == {f"{NAME}.part", f"{NAME}.part.json"}
    server.requests.clear()
    assert fetch_weights(NAME).path.read_bytes() == CONTENT
    assert server.ranges_asked() != [None]
    assert left() == {NAME, f"{NAME}.json"}


def test_a_file_that_changed_meanwhile_is_fetched_whole(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT[::-1], tear_at=[200_000] * 4)
    with pytest.raises(DownloadError):
        fetch_weights(NAME)
    server.files["/weights"] = File(CONTENT)
    assert fetch_weights(NAME).path.read_bytes() == CONTENT


def test_a_server_that_continues_another_file_is_found_out(
    server: Server, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ignores If-Range and gives the same tag to both; the checksum is known, so a clean start mends it."""
    known = replace(card, sha256=SHA256, size_bytes=len(CONTENT))
    monkeypatch.setattr(fetching, "find_card", lambda name: known)
    server.files["/weights"] = File(CONTENT[::-1], etag='"same"', tear_at=[200_000] * 4)
    with pytest.raises(DownloadError):
        fetch_weights(NAME)
    server.files["/weights"] = File(CONTENT, etag='"same"')
    assert fetch_weights(NAME).path.read_bytes() == CONTENT


def test_a_slow_server_may_take_its_time(server: Server, card: ModelCard) -> None:
    """Longer in all than the limit for a silent one."""
    server.files["/weights"] = File(CONTENT, pause=0.05, step=20_000)
    start = time.monotonic()
    assert fetch_weights(NAME).path.read_bytes() == CONTENT
    assert time.monotonic() - start > https.STALL_TIMEOUT
    assert len(server.requests) == 1


def test_a_server_that_falls_silent_is_left_and_asked_again(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT, stall_at=[300_000])
    assert fetch_weights(NAME).path.read_bytes() == CONTENT
    assert server.ranges_asked()[1]


def test_a_server_that_stays_silent_is_an_error(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT, stall_at=[0] * 4)
    with pytest.raises(DownloadError, match=r"no byte came for 0\.5 s"):
        fetch_weights(NAME)
    assert NAME not in left()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int, server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT, statuses=[status, status])
    assert fetch_weights(NAME).path.read_bytes() == CONTENT
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (None, "the server said 404 Not Found"),
        (File(CONTENT, statuses=[403]), "the server said 403 Forbidden"),
        (File(CONTENT, statuses=[503] * 4), "in 4 attempts; at last the server said 503"),
        (File(CONTENT, length=False), "sent without its length"),
        (File(CONTENT, headers={"Content-Encoding": "gzip"}), "is sent compressed"),
    ],
    ids=["missing", "forbidden", "busy", "no length", "compressed"],
)
def test_a_refusal_leaves_nothing(file: File | None, reason: str, server: Server, card: ModelCard) -> None:
    if file is not None:
        server.files["/weights"] = file
    with pytest.raises(DownloadError, match=reason):
        fetch_weights(NAME)
    assert left() == set()


@pytest.mark.parametrize(
    ("changes", "file", "reason"),
    [
        ({"size_bytes": 400_000}, File(CONTENT), "has 500000 bytes, expected 400000"),
        ({"size_bytes": 400_000}, File(CONTENT, chunked=True), "has 500000 bytes, expected 400000"),
        ({"sha256": "0" * 64}, File(CONTENT), f"has sha256 {SHA256} .*, expected 0000"),
        ({"sha256": SHA256}, File(CONTENT, length=False, tear_at=[300_000]), f"expected {SHA256}"),
    ],
    ids=["size", "size, chunked", "checksum", "torn, without a length"],
)
def test_what_is_not_as_the_card_says_is_not_kept(
    changes: dict[str, object],
    file: File,
    reason: str,
    server: Server,
    card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "find_card", lambda name: replace(card, **changes))  # type: ignore[arg-type]
    server.files["/weights"] = file
    with pytest.raises(DownloadError, match=reason):
        fetch_weights(NAME)
    assert left() == set()


def test_a_redirect_within_the_rules_is_followed(server: Server, card: ModelCard) -> None:
    server.files["/elsewhere"] = File(CONTENT)
    server.redirects["/weights"] = "/elsewhere"
    assert fetch_weights(NAME).path.read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["http://192.0.2.1/weights", "http://127.0.0.1.example.org/weights"])
def test_a_redirect_into_the_clear_is_refused(target: str, server: Server, card: ModelCard) -> None:
    server.redirects["/weights"] = target
    with pytest.raises(DownloadError, match=rf"{target} is not fetched: weights come over HTTPS only"):
        fetch_weights(NAME)


@pytest.mark.parametrize("url", ["http://192.0.2.1/weights", "http://localhost.example.org/weights"])
def test_an_address_in_the_clear_is_refused(url: str, card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "find_card", lambda name: replace(card, weights=url))
    with pytest.raises(DownloadError, match="weights come over HTTPS only"):
        fetch_weights(NAME)


def test_https_may_not_lead_to_plain_http_even_on_this_machine(server: Server) -> None:
    with https.secure_session("https://example.org/weights") as session:
        request = requests.Request("GET", f"{server.url}/weights").prepare()
        with pytest.raises(DownloadError, match="HTTPS only"):
            session.send(request)
    assert server.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate with")
def test_https_needs_a_certificate_that_is_trusted(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "server.pem"
    options = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run(["openssl", "req", "-x509", *options, "-keyout", pem, "-out", tmp_path / "c"], check=True)
    pem.write_bytes(pem.read_bytes() + (tmp_path / "c").read_bytes())
    with serving(pem) as server:
        monkeypatch.setattr(fetching, "find_card", lambda name: replace(card, weights=f"{server.url}/weights"))
        server.files["/weights"] = File(CONTENT)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        with pytest.raises(DownloadError, match="the server's certificate is not accepted: self-signed certificate"):
            fetch_weights(NAME)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "c"))
        assert fetch_weights(NAME).path.read_bytes() == CONTENT


def test_a_missing_network_is_an_error_at_once(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    url = "https://weights.example.org/a.model"
    monkeypatch.setattr(fetching, "find_card", lambda name: replace(card, weights=url))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(DownloadError) as caught:
        fetch_weights(NAME)
    message = str(caught.value)
    assert message.startswith(f"{url} cannot be reached: Failed to resolve 'weights.example.org'")
    assert message.endswith(
        f"put them at {cache_folder() / NAME}, or as {NAME} in a folder that {FOLDER_VARIABLE} names."
    )


def test_a_closed_port_is_said_in_words(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/weights"
        monkeypatch.setattr(fetching, "find_card", lambda name: replace(card, weights=url))
        with pytest.raises(
            DownloadError, match=rf"^{url} cannot be reached: .*Connection refused\. Or get the weights"
        ):
            fetch_weights(NAME)


def test_a_cache_that_cannot_be_written_is_said(card: ModelCard, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"cannot be written: .*Not a directory|File exists"):
        fetch_weights(NAME)


def test_what_comes_otherwise_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch_weights("chgnet").was_there
    with pytest.raises(InputError, match=r"m3gnet-mp-2021\.2\.8 are not on this machine\. Get them from"):
        fetch_weights("m3gnet")
    with pytest.raises(UnknownModelError, match="Did you mean 'chgnet'"):
        fetch_weights("chgnett")
    absent = replace(find_card("chgnet"), weights="package:nowhere/weights")
    monkeypatch.setattr(fetching, "find_card", lambda name: absent)
    with pytest.raises(MissingPackageError, match="pip install nowhere"):
        fetch_weights("chgnet")


def test_a_broken_record_is_an_error_that_says_what_to_do(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT)
    path = fetch_weights(NAME).path
    path.with_name(f"{NAME}.json").write_text("{}")
    with pytest.raises(InputError, match=r"json cannot be read: .* Remove it and fetch the weights again"):
        locate(card)


FETCH = f"""
import sys
from dataclasses import replace
from uniscreen.potentials import fetching, find_card
card = replace(find_card({NAME!r}), weights=sys.argv[1])
fetching.find_card = lambda name: card
print(fetching.fetch_weights({NAME!r}, on_wait=lambda: print("waiting", flush=True)).was_there)
"""


@pytest.fixture
def start(server: Server) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a process that fetches the weights; it is ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FETCH, f"{server.url}/weights"]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_two_processes_fetch_once(server: Server, start: Callable[[], subprocess.Popen[str]]) -> None:
    server.files["/weights"] = File(CONTENT, pause=0.05, step=10_000)
    outputs = [process.communicate() for process in (start(), start())]
    assert sorted(out.split()[-1] for out, _ in outputs) == ["False", "True"], outputs
    assert any("waiting" in out for out, _ in outputs)
    assert len(server.requests) == 1
    assert (cache_folder() / NAME).read_bytes() == CONTENT


def test_a_process_that_is_killed_leaves_what_the_next_continues(
    server: Server, card: ModelCard, start: Callable[[], subprocess.Popen[str]]
) -> None:
    server.files["/weights"] = File(CONTENT, pause=0.05, step=10_000)
    process = start()
    partial = cache_folder() / f"{NAME}.part"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > 100_000):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (cache_folder() / NAME).exists()
    server.files["/weights"].pause = 0.0
    assert fetch_weights(NAME).path.read_bytes() == CONTENT  # the lock went with the process
    assert server.ranges_asked()[-1] is not None
    assert left() == {NAME, f"{NAME}.json"}


def test_the_record_is_plain_json(server: Server, card: ModelCard) -> None:
    server.files["/weights"] = File(CONTENT)
    record = json.loads(fetch_weights(NAME).path.with_name(f"{NAME}.json").read_text())
    assert set(record) == {"url", "size_bytes", "sha256", "fetched"}
