"""Reference sets: the phases that candidates compete with, and what their energies are comparable with."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError, ReferenceMismatchError
from uniscreen.messages import listed
from uniscreen.thermodynamics.corrections import CorrectionScheme, corrected_under_mp2020
from uniscreen.thermodynamics.database import DatabaseOrigin
from uniscreen.thermodynamics.elements import TABLE_NAME, elemental_references, table_bytes
from uniscreen.thermodynamics.entries import (
    CompetingEntry,
    EntriesBySystem,
    ParsedEntry,
    by_system,
    entries_within,
    lowest_elements,
    parse_entry,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pymatgen.entries.computed_entries import ComputedEntry

THERMO_TYPES = {"PBE": "GGA_GGA+U", "r2SCAN": "R2SCAN"}
"""The Materials Project's thermo type to ask for, by functional."""


@dataclass(frozen=True)
class ReferenceSet:
    """Competing entries with the functional and the correction scheme that all of them share.

    ``source`` is the name of the file (without its folder) and ``sha256`` its checksum; ``database`` says which
    version of which database the entries were taken from, where the file tells. Energies are corrected ones.
    """

    entries: tuple[CompetingEntry, ...]
    functional: str
    scheme: CorrectionScheme
    source: str
    sha256: str
    database: DatabaseOrigin | None = None

    @classmethod
    def from_file(cls, path: Path | str) -> ReferenceSet:
        """Read a JSON(.gz) list of ComputedEntry or ComputedStructureEntry dicts, or ``{"entries": [...]}``.

        Functional and scheme are taken from the entries' run types and energy adjustments. Beside ``entries`` there
        may be a ``database``, as ``uniscreen references mp`` writes it.

        Raises:
            InputError: the file is missing or not such a list, or its entries are of several functionals or
            schemes.

        """
        path = Path(path)
        return cls.from_bytes(_read(path), path.name)

    @classmethod
    def from_bytes(cls, raw: bytes, source: str) -> ReferenceSet:
        """Read the content of such a file, which errors call ``source``; see ``from_file``."""
        content = _content(raw, source)
        parsed = [parse_entry(record, number, source) for number, record in enumerate(_records(content, source), 1)]
        functional = _functional(parsed, source)
        return cls(
            entries=tuple(item.entry for item in parsed),
            functional=functional,
            scheme=_scheme(parsed, functional, source),
            source=source,
            sha256=hashlib.sha256(raw).hexdigest(),
            database=DatabaseOrigin.from_content(content, source),
        )

    @classmethod
    def from_elements(cls, functional: str) -> ReferenceSet:
        """Hold only the elemental references: hull distances are then to the elements.

        Raises:
            ReferenceMismatchError: there is no table of elemental references for ``functional``.

        """
        table = elemental_references(functional)
        return cls(
            entries=tuple(
                CompetingEntry(f"element-{el}", {el: 1.0}, energy, uncertainties={}) for el, energy in table.items()
            ),
            functional=functional,
            scheme=CorrectionScheme.NOT_NEEDED,
            source=TABLE_NAME,
            sha256=hashlib.sha256(table_bytes()).hexdigest(),
        )

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def terminals(self) -> dict[str, CompetingEntry]:
        """The elemental entry of lowest energy of each element in the set."""
        return lowest_elements(self.entries)

    def within(self, elements: Collection[str]) -> list[CompetingEntry]:
        """Entries that hold no element but ``elements``."""
        return entries_within(self._groups, elements)

    def competing_entries(self, chemsys: str) -> list[ComputedEntry]:
        """Give the entries within a chemical system such as ``"Li-Co-O"``, to draw its phase diagram.

        Each has the raw energy and its correction, so that ``entry.energy`` is the corrected total energy in
        eV.
        """
        from pymatgen.entries.computed_entries import ComputedEntry

        return [
            ComputedEntry(
                dict(entry.amounts),
                entry.energy - entry.correction,
                correction=entry.correction,
                entry_id=entry.entry_id,
            )
            for entry in self.within(chemsys.split("-"))
        ]

    def require_match(self, model_name: str, functional: str, scheme: CorrectionScheme) -> None:
        """Refuse energies of another functional or correction scheme than the references'.

        ``scheme`` is that of the model's energies once they meet the hull: MP2020 for PBE models (corrected
        by us or in their training labels), none for r2SCAN models, which the Materials Project does not
        correct.

        Raises:
            ReferenceMismatchError: they differ.

        """
        if functional == self.functional and self.scheme in (scheme, CorrectionScheme.NOT_NEEDED):
            return
        thermo_type = THERMO_TYPES.get(functional)
        remedy = (
            f"Give Materials Project entries of thermo type '{thermo_type}', as exported"
            if thermo_type
            else f"Give reference entries computed with {functional}"
        )
        raise ReferenceMismatchError(
            f"Model '{model_name}' gives {functional} energies (corrections: {scheme}), but the reference "
            f"entries of {self.source} are {self.functional} (corrections: {self.scheme}). {remedy}, or "
            "choose a model that matches."
        )

    @cached_property
    def _groups(self) -> EntriesBySystem:
        return by_system(self.entries)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"Cannot read the reference entries {path} ({error.strerror}). Expected a JSON or gzipped JSON "
            "file with a list of Materials Project entries."
        ) from error


