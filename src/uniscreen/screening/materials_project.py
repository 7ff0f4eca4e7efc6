"""What a screen takes from the Materials Project: structures of candidates given by id, and competing entries.

Both are kept in the run's folder, so that a run that is continued has the same ones, without network, and also after
the database has moved on.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uniscreen.durable import write_atomically
from uniscreen.errors import InputError, MaterialsProjectError, StructureError
from uniscreen.screening.corrections import hull_scheme
from uniscreen.structures.candidate import Candidates
from uniscreen.structures.sources import IdSource, TextSource
from uniscreen.thermodynamics.database import MATERIALS_PROJECT, DatabaseOrigin
from uniscreen.thermodynamics.references import THERMO_TYPES, ReferenceSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.structures import Candidate, CandidateTable, ReadLimits
    from uniscreen.thermodynamics.materials_project import Material, MaterialsProject
    from uniscreen.thermodynamics.materials_project.systems import ChemicalSystem

REFERENCES = "references.json.gz"
STRUCTURES = "structures.json.gz"


@dataclass(frozen=True)
class ScreenInputs:
    """A screen's candidates and references.

    ``database`` says where structures were fetched from; ``files`` are to be kept in the run's folder.
    """

    table: CandidateTable
    references: ReferenceSet
    database: DatabaseOrigin | None
    files: Mapping[str, bytes]

    def keep(self, folder: Path) -> None:
        """Write what was fetched to the run's folder, unless it is there."""
        for name, content in self.files.items():
            if not (folder / name).exists():
                write_atomically(folder / name, content)


@dataclass(frozen=True)
class Fetcher:
    """Gets what a screen needs from an earlier run in ``folder``, from the disk, or from the Materials Project.

    ``folder`` is None where an earlier run is not to be continued; ``on_fetch`` is told what is fetched, how much of
    it is done, and of how much.
    """

    card: ModelCard
    limits: ReadLimits
    folder: Path | None
    on_fetch: Callable[[str, int, int], None] | None = None

    def inputs(self, table: CandidateTable, references: ReferenceSet | None) -> ScreenInputs:
        """Complete a screen's input: structures for ids, and references unless they are given.

        Raises:
            MaterialsProjectError: the Materials Project cannot be asked, or knows none of the candidates.
            ReferenceMismatchError: it has no energies that go with the model's.

        """
        files: dict[str, bytes] = {}
        database = None
        if any(isinstance(candidate.source, IdSource) for candidate in table):
            content, files[STRUCTURES] = self._structures(table)
            database = DatabaseOrigin.from_content(content, STRUCTURES)
            table = _resolved(table, content, files[STRUCTURES])
        if references is None:
            references, files[REFERENCES] = self._references(table)
            references.require_match(self.card.name, self.card.functional, hull_scheme(self.card))
        return ScreenInputs(table, references, database, files)

    def _structures(self, table: CandidateTable) -> tuple[dict[str, Any], bytes]:
        raw = self._kept(STRUCTURES)
        content = None if raw is None else _structures_content(raw, table)
        if raw is None or content is None:
            content = self._fetch_structures(table)
            raw = gzip.compress(json.dumps(content).encode(), mtime=0)
        return content, raw

    def _fetch_structures(self, table: CandidateTable) -> dict[str, Any]:
        from uniscreen.thermodynamics.materials_project import MaterialsProject, fetch_materials

        database = MaterialsProject.connect()
        thermo_type = THERMO_TYPES.get(self.card.functional)
        ids = [candidate.source.material_id for candidate in table if isinstance(candidate.source, IdSource)]
        materials = fetch_materials(database, ids, thermo_type, self._progress("structures"))
        if not materials:
            raise MaterialsProjectError(
                f"The Materials Project (version {database.version}) knows none of the {len(ids)} ids in {table.name}, "
                f"e.g. {ids[0]!r}. Expected ids such as mp-149, or a column with structures."
            )
        return _structures_file(database, table, thermo_type, materials)

    def _references(self, table: CandidateTable) -> tuple[ReferenceSet, bytes]:
        from uniscreen.thermodynamics.materials_project import thermo_type_of

        thermo_type = thermo_type_of(self.card.functional)
        raw = self._kept(REFERENCES)
        kept = None if raw is None else ReferenceSet.from_bytes(raw, REFERENCES)
        if raw is None or kept is None or kept.database is None or kept.database.thermo_type != thermo_type:
            raw = self._fetch_references(table, thermo_type)  # those of another model do not belong to this run
            kept = ReferenceSet.from_bytes(raw, REFERENCES)
        return replace(kept, source=str(kept.database)), raw

    def _fetch_references(self, table: CandidateTable, thermo_type: str) -> bytes:
        from uniscreen.thermodynamics.materials_project import MaterialsProject, fetch_references

        database = MaterialsProject.connect()
        systems = self._chemical_systems(table)
        return fetch_references(
            database, systems, thermo_type, self._progress("chemical systems"), allow_empty=True
        )  # an element without entries is a flag of its rows

    def _chemical_systems(self, table: CandidateTable) -> set[ChemicalSystem]:
        """Every chemical system of candidates that can be computed; the others become rows with their reason."""
        systems = set()
        for candidate in table:
            elements = _elements(candidate, self.limits)
            if elements and elements <= self.card.elements:
                systems.add(elements)
        if not systems:
            raise InputError(
                f"{table.name} holds no candidate that {self.card.name} can compute, so there are no references to "
                "fetch. With --references elements the results say what is wrong with each."
            )
        return systems

    def _kept(self, name: str) -> bytes | None:
        """What an earlier run has kept."""
        if self.folder is None or not (self.folder / name).is_file():
            return None
        return (self.folder / name).read_bytes()

    def _progress(self, what: str) -> Callable[[int, int], None] | None:
        on_fetch = self.on_fetch
        if on_fetch is None:
            return None
        return lambda done, total: on_fetch(what, done, total)


