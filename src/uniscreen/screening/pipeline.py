"""The main job: from candidates to a ranked table."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uniscreen
from uniscreen.errors import InputError, ReferenceMismatchError
from uniscreen.potentials import resolve_device, resolve_model
from uniscreen.screening.outputs import write_outputs
from uniscreen.screening.pool import WorkerPool
from uniscreen.screening.protocol import Unit
from uniscreen.screening.provenance import describe_card, environment, hardware, usable_cores
from uniscreen.screening.results import Competition, hull_scheme, results_table
from uniscreen.screening.settings import ScreenSettings
from uniscreen.screening.store import RunStore
from uniscreen.structures import CandidateTable, candidates_from_structures, read_candidates
from uniscreen.thermodynamics import ReferenceSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd
    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.record import Record

UNIT_SIZE = 8
"""Candidates in one unit of a deterministic run."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: candidates in all, done (by status), and those of them that an earlier run had recorded."""

    total: int
    done: Mapping[str, int]
    resumed: int

    @property
    def n_done(self) -> int:
        """Candidates with a record."""
        return sum(self.done.values())


@dataclass(frozen=True)
class ScreenRun:
    """A finished screen: the results, what they were compared with, and the folder that holds them."""

    table: pd.DataFrame
    competition: Competition
    folder: Path
    seconds: float


def screen(
    candidates: Path | str | Sequence[Atoms | Structure],
    *,
    out: Path | str | None = None,
    references: Path | str = "elements",
    workers: int | None = None,
    restart: bool = False,
    **settings: Any,
) -> pd.DataFrame:
    """Screen candidates and return the ranked results, one row a candidate; see ``run_screen``.

    ``settings`` are the fields of ScreenSettings: model, head, trust_model_file, functional, dtype, device, relax,
    fmax, max_steps, optimiser, max_atoms, limit, deterministic.
    """
    run = run_screen(
        candidates, ScreenSettings(**settings), out=out, references=references, workers=workers, restart=restart
    )
    return run.table


def run_screen(
    candidates: Path | str | CandidateTable | Sequence[Atoms | Structure],
    settings: ScreenSettings,
    *,
    out: Path | str | None = None,
    references: Path | str = "elements",
    workers: int | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> ScreenRun:
    """Read, relax, compare and rank candidates, and write the results to a folder.

    Args:
        candidates: a file or folder as ``read_candidates`` takes, what it returns, or structures.
        settings: what decides the numbers.
        out: the folder; ``<input>-screen`` in the working directory unless given. If it holds the same run,
            unfinished, that run is continued.
        references: a file of competing entries, or ``elements``: DFT elemental energies only, and the candidates
            compete with each other.
        workers: processes; one a core on CPUs and one on a GPU unless given.
        restart: begin anew, even where the folder holds a run.
        on_progress: told after each candidate.

    Raises:
        InputError: the input, the settings, the model, the references or the folder are wrong as a whole.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    card, _ = resolve_model(
        settings.model,
        head=settings.head,
        trust_model_file=settings.trust_model_file,
        functional=settings.functional,
    )
    device = resolve_device(settings.device)
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}, expected at least 1.")
    n_workers = workers or (1 if device == "cuda" else usable_cores())
    competition = _competition(card, references)
    table = _read(candidates, settings.limit)
    folder = Path(out) if out is not None else Path(f"{_stem(table.name)}-screen")
    store = RunStore.open(folder, _manifest(table, settings, card, competition), restart=restart)
    try:
        records = _evaluate(store, table, settings, n_workers, device, on_progress)
        results = results_table(records, card, competition, table.columns)
        seconds = time.monotonic() - clock
        provenance = {
            "uniscreen": uniscreen.__version__,
            "model": describe_card(card),
            "settings": settings.as_dict(),
            "input": {"name": table.name, "sha256": table.sha256, "n_candidates": len(table)},
            "references": _describe(competition),
            "environment": environment(),
            "hardware": hardware(device, n_workers),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
        }
        write_outputs(folder, results, {record.id: record for record in records}, provenance)
    finally:
        store.close()
    return ScreenRun(results, competition, folder, seconds)


def _evaluate(
    store: RunStore,
    table: CandidateTable,
    settings: ScreenSettings,
    n_workers: int,
    device: str,
    on_progress: Callable[[Progress], None] | None,
) -> list[Record]:
    """Evaluate what has no record yet; returns all records in input order."""
    records = store.records()
    done: Counter[str] = Counter(record.status for record in records.values())
    resumed = len(records)

    def on_done(statuses: Iterable[str]) -> None:
        done.update(statuses)
        if on_progress is not None:
            on_progress(Progress(len(table), dict(done), resumed))

    on_done(())
    units = _units(table, records, UNIT_SIZE if settings.deterministic else 1)
    if units:
        WorkerPool(store, settings, n_workers, device).run(units, on_done)
        records = store.records()
    return [records[index] for index in range(len(table))]


def _units(table: CandidateTable, records: Mapping[int, Record], size: int) -> list[Unit]:
    """What is left to do, in units that depend on the input alone; of a unit recorded in part, the rest one by one."""
    pairs = list(enumerate(table))
    units = []
    for start in range(0, len(pairs), size):
        whole = pairs[start : start + size]
        left = [pair for pair in whole if pair[0] not in records]
        units += [Unit(tuple(left))] if left and len(left) == len(whole) else [Unit((pair,)) for pair in left]
    return units


def _read(candidates: Path | str | CandidateTable | Sequence[Atoms | Structure], limit: int | None) -> CandidateTable:
    if isinstance(candidates, CandidateTable):
        if limit is not None and limit < len(candidates):
            raise InputError("limit is for files; give a table of as many candidates as are wanted.")
        return candidates
    if isinstance(candidates, Path | str):
        return read_candidates(Path(candidates), limit)
    return candidates_from_structures(candidates if limit is None else candidates[:limit])


def _stem(name: str) -> str:
    """The input's name without its suffixes."""
    return Path(name).name.split(".")[0] or "candidates"


def _competition(card: ModelCard, references: Path | str) -> Competition:
    if card.functional == "unknown":
        raise ReferenceMismatchError(
            f"{card.name} does not tell which functional its training labels had, so its energies can be compared with "
            "no others. Say it with --functional, e.g. --functional PBE for the Materials Project's settings."
        )
    if str(references) == "elements":
        chosen = ReferenceSet.from_elements(card.functional)
    else:
        chosen = ReferenceSet.from_file(references)
    chosen.require_match(card.name, card.functional, hull_scheme(card))
    return Competition(chosen, among_candidates=str(references) == "elements")


def _describe(competition: Competition) -> dict[str, Any]:
    references = competition.references
    return {
        "source": references.source,
        "functional": references.functional,
        "scheme": str(references.scheme),
        "sha256": references.sha256,
        "n_entries": len(references),
        "hull": "candidates" if competition.among_candidates else "references",
    }


def _manifest(
    table: CandidateTable, settings: ScreenSettings, card: ModelCard, competition: Competition
) -> dict[str, Any]:
    """What must be equal for two commands to be one run."""
    return {
        "format": 1,
        "input": {"sha256": table.sha256, "n_candidates": len(table)},
        "settings": settings.as_dict() | {"model": card.name},
        "model": {"name": card.name, "sha256": card.sha256},
        "references": _describe(competition),
    }
