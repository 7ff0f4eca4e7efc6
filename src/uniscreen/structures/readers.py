"""Read the candidates of a screen from what the user has: a table, a folder, entries, frames, or objects."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from uniscreen.errors import InputError
from uniscreen.structures.candidate import Candidates, CandidateTable, ReadLimits
from uniscreen.structures.entries import read_entries, read_frames
from uniscreen.structures.formats import ACCEPTED, structure_format, without_gz
from uniscreen.structures.guard import shorten
from uniscreen.structures.input_file import opened_input
from uniscreen.structures.rows import Rows, check_ids, storable
from uniscreen.structures.sources import ArraySource, FileSource, TextSource
from uniscreen.structures.spool import SpooledTexts
from uniscreen.structures.tables import read_csv, read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.structures.candidate import StructureSource

log = logging.getLogger(__name__)

READERS: dict[str, Callable[[Path, IO[bytes]], Rows]] = {
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".json": read_entries,
    ".extxyz": read_frames,
    ".xyz": read_frames,
}
KINDS = "a table (.csv, .parquet), entries (.json), frames (.extxyz, .xyz), each also with .gz, or a folder"


def read_candidates(path: Path, limit: int | None = None) -> CandidateTable:
    """Read the candidates of a screen, without reading any structure yet.

    ``path`` is one of

    - a CSV or Parquet table with an ``id`` (or ``material_id``, ``candidate_id``) and exactly one of
      ``structure`` (a file's path, relative to the table's folder), ``cif`` or ``poscar`` (inline text), or
      none and ids of the Materials Project, whose structures are then to be fetched (`IdSource`);
      all other columns are carried through;
    - a folder of structure files (not its sub-folders), whose ids are the file names without their suffix; how many
      files of other names it holds is logged;
    - a multi-frame extxyz, whose scalar values are carried through;
    - a JSON list of pymatgen ComputedStructureEntry or Structure dicts, whose scalar values are likewise.

    Only the first ``limit`` candidates are kept; ids are checked, and the digest is taken, over all of them.

    Raises:
        InputError: there is no such input, it is of an unknown kind or malformed, or an id is missing or not
            unique.

    """
    path = Path(path)
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; expected at least 1 candidate.")
    if not path.exists():
        raise InputError(f"{path} does not exist; expected {KINDS}.")
    if path.is_dir():
        rows, digest = _read_folder(path), hashlib.sha256(b"folder")
    else:
        rows, digest = _read_file(path)
    check_ids(str(path), rows.ids, rows.places)
    return _table(rows, digest, path.name or path.resolve().name, limit)


def candidates_from_structures(
    structures: Sequence[Atoms | Structure], ids: Sequence[str] | None = None
) -> CandidateTable:
    """Return candidates for structures in memory, which are copied.

    Where no ids are given they are ``structure-0``, ``structure-1`` ...

    Raises:
        InputError: there are none, one is neither ASE Atoms nor a pymatgen Structure, or the ids do not fit.

    """
    import pandas as pd

    names = [f"structure-{k}" for k in range(len(structures))] if ids is None else [str(given) for given in ids]
    if len(names) != len(structures):
        raise InputError(f"{len(names)} ids for {len(structures)} structures; expected one for each.")
    places = [f"structure {k}" for k in range(len(structures))]
    check_ids("structures", names, places)
    sources = [_source(structure, place) for structure, place in zip(structures, places, strict=True)]
    rows = Rows(names, places, sources, pd.DataFrame(index=pd.RangeIndex(len(names))))
    return _table(rows, hashlib.sha256(b"".join(map(_content, names, sources))), "structures", None)


def _table(rows: Rows, digest: hashlib._Hash, name: str, limit: int | None) -> CandidateTable:
    """Return the first ``limit`` candidates; ``digest``, of the input file, goes on with the files that it names."""
    max_bytes = ReadLimits().max_bytes
    if not isinstance(rows.sources, SpooledTexts):
        for source in rows.sources:
            if isinstance(source, FileSource):
                digest.update(source.digest(max_bytes))
    candidates = Candidates(rows.ids[:limit], rows.sources)
    return CandidateTable(candidates, storable(rows.columns).iloc[: len(candidates)], digest.hexdigest(), name)


def _read_file(path: Path) -> tuple[Rows, hashlib._Hash]:
    """Return the candidates of a file and the digest of its bytes."""
    reader = READERS.get(Path(without_gz(path.name)).suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of input; expected {KINDS} of structure files ({ACCEPTED}).")
    with opened_input(path, KINDS) as (digest, file):
        return reader(path, file), digest


def _read_folder(folder: Path) -> Rows:
    """Return the structure files of a folder; where two would share an id, both keep their suffix in it."""
    import pandas as pd

    there = sorted(file.name for file in folder.iterdir() if not file.is_dir() and not file.name.startswith("."))
    names = [name for name in there if structure_format(name)[0] is not None]
    if not names:
        raise InputError(f"the folder {folder} holds no structure file; expected {ACCEPTED}.")
    if others := [name for name in there if structure_format(name)[0] is None]:
        log.warning(
            "%s: %d of %d files passed over, whose names are of no structure: %s%s. Expected %s.",
            folder,
            len(others),
            len(there),
            shorten(", ".join(others[:3]), 120),
            " ..." if len(others) > 3 else "",
            ACCEPTED,
        )
    stems = [structure_format(name)[1] for name in names]
    count = Counter(stems)
    ids = [stem if count[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    root = folder.resolve()
    sources = [FileSource(root, name) for name in names]
    return Rows(ids, [f"file {name}" for name in names], sources, pd.DataFrame(index=pd.RangeIndex(len(names))))


def _source(structure: Any, place: str) -> StructureSource:
    from ase import Atoms
    from pymatgen.core import IStructure

    if isinstance(structure, Atoms):
        magmoms = structure.get_initial_magnetic_moments() if structure.has("initial_magmoms") else None
        periodic_a, periodic_b, periodic_c = map(bool, structure.pbc)
        return ArraySource(
            numbers=structure.numbers.copy(),
            positions=structure.positions.copy(),
            cell=structure.cell.array.copy(),
            pbc=(periodic_a, periodic_b, periodic_c),
            magmoms=magmoms,
        )
    if isinstance(structure, IStructure):
        return TextSource(json.dumps(_structure_dict(structure)), "json")
    kind = type(structure).__name__
    raise InputError(f"{place} is of the type {kind}; expected a list of ASE Atoms or pymatgen Structures.")


def _structure_dict(structure: Any) -> dict[str, Any]:
    """Return the part of a pymatgen Structure that is read back; disorder is reported on loading."""
    magmoms = structure.site_properties.get("magmom", [None] * len(structure))
    return {
        "charge": structure._charge,  # charge itself is the sum of oxidation states where none was given
        "lattice": {"matrix": structure.lattice.matrix.tolist(), "pbc": [bool(p) for p in structure.pbc]},
        "sites": [
            {
                "species": [{"element": el.symbol, "occu": float(n)} for el, n in site.species.items()],
                "xyz": site.coords.tolist(),
                "properties": {"magmom": float(magmom)} if isinstance(magmom, int | float) else {},
            }
            for site, magmom in zip(structure, magmoms, strict=True)
        ],
    }


def _content(name: str, source: StructureSource) -> bytes:
    """Return 32 bytes that stand for an id and a structure in memory."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass") + b"\0")
    if isinstance(source, ArraySource):
        arrays = (source.numbers, source.positions, source.cell, source.magmoms)
        digest.update(repr(source.pbc).encode())
        for array in arrays:
            digest.update(b"none" if array is None else array.tobytes() + b"\0")
    elif isinstance(source, TextSource):
        digest.update(source.text.encode())
    return digest.digest()
