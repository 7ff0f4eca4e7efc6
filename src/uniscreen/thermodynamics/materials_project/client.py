"""One version of the Materials Project's database, asked through mp-api."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from uniscreen.errors import MaterialsProjectError, MissingPackageError, UniscreenError
from uniscreen.thermodynamics.materials_project.access import Access
from uniscreen.thermodynamics.materials_project.cache import DocumentCache, cache_folder

if TYPE_CHECKING:
    import requests

PAGE = 500
"""Documents in one answer; with their structures that is some megabytes."""


@dataclass(frozen=True)
class MaterialsProject:
    """The database of one version.

    The client's ``search`` methods are used with an explicit thermo type and never without criteria, for then newer
    clients read whole tables from open-data buckets instead of asking the API.
    """

    access: Access
    session: requests.Session
    version: str

    @classmethod
    def connect(cls, endpoint: str | None = None) -> MaterialsProject:
        """Find the user's key and ask the server for the version of its database.

        Raises:
            MissingPackageError: mp-api is not installed.
            MaterialsProjectError: there is no key, or the server cannot be reached or is not the Materials Project's.

        """
        from importlib.util import find_spec

        if find_spec("mp_api") is None:
            raise MissingPackageError(
                "The Materials Project is asked through its own client. Install it: pip install 'mp-api>=0.46.5'"
            )
        from uniscreen.thermodynamics.materials_project.transport import open_session

        access = Access.find(endpoint)
        session = open_session(access)
        return cls(access, session, _database_version(session, access))

    def cache(self, thermo_type: str) -> DocumentCache:
        """Where answers about one thermo type are kept."""
        return DocumentCache(cache_folder(self.access.host) / self.version / thermo_type)

    def thermo_documents(self, fields: list[str], thermo_type: str, **criteria: Any) -> list[dict[str, Any]]:
        """Energies of materials, one document each, of one thermo type.

        Raises:
            MaterialsProjectError: see ``_search``.

        """
        fields = ["material_id", "thermo_type", *fields]
        documents = self._search("thermo", fields, thermo_types=[thermo_type], **criteria)
        found = {str(document.get("thermo_type")).upper() for document in documents}
        if found - {thermo_type.upper()}:  # the client itself spells it R2SCAN or r2SCAN
            raise MaterialsProjectError(
                f"The Materials Project was asked for energies of thermo type {thermo_type} and also gave "
                f"{', '.join(sorted(found - {thermo_type.upper()}))}, which cannot be compared with them."
            )
        return documents

    def summary_documents(self, fields: list[str], **criteria: Any) -> list[dict[str, Any]]:
        """Materials that are not deprecated, one document each.

        Raises:
            MaterialsProjectError: see ``_search``.

        """
        return self._search("summary", ["material_id", *fields], deprecated=False, **criteria)

    def _search(self, route: str, fields: list[str], **criteria: Any) -> list[dict[str, Any]]:
        """Ask for documents, each once, as plain dicts: no class that an answer names is ever built.

        Raises:
            MaterialsProjectError: the server cannot be reached, refuses, or answers with something else; or its
                database was replaced by a newer one meanwhile.

        """
        from mp_api.client.core.exceptions import MPRestError

        try:
            rester = getattr(self._client.materials, route)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = rester.search(fields=fields, all_fields=False, chunk_size=PAGE, **criteria)
            documents = {str(document["material_id"]): dict(document) for document in found}
        except UniscreenError:
            raise
        except (MPRestError, KeyError, TypeError, ValueError) as error:
            raise MaterialsProjectError(self._describe(route, error)) from None
        if (now := _database_version(self.session, self.access)) != self.version:
            raise MaterialsProjectError(
                f"The Materials Project's database changed from version {self.version} to {now} meanwhile. Their "
                "energies are not mixed; the same command begins with the new version."
            )
        return list(documents.values())

    def _describe(self, route: str, error: Exception) -> str:
        text = " ".join(self.access.redact(str(error)).split())
        return f"The Materials Project's {route} search failed: {type(error).__name__}: {text[:300]}"

    @cached_property
    def _client(self) -> Any:
        """The client: mp-api's own, over the session that limits and repeats its requests.

        It first asks for the version by itself and once only, so that is repeated here.
        """
        from requests import RequestException

        from uniscreen.thermodynamics.materials_project import transport

        problem: Exception | None = None
        for attempt in range(transport.ATTEMPTS):
            transport.wait_before(attempt)
            try:
                return self._new_client()
            except (RequestException, KeyError, ValueError) as error:
                problem = error
        assert problem is not None
        raise MaterialsProjectError(self._describe("version", problem))

    def _new_client(self) -> Any:
        from mp_api.client import MPRester

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return MPRester(
                api_key=self.access.key,
                endpoint=self.access.endpoint,
                session=self.session,
                use_document_model=False,
                mute_progress_bars=True,
            )


def _database_version(session: requests.Session, access: Access) -> str:
    """Ask for the version of the database, e.g. 2026.04.13."""
    response = session.get(f"{access.endpoint}heartbeat", allow_redirects=False)
    try:
        version = response.json()["db_version"]
    except (KeyError, TypeError, ValueError):
        version = None
    if response.status_code != 200 or not isinstance(version, str) or not re.fullmatch(r"\w[\w.+-]{0,63}", version):
        raise MaterialsProjectError(
            f"What answers at {access.host} is not the Materials Project (HTTP status {response.status_code}, no "
            "database version). Is a proxy or a login page in the way, or MP_API_ENDPOINT wrong?"
        )
    return version
