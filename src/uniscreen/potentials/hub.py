"""matgl's models on the Hugging Face hub: fetched at one commit, and loaded from there ever after, with no network."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from uniscreen.durable import making, sha256_of, write_json
from uniscreen.errors import DownloadError, InputError, MissingPackageError, UnknownModelError
from uniscreen.potentials.cards import ModelCard
from uniscreen.potentials.downloads import Received, Resource, download
from uniscreen.potentials.https import get_json
from uniscreen.potentials.matgl_description import DESCRIPTION_FILE, STATE_FILE, read_description
from uniscreen.potentials.weights import cache_folder, folders, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from uniscreen.potentials.cards import Functional
    from uniscreen.potentials.downloads import OnProgress

SCHEME = "matgl:"
ORGANISATION = "materialyze"
"""Where matgl looks for a model that is named without its owner."""

_NAME = re.compile(rf"{SCHEME}(?P<name>[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[A-Za-z0-9][\w.-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORTEST_COMMIT = 7

_FUNCTIONALS: Mapping[str, Functional] = {"MatPES-PBE": "PBE-noU", "MatPES-r2SCAN": "r2SCAN"}
"""By how the name of the data set begins, as model.json gives it. MatPES has no Hubbard U (Kaplan et al. 2025)."""

_ARCHITECTURES = {"M3GNet": "M3GNet (matgl 3)", "TensorNet": "TensorNet"}
_CITATIONS = {
    "M3GNet": "Chen and Ong, Nat. Comput. Sci. 2, 718 (2022), doi:10.1038/s43588-022-00349-3",
    "TensorNet": "Simeon and De Fabritiis, NeurIPS (2023), arXiv:2306.06482",
}


class HubName(NamedTuple):
    """A model on the hub and the branch, tag or commit that is asked for."""

    name: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Read ``matgl:NAME[@REVISION]``; the revision is ``main`` unless given."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise InputError(f"{text!r} is not the name of a model on the hub, expected {SCHEME}NAME[@REVISION].")
        return cls(match["name"], match["revision"] or "main")

    @property
    def repository(self) -> str:
        """Its repository on the hub."""
        return f"{ORGANISATION}/{self.name}"

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + ("" if self.revision == "main" else f"@{self.revision}")


@dataclass(frozen=True)
class Snapshot:
    """The files of a repository at one commit, with their sizes and checksums; ``revision`` is what was asked for."""

    repository: str
    revision: str
    commit: str
    licence: str
    fetched: str
    files: dict[str, Received]

    @classmethod
    def read(cls, pin: Path) -> Snapshot:
        """Read the record that was written when the snapshot was complete."""
        try:
            fields = json.loads(pin.read_text(encoding="utf-8"))
            return cls(**fields | {"files": {name: Received(*facts) for name, facts in fields["files"].items()}})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{pin} cannot be read: {error}. Remove it and fetch the model again.") from error


def hub_model(name: str) -> tuple[ModelCard, Path]:
    """The card of a fetched model, as far as its own files tell, and the folder that holds it.

    Raises:
        InputError: it is not on this machine, or its files are not those that were fetched.
    """
    wanted = HubName.parse(name)
    found = _find(wanted)
    if not found:
        near = difflib.get_close_matches(wanted.name, _fetched_names(), n=1)
        hint = f" Did you mean {SCHEME + near[0]!r}, which is here?" if near else ""
        raise InputError(
            f"{wanted} is not on this machine.{hint} Get it: uniscreen models fetch {wanted} (uniscreen models hub "
            f"lists what there is). Or fetch it on another machine and put its folder {places(_home(wanted))}."
        )
    snapshot, folder = _whole(found) or found[0]
    _verify(snapshot, folder)
    return _card(snapshot, folder), folder


def fetched_cards() -> list[ModelCard]:
    """The cards of the models that have been fetched; their weights are not read."""
    return [_card(*found) for name in _fetched_names() for found in _snapshots(name)]


def _card(snapshot: Snapshot, folder: Path) -> ModelCard:
    description = read_description(folder)
    state = snapshot.files[STATE_FILE]
    return ModelCard(
        name=f"{SCHEME}{folder.parent.name}@{snapshot.commit[:12]}",
        aliases=(),
        architecture=_ARCHITECTURES[description.network],
        weights=f"https://huggingface.co/{snapshot.repository}, commit {snapshot.commit}",
        weights_file=STATE_FILE,
        size_bytes=state.size_bytes,
        sha256=state.sha256,
        licence=snapshot.licence,
        citation=f"{_CITATIONS[description.network]}; trained on {description.dataset or 'data that it does not name'}",
        functional=_functional(description.dataset),
        energy_convention="raw",
        forces="conservative",
        dtype="float32",
        cutoff=description.cutoff,
        magnetic_moments=False,
        elements=frozenset(description.elements),
    )


def fetch_snapshot(name: str, *, on_progress: OnProgress, on_wait: Callable[[], None]) -> tuple[Path, bool]:
    """Fetch a model, unless it is there: its folder, and whether it was there.

    The first fetch pins the revision to the commit that it stands for then; later ones give the same files.

    Raises:
        UnknownModelError: the hub has no such model or revision.
        DownloadError: it cannot be fetched, or is not what the hub announced.
        InputError: it is not a model that can be run.
    """
    wanted = HubName.parse(name)
    pin = _home(wanted) / f"{wanted.revision}.json"
    try:
        with making(pin.parent, on_wait):
            found = _find(wanted)
            if whole := _whole(found):
                return whole[1], True
            return _fetch(wanted, pin, found[0][0] if found else None, on_progress), False
    except DownloadError as error:
        raise DownloadError(
            f"{error} Or fetch {wanted} on another machine and put its folder {places(pin.parent)}."
        ) from error
    except OSError as error:
        raise DownloadError(f"{pin.parent} cannot be written: {error}.") from error


def is_here(name: str) -> bool:
    """Whether a model of the hub has been fetched; its files are not read."""
    return bool(_find(HubName.parse(name)))


def hub_names() -> list[str]:
    """The models of the hub as matgl lists them, without ``matgl:``.

    Raises:
        MissingPackageError: matgl is not installed.
        DownloadError: there is no network.
    """
    if find_spec("matgl") is None:
        raise MissingPackageError("Models of the hub need the package matgl. Install it: pip install matgl")
    get_json(f"{_endpoint()}/api/models?author={ORGANISATION}&limit=1")  # matgl would try for half a minute
    from matgl import get_available_pretrained_models

    names: list[str] = get_available_pretrained_models()
    if not names:
        raise DownloadError(f"matgl lists no models of {ORGANISATION} on {_endpoint()}.")
    return names


def _fetch(wanted: HubName, pin: Path, pinned: Snapshot | None, on_progress: OnProgress) -> Path:
    """Fetch the description first: what cannot be run is refused before its weights are fetched.

    Of a snapshot that was ``pinned`` and is damaged, the same files are fetched again.
    """
    commit, licence, announced = _announced(wanted.repository, pinned.commit if pinned else wanted.revision)
    folder = pin.parent / commit
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for file in (DESCRIPTION_FILE, STATE_FILE):
        url = f"{_endpoint()}/{wanted.repository}/resolve/{commit}/{file}"
        resource = Resource(url, *pinned.files[file]) if pinned else replace(announced[file], url=url)
        files[file] = download(resource, folder / file, on_progress=on_progress)
        read_description(folder)
    fetched = datetime.now(UTC).isoformat(timespec="seconds")
    snapshot = Snapshot(wanted.repository, wanted.revision, commit, licence, fetched, files)
    write_json(pin, asdict(snapshot))
    return folder


def _announced(repository: str, revision: str) -> tuple[str, str, dict[str, Resource]]:
    """What the hub says about a model: its commit, its licence, and sizes and checksums of its files."""
    status, answer = get_json(f"{_endpoint()}/api/models/{repository}/revision/{revision}?blobs=true")
    if status in (401, 403, 404):  # to a stranger, the hub does not tell a missing repository from a private one
        raise UnknownModelError(f"{_endpoint()} has no {repository} with a revision {revision}.{_nearest(repository)}")
    try:
        files = {entry["rfilename"]: _resource(entry) for entry in answer["siblings"]}
        commit, licence = str(answer["sha"]), (answer.get("cardData") or {}).get("license")
    except (TypeError, KeyError, AttributeError) as error:
        raise DownloadError(f"{_endpoint()} did not describe {repository} (status {status}).") from error
    if not _COMMIT.fullmatch(commit):
        raise DownloadError(f"{_endpoint()} names {commit!r} as the commit of {repository}.")
    missing = {DESCRIPTION_FILE, STATE_FILE} - files.keys()
    if missing:
        raise InputError(f"{repository} holds no {' and no '.join(sorted(missing))}: it is not a model of matgl.")
    return commit, str(licence or "not stated by its repository"), files


def _resource(entry: Mapping[str, Any]) -> Resource:
    """Size and, for a large file, checksum as the hub announces them."""
    large = entry.get("lfs") or {}
    return Resource("", int(large.get("size") or entry.get("size") or 0), str(large.get("sha256") or ""))


def _nearest(repository: str) -> str:
    """A hint at the name that may be meant, if matgl can be asked."""
    try:
        names = hub_names()
    except InputError:
        return ""
    near = difflib.get_close_matches(repository.partition("/")[2], names, n=1)
    return f" Did you mean {SCHEME + near[0]!r}?" if near else " See: uniscreen models hub"


def _find(wanted: HubName) -> list[tuple[Snapshot, Path]]:
    """The snapshot for a revision, or for a commit by how it begins; and its folder, of which there may be copies."""
    found = []
    for snapshot, folder in _snapshots(wanted.name):
        by_commit = len(wanted.revision) >= _SHORTEST_COMMIT and snapshot.commit.startswith(wanted.revision)
        if snapshot.revision == wanted.revision or by_commit:
            found.append((snapshot, folder))
    return [one for one in found if one[0].commit == found[0][0].commit]


def _whole(copies: Sequence[tuple[Snapshot, Path]]) -> tuple[Snapshot, Path] | None:
    """The first copy that is as it was fetched."""
    return next((copy for copy in copies if _is_whole(*copy)), None)


def _snapshots(name: str) -> Iterator[tuple[Snapshot, Path]]:
    for folder in folders():
        for pin in sorted((folder / "matgl" / name).glob("*.json")):
            snapshot = Snapshot.read(pin)
            yield snapshot, pin.parent / snapshot.commit


def _verify(snapshot: Snapshot, folder: Path) -> None:
    for name, expected in snapshot.files.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected.sha256:
            raise InputError(
                f"{path} is not the file that was fetched from {snapshot.repository}: expected sha256 "
                f"{expected.sha256}. Fetch the model again."
            )


def _is_whole(snapshot: Snapshot, folder: Path) -> bool:
    try:
        _verify(snapshot, folder)
    except InputError:
        return False
    return True


def _fetched_names() -> list[str]:
    return sorted({pin.parent.name for folder in folders() for pin in (folder / "matgl").glob("*/*.json")})


def _home(wanted: HubName) -> Path:
    return cache_folder() / "matgl" / wanted.name


def _functional(dataset: str) -> Functional:
    return next((value for prefix, value in _FUNCTIONALS.items() if dataset.startswith(prefix)), "unknown")


def _endpoint() -> str:
    """The hub's address, as huggingface_hub takes it from the environment."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise DownloadError("The hub cannot be asked: HF_HUB_OFFLINE is set.")
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
