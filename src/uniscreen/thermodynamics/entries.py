"""Competing entries: compositions with corrected energies, read by hand from Materials Project files."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pymatgen.core import Composition

EntriesBySystem = dict[frozenset[str], list["CompetingEntry"]]

_FUNCTIONALS = {
    "GGA": "PBE",
    "GGA+U": "PBE",
    "GGA_U": "PBE",
    "PBE": "PBE",
    "PBE+U": "PBE",
    "PBE_U": "PBE",
    "R2SCAN": "r2SCAN",
}
"""Functional by the Materials Project's run type, in capitals."""

_EXPECTED = "expected a pymatgen ComputedEntry dict with 'composition', 'energy' and 'parameters'."


@dataclass(frozen=True, slots=True)
class CompetingEntry:
    """A phase that candidates compete with.

    ``amounts``: atoms of each element; ``energy``: total energy for these atoms, eV, with ``correction`` (eV)
    in it; ``uncertainties``: standard error (eV) of each adjustment in the correction by its name, None where
    it is not known.
    """

    entry_id: str
    amounts: Mapping[str, float]
    energy: float
    correction: float = 0.0
    uncertainties: Mapping[str, float] | None = None

    @property
    def n_atoms(self) -> float:
        """Atoms in ``amounts``."""
        return sum(self.amounts.values())

    @property
    def energy_per_atom(self) -> float:
        """Corrected energy, eV/atom."""
        return self.energy / self.n_atoms

    @property
    def elements(self) -> frozenset[str]:
        """Symbols of the elements in it."""
        return frozenset(self.amounts)


@dataclass(frozen=True, slots=True)
class ParsedEntry:
    """An entry as a file gives it: with its functional and the names of its energy adjustments."""

    entry: CompetingEntry
    functional: str
    adjustments: tuple[str, ...]


def amounts_of(composition: Composition) -> dict[str, float]:
    """Atoms of each element by symbol; oxidation states are dropped.

    Raises:
        InputError: the composition is empty.

    """
    amounts = {str(symbol): float(n) for symbol, n in composition.get_el_amt_dict().items() if n > 0}
    if not amounts:
        raise InputError("A composition without atoms has no distance to a hull; give one with at least one atom.")
    return amounts


def parse_entry(record: Any, number: int, source: str) -> ParsedEntry:
    """Read entry ``number`` (from 1) of ``source``: the dict of a ComputedEntry or ComputedStructureEntry.

    Structures are never built and no class named in the file is imported.

    Raises:
        InputError: a key is missing or a value is not what it should be.

    """
    where = f"Entry {number} of {source}"
    if not isinstance(record, dict):
        raise InputError(f"{where} is {type(record).__name__}, {_EXPECTED}")
    energy, correction = _energy(record, where)
    adjustments = _adjustments(record, correction, where)
    entry_id = record.get("entry_id")
    entry = CompetingEntry(
        entry_id=str(number if entry_id is None else entry_id),
        amounts=_amounts(record, where),
        energy=energy + correction,
        correction=correction,
        uncertainties=_uncertainties(adjustments),
    )
    return ParsedEntry(entry, _functional(record, where), tuple(str(item.get("name")) for item in adjustments))


def by_system(entries: Iterable[CompetingEntry]) -> EntriesBySystem:
    """Entries grouped by the set of elements that they hold."""
    groups: EntriesBySystem = defaultdict(list)
    for entry in entries:
        groups[entry.elements].append(entry)
    return dict(groups)


def entries_within(groups: EntriesBySystem, elements: Collection[str]) -> list[CompetingEntry]:
    """Entries that hold no element but ``elements``: those that compete in this chemical system."""
    wanted = frozenset(elements)
    if 2 ** len(wanted) > len(groups):
        return [entry for system, group in groups.items() if system <= wanted for entry in group]
    subsystems = (frozenset(c) for size in range(1, len(wanted) + 1) for c in combinations(sorted(wanted), size))
    return [entry for system in subsystems for entry in groups.get(system, ())]