def describe_origin(database: DatabaseOrigin | None) -> dict[str, str]:
    """The version of a database and the date, as the record of a run has them; nothing where there is none."""
    return {} if database is None else {"database": f"{database}, retrieved {database.retrieved}"}


def _elements(candidate: Candidate, limits: ReadLimits) -> ChemicalSystem:
    """Elements of a candidate; none where it cannot be read."""
    try:
        return frozenset(candidate.source.load(limits).get_chemical_symbols())
    except StructureError:
        return frozenset()


def _structures_file(
    database: MaterialsProject, table: CandidateTable, thermo_type: str | None, materials: Mapping[str, Material]
) -> dict[str, Any]:
    origin = DatabaseOrigin(
        MATERIALS_PROJECT, database.version, thermo_type or "", datetime.now(UTC).date().isoformat()
    )
    return {
        "database": origin.as_dict(),
        "input_sha256": table.sha256,
        "n_candidates": len(table),
        "materials": {name: material.as_dict() for name, material in materials.items()},
    }


def _structures_content(raw: bytes, table: CandidateTable) -> dict[str, Any] | None:
    """Read a file of structures; None where it is damaged or of another input."""
    try:
        content: dict[str, Any] = json.loads(gzip.decompress(raw))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    same = content["input_sha256"] == table.sha256 and content["n_candidates"] == len(table)
    return content if same else None


def _resolved(table: CandidateTable, content: dict[str, Any], raw: bytes) -> CandidateTable:
    """Put structures in the place of ids, and the DFT energies beside them."""
    import pandas as pd

    from uniscreen.thermodynamics.materials_project import Material, dft_columns

    database, materials = content["database"], content["materials"]
    reason = f"it is unknown to the Materials Project (version {database['version']})."
    sources, energies = [], []
    for candidate in table:
        source = candidate.source
        found = materials.get(source.material_id) if isinstance(source, IdSource) else None
        if found is not None:
            source = TextSource(json.dumps(found["structure"]), "json")
        elif isinstance(source, IdSource):
            source = replace(source, reason=reason)
        sources.append(source)
        energies.append({} if found is None else dft_columns(Material(**found)))
    added = pd.DataFrame(energies, index=table.columns.index, dtype="float64")
    columns = table.columns.join(added[[name for name in added.columns if name not in table.columns]])
    digest = hashlib.sha256(table.sha256.encode() + raw).hexdigest()
    candidates = Candidates(table.candidates.ids, sources)
    return replace(table, candidates=candidates, columns=columns, sha256=digest)
