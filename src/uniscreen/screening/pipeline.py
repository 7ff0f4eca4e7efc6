"""The main job with one model: from candidates to a ranked table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from uniscreen.screening.job import Job, Machine, competition_of, model_card, prepare, reference_structures
from uniscreen.screening.outputs import write_outputs
from uniscreen.screening.pool import WorkerPool
from uniscreen.screening.prescreen import passes
from uniscreen.screening.protocol import units_left
from uniscreen.screening.provenance import Timer, manifest, provenance
from uniscreen.screening.results import results_table
from uniscreen.screening.self_consistent import ReferenceEvaluator
from uniscreen.screening.store import RunStore
from uniscreen.screening.stored import RecordsById

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.screening.competition import Competition, ModelReferences
    from uniscreen.screening.record import Record
    from uniscreen.screening.settings import ScreenSettings
    from uniscreen.structures import CandidateTable


@dataclass(frozen=True)
class Progress:
    """How far a run is: evaluations in all, done (by status), and those of them that an earlier run had recorded.

    Each model evaluates each candidate. ``model`` names the one that is at work where there are several; ``what`` is
    evaluated, if not the candidates: with ``self_consistent`` the references after them.
    """

    total: int
    done: Mapping[str, int]
    resumed: int
    model: str = ""
    what: str = ""

    @property
    def n_done(self) -> int:
        """Evaluations with a record."""
        return sum(self.done.values())


@dataclass(frozen=True)
class ScreenRun:
    """A finished screen: its models, the results, what they were compared with, and the folder that holds them.

    ``model_references`` are those of a self-consistent hull, of the first model.
    """

    models: tuple[str, ...]
    table: pd.DataFrame
    competition: Competition
    folder: Path
    seconds: float
    model_references: ModelReferences | None = None


def run_screen(
    candidates: Path | str | CandidateTable | Sequence[Atoms | Structure],
    settings: ScreenSettings,
    *,
    out: Path | str | None = None,
    references: Path | str = "elements",
    self_consistent: bool = False,
    workers: int | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_fetch: Callable[[str, int, int], None] | None = None,
) -> ScreenRun:
    """Read, relax, compare and rank candidates, and write the results to a folder.

    Args:
        candidates: a file or folder as ``read_candidates`` takes, what it returns, or structures.
        settings: what decides the numbers.
        out: the folder; ``<input>-screen`` in the working directory unless given. If it holds the same run,
            unfinished, that run is continued.
        references: a file of competing entries; ``mp``: those of the Materials Project for the candidates' chemical
            systems; or ``elements``: DFT elemental energies only, and the candidates compete with each other.
        self_consistent: evaluate the references with the model too, and give the distance to their hull beside the
            one to DFT's.
        workers: processes; one a core on CPUs and one on a GPU unless given.
        restart: begin anew, even where the folder holds a run.
        on_progress: told after each candidate.
        on_fetch: told what is fetched from the Materials Project, how much of it is done, and of how much.

    Raises:
        InputError: the input, the settings, the model, the references or the folder are wrong as a whole.
    """
    timer = Timer.start()
    card = model_card(settings)
    machine = Machine.of(settings, workers)
    inputs, folder = prepare(candidates, settings, card, references, out, restart=restart, on_fetch=on_fetch)
    structures = reference_structures(inputs, references) if self_consistent else None
    job = Job(inputs, settings, card, competition_of(inputs, references), machine, structures)
    done = run_job(job, folder, restart=restart, on_progress=on_progress)
    return ScreenRun((card.name,), done.results, job.competition, folder, timer.seconds, done.model_references)


class Finished(NamedTuple):
    """What a job gives: the results, the records by id, and the references evaluated with the model."""

    results: pd.DataFrame
    records: Mapping[str, Record]
    model_references: ModelReferences | None


def run_job(job: Job, folder: Path, *, restart: bool, on_progress: Callable[[Progress], None] | None) -> Finished:
    """Do what has no record yet, compare, rank and write the results."""
    timer = Timer.start()
    store = RunStore.open(folder, manifest(job), restart=restart)
    try:
        job.inputs.keep(folder)
        records, learned = _evaluate(store, job, on_progress)
        own = _model_references(job, records, on_progress)
        results = results_table(records, job.card, job.competition, job.table.columns, own)
        by_id = RecordsById(job.table.candidates.ids, records)
        write_outputs(folder, results, by_id, provenance(job, timer, own) | learned)
    finally:
        store.close()
    return Finished(results, by_id, own)


def _evaluate(
    store: RunStore, job: Job, on_progress: Callable[[Progress], None] | None
) -> tuple[Sequence[Record], dict[str, Any]]:
    """Evaluate what has no record yet; returns all records in input order, and what was learned on the way."""
    records = store.records()
    done = records.count_statuses()
    resumed = len(records)

    def on_done(statuses: Iterable[str]) -> None:
        done.update(statuses)
        if on_progress is not None:
            on_progress(Progress(len(job.table), dict(done), resumed))

    on_done(())
    learned = {}
    complete = len(records) == len(job.table)
    for places, watcher in passes(len(job.table), job.settings, job.card, job.competition.references, store.records):
        if not complete:
            units = units_left(job.table.candidates, records, job.settings.unit_size, places)
            WorkerPool(store, job.settings, job.machine.n_workers, job.machine.device, watcher).run(units, on_done)
        learned = watcher.summary()
    if not complete:
        records = store.records()
    assert len(records) == len(job.table)
    return records.in_input_order(), learned


def _model_references(
    job: Job, records: Sequence[Record], on_progress: Callable[[Progress], None] | None
) -> ModelReferences | None:
    """The references that compete with the records, evaluated with the model, where that is asked for."""
    if job.reference_structures is None:
        return None

    def on_references(total: int, done: Mapping[str, int], cached: int) -> None:
        if on_progress is not None:
            on_progress(Progress(total, done, cached, what="references"))

    evaluator = ReferenceEvaluator(job.settings, job.card, job.machine.n_workers, job.machine.device, on_references)
    return evaluator.evaluate(job.reference_structures, job.competition.references, records)
