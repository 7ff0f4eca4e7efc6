"""How requests are sent: at a limited rate, again where one failed in passing, and with the key to nobody else."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from importlib.metadata import version
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectTimeout,
    ContentDecodingError,
    ProxyError,
    ReadTimeout,
    SSLError,
)
from requests.exceptions import ConnectionError as ConnectionFailure
from urllib3.exceptions import NewConnectionError

from uniscreen.errors import MaterialsProjectError
from uniscreen.thermodynamics.materials_project.access import WHERE_KEYS_ARE

if TYPE_CHECKING:
    from uniscreen.thermodynamics.materials_project.access import Access

INTERVAL = 0.2
"""Seconds from one request to the next, at least; the Materials Project asks for at most 25 requests a second."""

TIMEOUTS = (8.0, 120.0)
"""Seconds to connect, and without any data afterwards."""

ATTEMPTS = 6
BACKOFF = 1.0
"""Seconds before the second attempt; twice as long before each further one."""

LONGEST_WAIT = 300.0
"""Seconds. Where the server asks for a longer pause than this, it is left to the user to come back."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP status codes after which the same request may succeed."""

LOST = (ConnectionFailure, ChunkedEncodingError, ContentDecodingError, ReadTimeout)
"""What requests raises where the network fails; a timeout to connect is a ConnectionError too."""


def open_session(access: Access) -> requests.Session:
    """Open a session that shows the key to the endpoint of ``access``."""
    session = requests.Session()
    session.headers.update({"x-api-key": access.key, "user-agent": f"uniscreen mp-api/{version('mp-api')}"})
    adapter = PatientAdapter(access)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def wait_before(attempt: int) -> None:
    """Pause before an attempt, counted from 0; there is none before the first."""
    if attempt:
        sleep(BACKOFF * 2 ** (attempt - 1))


class PatientAdapter(HTTPAdapter):
    """Sends each request until it is answered, for as long as that is reasonable.

    It repeats after a reset, a torn answer, or a status that passes (with the pause that the server asks for), and
    gives up at once where the server cannot be reached at all or refuses the key.
    """

    def __init__(self, access: Access) -> None:
        super().__init__(max_retries=0)
        self._access = access
        self._reached = False
        self._next_turn = 0.0

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Send a request and read all of its answer; see ``HTTPAdapter.send``.

        Raises:
            MaterialsProjectError: there is no answer, or it is that the key is not accepted.

        """
        if not str(request.url).startswith(self._access.endpoint):
            request.headers.pop("x-api-key", None)  # a redirect may lead elsewhere
        problem, pause = "", 0.0
        for attempt in range(ATTEMPTS):
            sleep(pause)
            self._take_turn()
            pause = BACKOFF * 2**attempt
            try:
                response = super().send(request, **{**options, "stream": False, "timeout": TIMEOUTS})
                len(response.content)  # a torn answer fails here, while it can still be asked for again
            except LOST as error:
                if _is_hopeless(error) and not self._reached:
                    raise MaterialsProjectError(_unreachable(self._access.host, error)) from None
                problem = f"lost the connection ({type(error).__name__})"
                continue
            self._reached = True
            if response.status_code in (401, 403):
                raise MaterialsProjectError(_refused(self._access.host, response.status_code))
            if response.status_code not in PASSING:
                return response
            problem = f"answered with HTTP status {response.status_code}"
            pause = max(pause, _asked_pause(response))
            if pause > LONGEST_WAIT:
                problem += f" and asked for a pause of {pause:.0f} s"
                break
        raise MaterialsProjectError(
            f"The Materials Project at {self._access.host} {problem}, {attempt + 1} times in a row. What was fetched "
            "until then is kept; the same command continues from there. Its state: https://status.materialsproject.org"
        )

    def _take_turn(self) -> None:
        now = monotonic()
        sleep(max(0.0, self._next_turn - now))
        self._next_turn = max(now, self._next_turn) + INTERVAL


def _is_hopeless(error: Exception) -> bool:
    """Whether no connection came about, rather than one that broke."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, ConnectTimeout | ProxyError | SSLError) or isinstance(cause, NewConnectionError)


def _unreachable(host: str, error: Exception) -> str:
    kind = "no answer in time" if isinstance(error, ConnectTimeout) else type(error).__name__
    return (
        f"The Materials Project at {host} cannot be reached ({kind}). Check the network and the proxy settings. For a "
        "machine without network, fetch the references on another: uniscreen references mp Li-Co-O -o refs.json.gz"
    )


def _refused(host: str, status: int) -> str:
    return f"The Materials Project at {host} refuses the key (HTTP status {status}). {WHERE_KEYS_ARE}"


def _asked_pause(response: requests.Response) -> float:
    """Seconds that the server asks to wait (RFC 9110, Retry-After): a number, or a date."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time())
    except ValueError:
        return 0.0