def lowest_elements(entries: Iterable[CompetingEntry]) -> dict[str, CompetingEntry]:
    """Pick the entry of lowest energy per atom of each element that has an entry of its own."""
    lowest: dict[str, CompetingEntry] = {}
    for entry in entries:
        if len(entry.amounts) == 1:
            (symbol,) = entry.amounts
            if symbol not in lowest or entry.energy_per_atom < lowest[symbol].energy_per_atom:
                lowest[symbol] = entry
    return lowest


def _required(record: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in record:
        raise InputError(f"{where} has no '{key}' (it has: {', '.join(map(str, record)) or 'nothing'}), {_EXPECTED}")
    return record[key]


def _number(value: Any, what: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where} has {what} {value!r}, expected a finite number; correct or remove the entry.")
    return float(value)


def _energy(record: Mapping[str, Any], where: str) -> tuple[float, float]:
    """Raw energy and correction, both eV for the whole entry."""
    energy = _number(_required(record, "energy", where), "energy", where)
    if "correction" not in record and not record.get("energy_adjustments"):
        return energy, 0.0
    return energy, _number(_required(record, "correction", where), "correction", where)


def _amounts(record: Mapping[str, Any], where: str) -> dict[str, float]:
    from pymatgen.core import Element

    from uniscreen.structures.crystal import HYDROGEN_ISOTOPES

    composition = _required(record, "composition", where)
    if not isinstance(composition, dict) or not composition:
        raise InputError(
            f"{where} has composition {composition!r}, expected atoms by element such as {{'Li': 2, 'O': 1}}."
        )
    amounts = {symbol: _number(n, f"amount of {symbol}", where) for symbol, n in composition.items()}
    if unknown := [symbol for symbol in amounts if not Element.is_valid_symbol(symbol)]:
        raise InputError(f"{where} has composition {composition!r}, where {', '.join(unknown)} is not an element.")
    if min(amounts.values()) < 0 or sum(amounts.values()) <= 0:
        raise InputError(f"{where} has composition {composition!r}, expected positive numbers of atoms.")
    found: dict[str, float] = {}
    for symbol, n in amounts.items():
        element = "H" if symbol in HYDROGEN_ISOTOPES else symbol  # as in structures
        found[element] = found.get(element, 0.0) + n
    return {symbol: n for symbol, n in found.items() if n > 0}


def _functional(record: Mapping[str, Any], where: str) -> str:
    for holder in ("parameters", "data"):
        inner = record.get(holder)
        if isinstance(inner, dict) and inner.get("run_type") is not None:
            run_type = str(inner["run_type"])
            if run_type.upper() in _FUNCTIONALS:
                return _FUNCTIONALS[run_type.upper()]
            raise InputError(
                f"{where} has the run type '{run_type}', expected one of {', '.join(_FUNCTIONALS)}; remove "
                "the entry or give reference entries of PBE or r2SCAN."
            )
    raise InputError(
        f"{where} has no 'run_type' in its 'parameters', so its functional is unknown. Expected one of "
        f"{', '.join(_FUNCTIONALS)}; add it, or export the entries with their parameters."
    )


def _adjustments(record: Mapping[str, Any], correction: float, where: str) -> list[Mapping[str, Any]]:
    adjustments = record.get("energy_adjustments") or []
    if not isinstance(adjustments, list) or not all(isinstance(item, dict) for item in adjustments):
        raise InputError(f"{where} has energy_adjustments that are not a list of dicts, as pymatgen writes them.")
    if correction != 0 and not adjustments:
        raise InputError(
            f"{where} has a correction of {correction:g} eV without named energy_adjustments, so its "
            "scheme is unknown. Export the entries with their energy_adjustments, or uncorrected."
        )
    return adjustments


def _uncertainties(adjustments: Iterable[Mapping[str, Any]]) -> dict[str, float] | None:
    """Standard error of each adjustment, eV; None where the file lacks that of any."""
    found: dict[str, float] = {}
    for item in adjustments:
        factors = [item.get("uncertainty_per_atom", item.get("uncertainty")), item.get("n_atoms", 1.0)]
        if not all(isinstance(factor, int | float) and math.isfinite(factor) for factor in factors):
            return None
        found[str(item.get("name"))] = abs(float(math.prod(factors)))
    return found
