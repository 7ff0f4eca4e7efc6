"""Read labelled structures from what the user has: extxyz, VASP output, an ASE database, JSON, or a folder of these."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from uniscreen.errors import InputError, InvalidStructureError, StructureError
from uniscreen.structures.formats import without_gz
from uniscreen.structures.guard import reading
from uniscreen.structures.input_file import input_bytes
from uniscreen.structures.labels.database import read_database
from uniscreen.structures.labels.extxyz import read_extxyz
from uniscreen.structures.labels.labelled import LabelConventions, LabelledStructure
from uniscreen.structures.labels.pymatgen_json import read_json
from uniscreen.structures.labels.vasp import read_outcar, read_vasprun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uniscreen.structures.labels.labelled import RawFrame

    Reader = Callable[[Path, bytes, LabelConventions], Iterator[RawFrame | str]]

SECONDS = 600.0
"""Most time for one file; a trajectory of thousands of steps takes minutes."""

MANIFEST = "manifest.json"
OURS = ("part-*.jsonl", "model.json")
"""With one of these beside it MANIFEST tells a folder that a labelling or screening, or a training, has written."""

KINDS = (
    "frames (.extxyz, .xyz), vasprun*.xml, OUTCAR*, an ASE database (.db), pymatgen JSON (.json), each also .gz but "
    "the database, or a folder of them"
)


class LabelledFile(NamedTuple):
    """A file: the places of its structures, and the conventions in which its first frame was read."""

    name: str
    places: range
    conventions: LabelConventions


@dataclass(frozen=True)
class LabelledData:
    """Labelled structures in the order of the file, and what was left out and why.

    ``conventions`` are those in which the first frame was read; ``sha256`` is of the input; ``files`` are those that
    have structures. ``absent`` are the names that were given for stresses or groups and that no frame has.
    """

    structures: tuple[LabelledStructure, ...]
    left_out: tuple[str, ...]
    conventions: LabelConventions
    sha256: str
    name: str
    absent: tuple[str, ...] = ()
    files: tuple[LabelledFile, ...] = ()

    def require_named(self) -> None:
        """Raise an InputError if a name that was given for a label is that of nothing in any frame."""
        if self.absent:
            raise InputError(
                f"{self.name}: no frame has {' or '.join(self.absent)}, which was given as the name of a label. Leave "
                "it out for the usual names, or give another."
            )


def read_labelled(path: Path, conventions: LabelConventions | None = None) -> LabelledData:
    """Read labelled structures, in our units.

    Of a folder, every file of a known kind in it and below is read; frames without a group then take the file's path
    for theirs. Where a vasprun.xml lies beside an OUTCAR, the OUTCAR is not read. VASP's output that cannot be read, as
    of a run that died, is left out of a folder.

    Raises:
        InputError: there is nothing to read, or a frame is malformed or lacks a label; the frame is named, and how many
            others are wrong too.
    """
    path = Path(path)
    given = conventions or LabelConventions()
    if not path.exists():
        raise InputError(f"{path} does not exist; expected {KINDS}.")
    files = _files(path) if path.is_dir() else [path]
    digest = hashlib.sha256()
    structures: list[LabelledStructure] = []
    grouped = False
    left_out: list[str] = []
    read_files: list[LabelledFile] = []
    for file in files:
        raw, data = input_bytes(file, KINDS)
        digest.update(hashlib.sha256(raw).digest())
        try:
            found, skipped, used = _read(file, data, given)
        except InputError as error:
            if not path.is_dir() or _reader(file.name) not in {read_vasprun, read_outcar}:
                raise
            left_out.append(str(error).removeprefix(f"{path}/"))
            continue
        grouped = grouped or any(one.group is not None for one in found)
        name = file.name
        if path.is_dir():
            name = str(file.relative_to(path))
            found, skipped = _of_folder(name, found, skipped)
        if found:
            read_files.append(LabelledFile(name, range(len(structures), len(structures) + len(found)), used))
        structures += found
        left_out += skipped
    if not structures:
        reason = f" Left out: {left_out[0]}" if left_out else ""
        raise InputError(f"{path} holds no labelled structure.{reason}")
    there = {given.stress_key: any(one.stress is not None for one in structures), given.group_key: grouped}
    absent = tuple(name for name, found in there.items() if name is not None and not found)
    return LabelledData(
        structures=tuple(structures),
        left_out=tuple(left_out),
        conventions=read_files[0].conventions,
        sha256=digest.hexdigest(),
        name=path.name,
        absent=absent,
        files=tuple(read_files),
    )


def _of_folder(
    name: str, found: list[LabelledStructure], skipped: list[str]
) -> tuple[list[LabelledStructure], list[str]]:
    """What a file of a folder gave, in words that tell it from the other files; its frames are a group if none says."""
    frames = [replace(one, group=one.group or name, place=f"{name}, {one.place}") for one in found]
    reasons = [f"{name}, {reason}" for reason in skipped]
    return frames, reasons if frames or reasons else [f"{name} holds no labelled structure"]


def _read(
    path: Path, data: bytes, given: LabelConventions
) -> tuple[list[LabelledStructure], list[str], LabelConventions]:
    """Return the structures of one file, why others were left out, and its conventions.

    The first frame that is wrong is an error.
    """
    reader = _reader(path.name)
    if reader is None:
        raise InputError(f"{path}: unknown kind of input; expected {KINDS}.")
    structures, left_out, wrong, used = [], [], [], given
    try:
        with reading(str(path), SECONDS):
            for frame in reader(path, data, given):
                if isinstance(frame, str):
                    left_out.append(frame)
                    continue
                used = frame.conventions(given)
                try:
                    structures.append(frame.checked(given))
                except InvalidStructureError as error:
                    wrong.append(f"{frame.place} {error}")
    except StructureError as error:
        raise InputError(str(error)) from error
    if wrong:
        total = len(structures) + len(wrong)
        others = f" {len(wrong)} of {total} frames are wrong." if len(wrong) > 1 else ""
        raise InputError(f"{path}: {wrong[0]}{others}")
    return structures, left_out, used


def holds_labels(path: Path) -> bool:
    """Whether a path is read as labelled structures, by its name; a folder always is."""
    return path.is_dir() or _reader(path.name) is not None


def _reader(name: str) -> Reader | None:
    """The reader of a file of this name: contents are never sniffed."""
    base = Path(without_gz(name)).name
    suffix = Path(base).suffix.lower()
    if base.startswith("vasprun") and suffix == ".xml":
        return read_vasprun
    if base.startswith("OUTCAR"):
        return read_outcar
    return {".extxyz": read_extxyz, ".xyz": read_extxyz, ".json": read_json, ".db": read_database}.get(suffix)


def _files(folder: Path) -> list[Path]:
    """The files of a known kind in a folder and below, sorted; one of VASP's two a folder.

    What this program has left in folders of its own, below the one that is read, is passed over.
    """
    marked = {file.parent for name in OURS for file in folder.rglob(name)} - {folder}
    ours = {below for below in marked if (below / MANIFEST).is_file()}
    found = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and _reader(file.name) is not None and ours.isdisjoint(file.parents)
    )
    with_vasprun = {file.parent for file in found if file.name.startswith("vasprun")}
    chosen = [file for file in found if not (file.name.startswith("OUTCAR") and file.parent in with_vasprun)]
    if not chosen:
        raise InputError(f"the folder {folder} holds no labelled structures; expected {KINDS}.")
    return chosen
