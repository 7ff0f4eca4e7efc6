"""References evaluated with the model itself, so that a hull holds no energies but the model's.

They are relaxed as the candidates are, since a hull compares minima, once for each model, set of references and
settings: the records are kept in the user's cache, in a store as durable as that of a screen. Later screens evaluate
only the chemical systems that are new to it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uniscreen
from uniscreen.errors import InputError, ResumeError
from uniscreen.machine import user_cache
from uniscreen.screening.competition import ModelReferences, competing_entry
from uniscreen.screening.pool import WorkerPool
from uniscreen.screening.protocol import units_left
from uniscreen.screening.settings import ScreenSettings
from uniscreen.screening.store import RECORDS, RunStore
from uniscreen.structures import read_candidates
from uniscreen.thermodynamics.reactions import formula_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.record import Record
    from uniscreen.structures import CandidateTable
    from uniscreen.thermodynamics import ReferenceSet


def read_reference_structures(path: Path | str, references: ReferenceSet) -> CandidateTable:
    """Read the structures of the entries in a file of references, in the order of its entries.

    Raises:
        InputError: no entry has a structure, or two entries have the same id.
    """
    if str(path) == "elements":
        raise InputError(
            "--self-consistent needs the structures of the competing phases. Give a file of ComputedStructureEntries "
            "with --references FILE, or take those of the Materials Project with --references mp."
        )
    table = read_candidates(Path(path))
    assert len(table) == len(references)
    return table


@dataclass(frozen=True)
class ReferenceEvaluator:
    """Evaluates references as a screen with these settings evaluates candidates, in ``n_workers`` processes.

    ``on_progress`` is told after each reference: how many are needed, how many are done by status, and how many of them
    the cache held.
    """

    settings: ScreenSettings
    card: ModelCard
    n_workers: int
    device: str
    on_progress: Callable[[int, Mapping[str, int], int], None]

    def evaluate(self, table: CandidateTable, references: ReferenceSet, records: Iterable[Record]) -> ModelReferences:
        """Evaluate the references that compete with the candidates of ``records``, but for those that the cache holds.

        ``table`` holds the references' structures.

        Raises:
            ResumeError: another process is evaluating the same references.
            InputError: the cache cannot be written.
        """
        # Not --max-atoms: it says which candidates to spend time on, and a hull without its larger phases is no hull.
        settings = replace(
            self.settings, limit=None, max_atoms=ScreenSettings.max_atoms, prescreen=False, keep_below=None
        )
        wanted = frozenset(_competing(references, records))
        manifest = _manifest(references, settings, self.card, self.device)
        key = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:32]
        store = _open(user_cache() / "references" / key, manifest, references)
        try:
            found = store.records()
            done: Counter[str] = Counter(found[index].status for index in wanted & found.keys())
            resumed = done.total()

            def on_done(statuses: Iterable[str]) -> None:
                done.update(statuses)
                self.on_progress(len(wanted), dict(done), resumed)

            on_done(())
            if not wanted <= found.keys():
                units = units_left(table.candidates, found, settings.unit_size, wanted=wanted)
                WorkerPool(store, settings, self.n_workers, self.device).run(units, on_done)
                found = store.records()
        finally:
            store.close()
        return _collect(references, {index: found[index] for index in sorted(wanted)}, self.card, key)


def _competing(references: ReferenceSet, records: Iterable[Record]) -> list[int]:
    """Places of the references in the chemical systems of the evaluated candidates."""
    from ase.data import chemical_symbols

    systems = {
        frozenset(chemical_symbols[n] for n in record.crystal.numbers)
        for record in records
        if record.crystal is not None
    }
    of_candidates = {own: any(own <= system for system in systems) for own in {e.elements for e in references.entries}}
    return [index for index, entry in enumerate(references.entries) if of_candidates[entry.elements]]


def _collect(references: ReferenceSet, found: Mapping[int, Record], card: ModelCard, key: str) -> ModelReferences:
    """Put the model's energies in the place of DFT's; references that did not converge have none."""
    entries, missing = [], {}
    for index, record in found.items():
        reference = references.entries[index]
        if record.status != "ok":
            missing[reference.entry_id] = f"{record.status}: {record.reason}" if record.reason else record.status
        elif (formula := formula_unit(reference.amounts)[0]) != record.formula:
            missing[reference.entry_id] = f"the entry is {formula}, its structure {record.formula}"
        else:
            entries.append(replace(competing_entry(record, card), entry_id=reference.entry_id))
    return ModelReferences(replace(references, entries=tuple(entries)), missing, key)


def _manifest(references: ReferenceSet, settings: ScreenSettings, card: ModelCard, device: str) -> dict[str, Any]:
    """What decides the records."""
    return {
        "uniscreen": uniscreen.__version__,
        "pymatgen": version("pymatgen"),
        "references": {"sha256": references.sha256, "n_entries": len(references)},
        "model": {"name": card.name, "sha256": card.sha256, "functional": card.functional},
        "settings": settings.as_dict() | {"model": card.name, "device": device},
    }


def _open(folder: Path, manifest: dict[str, Any], references: ReferenceSet) -> RunStore:
    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        return RunStore.open(folder, manifest, restart=False)
    except ResumeError as error:
        raise ResumeError(
            f"{error} This is where the references of {references.source} are evaluated with the model; if no other "
            "screen is running, remove the folder."
        ) from error
    except OSError as error:
        raise InputError(
            f"Cannot keep evaluated references in {folder} ({error.strerror}). Name a folder that can be written in "
            "the environment variable XDG_CACHE_HOME."
        ) from error