def _content(raw: bytes, source: str) -> Any:
    try:
        return json.loads(gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{source} is not JSON ({error}). Expected a JSON or gzipped JSON list of ComputedEntry dicts."
        ) from error


def _records(content: Any, source: str) -> list[Any]:
    if isinstance(content, dict) and "entries" in content:
        content = content["entries"]
    if not isinstance(content, list):
        raise InputError(
            f"{source} holds a {type(content).__name__}, expected a list of ComputedEntry dicts, or a dict "
            "with such a list under 'entries'."
        )
    if not content:
        raise InputError(f"{source} holds no entries; give at least the elements of the candidates.")
    return content


def _functional(parsed: Sequence[ParsedEntry], source: str) -> str:
    counts = Counter(item.functional for item in parsed)
    if len(counts) > 1:
        raise InputError(
            f"{source} mixes functionals ({', '.join(f'{n} {name}' for name, n in counts.items())} entries), "
            "whose energies are not comparable. Give a file of one functional; the Materials Project's "
            f"thermo types are {' and '.join(f'{t} for {name}' for name, t in THERMO_TYPES.items())}."
        )
    return next(iter(counts))


def _scheme(parsed: Sequence[ParsedEntry], functional: str, source: str) -> CorrectionScheme:
    """Tell the scheme by the adjustments' names, or, without any, by whether MP2020 would have made some."""
    named = {name: _scheme_of(name) for item in parsed for name in item.adjustments}
    if unknown := sorted(name for name, scheme in named.items() if scheme is None):
        raise InputError(
            f"{source} has energy adjustments of an unknown scheme: {listed(unknown)}. Expected MP2020 "
            "corrections, or none; export the entries again."
        )
    schemes = {scheme for scheme in named.values() if scheme is not None}
    if len(schemes) > 1:
        raise InputError(f"{source} mixes correction schemes: {listed(sorted(named))}. Give a file of one.")
    if not schemes:
        return _scheme_of_uncorrected(parsed, functional)
    (scheme,) = schemes
    if scheme is CorrectionScheme.MP2020:
        _refuse_raw_among_corrected(parsed, source)
    return scheme


def _scheme_of(adjustment: str) -> CorrectionScheme | None:
    """Tell the scheme by a name: 'MP2020 anion correction (oxide)', before 2021 'MP Anion Correction'."""
    if adjustment.startswith("MP2020 "):
        return CorrectionScheme.MP2020
    if adjustment.startswith(("MP ", "MIT ")) and adjustment.endswith(" Correction"):
        return CorrectionScheme.LEGACY
    return None


def _scheme_of_uncorrected(parsed: Sequence[ParsedEntry], functional: str) -> CorrectionScheme:
    from pymatgen.core import Composition

    if functional != "PBE":
        return CorrectionScheme.NONE
    formulas = {Composition(dict(item.entry.amounts)).reduced_formula for item in parsed if len(item.entry.amounts) > 1}
    if any(corrected_under_mp2020(Composition(formula)) for formula in sorted(formulas)):
        return CorrectionScheme.NONE
    return CorrectionScheme.NOT_NEEDED


def _is_adjusted(amounts: Mapping[str, float]) -> bool:
    """Whether MP2020 adjusts a compound for certain."""
    from pymatgen.core import Composition

    if len(amounts) < 2:
        return False
    if not {"O", "F"}.isdisjoint(amounts):
        return True
    halide = len(amounts) == 2 and not {"Cl", "Br", "I"}.isdisjoint(amounts)
    return halide and corrected_under_mp2020(Composition(dict(amounts)))


def _refuse_raw_among_corrected(parsed: Sequence[ParsedEntry], source: str) -> None:
    """Under MP2020 compounds with O or F, and binary halides, have an adjustment; one without was left raw.

    Of other anions the composition does not tell for certain whether they are anions.
    """
    raw = [item.entry.entry_id for item in parsed if not item.adjustments and _is_adjusted(item.entry.amounts)]
    if raw:
        raise InputError(
            f"{source} mixes entries with MP2020 corrections and raw ones ({listed(raw)}). Process all of "
            "them with pymatgen's MaterialsProject2020Compatibility, or export them again."
        )
