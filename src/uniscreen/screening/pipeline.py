"""The main job with one model: from candidates to a ranked table."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import uniscreen
from uniscreen.errors import InputError, ReferenceMismatchError
from uniscreen.machine import usable_cores
from uniscreen.potentials import resolve_device, resolve_model
from uniscreen.screening.competition import Competition
from uniscreen.screening.corrections import hull_scheme
from uniscreen.screening.materials_project import REFERENCES, Fetcher, describe_origin
from uniscreen.screening.outputs import write_outputs
from uniscreen.screening.pool import WorkerPool
from uniscreen.screening.prescreen import passes
from uniscreen.screening.protocol import units_left
from uniscreen.screening.provenance import Timer, describe_card, environment, hardware
from uniscreen.screening.results import results_table
from uniscreen.screening.self_consistent import ReferenceEvaluator, read_reference_structures
from uniscreen.screening.store import RunStore
from uniscreen.screening.stored import RecordsById
from uniscreen.structures import CandidateTable, ReadLimits, candidates_from_structures, read_candidates
from uniscreen.thermodynamics import ReferenceSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd
    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.competition import ModelReferences
    from uniscreen.screening.materials_project import ScreenInputs
    from uniscreen.screening.record import Record
    from uniscreen.screening.settings import ScreenSettings


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


@dataclass(frozen=True)
class Machine:
    """What a run is computed on."""

    device: Literal["cpu", "cuda"]
    n_workers: int

    @classmethod
    def of(cls, settings: ScreenSettings, workers: int | None) -> Machine:
        """One process a core on CPUs and one on a GPU, unless ``workers`` is given."""
        device = resolve_device(settings.device)
        if workers is not None and workers < 1:
            raise InputError(f"--workers is {workers}, expected at least 1.")
        return cls(device, workers or (1 if device == "cuda" else usable_cores()))


@dataclass(frozen=True)
class Job:
    """All that one model is to do, known to be possible before any of it is done.

    ``reference_structures`` are those of a self-consistent hull, None where there is to be none.
    """

    inputs: ScreenInputs
    settings: ScreenSettings
    card: ModelCard
    competition: Competition
    machine: Machine
    reference_structures: CandidateTable | None = None

    @property
    def table(self) -> CandidateTable:
        """The candidates."""
        return self.inputs.table


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


def provenance(job: Job, timer: Timer, own: ModelReferences | None) -> dict[str, Any]:
    """What ``run.json`` says of a run that ends now."""
    return {
        "uniscreen": uniscreen.__version__,
        "model": describe_card(job.card),
        "settings": job.settings.as_dict(),
        "input": {"name": job.table.name, "sha256": job.table.sha256, "n_candidates": len(job.table)}
        | describe_origin(job.inputs.database),
        "references": _describe(job.competition) | ({} if own is None else {"self_consistent": own.summary()}),
        "environment": environment(),
        "hardware": hardware(job.machine.device, job.machine.n_workers),
        **timer.as_dict(),
    }


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


def read_input(
    candidates: Path | str | CandidateTable | Sequence[Atoms | Structure], limit: int | None
) -> CandidateTable:
    """The candidates of a file or folder, or structures; the first ``limit`` of them."""
    if isinstance(candidates, CandidateTable):
        if limit is not None and limit < len(candidates):
            raise InputError("limit is for files; give a table of as many candidates as are wanted.")
        return candidates
    if isinstance(candidates, Path | str):
        return read_candidates(Path(candidates), limit)
    return candidates_from_structures(candidates if limit is None else candidates[:limit])


def output_folder(out: Path | str | None, table: CandidateTable) -> Path:
    """The folder that was asked for, else the input's name without its suffixes and ``-screen``."""
    return Path(out) if out is not None else Path(f"{Path(table.name).name.split('.')[0] or 'candidates'}-screen")


def model_card(settings: ScreenSettings) -> ModelCard:
    """The card of the model that the settings name; raises InputError where it cannot be used."""
    card, _ = resolve_model(
        settings.model,
        head=settings.head,
        trust_model_file=settings.trust_model_file,
        functional=settings.functional,
    )
    return card


def prepare(
    candidates: Path | str | CandidateTable | Sequence[Atoms | Structure],
    settings: ScreenSettings,
    card: ModelCard,
    references: Path | str,
    out: Path | str | None,
    *,
    restart: bool,
    on_fetch: Callable[[str, int, int], None] | None,
) -> tuple[ScreenInputs, Path]:
    """A screen's candidates and references, fetched where they have to be, and its folder; arguments as given to it."""
    known = _references(card, references)
    table = read_input(candidates, settings.limit)
    folder = output_folder(out, table)
    limits = ReadLimits(max_atoms=settings.max_atoms)
    return Fetcher(card, limits, None if restart else folder, on_fetch).inputs(table, known), folder


def reference_structures(inputs: ScreenInputs, references: Path | str) -> CandidateTable:
    """The structures of the references, for a self-consistent hull; raises InputError where they have none."""
    if str(references) != "mp":
        return read_reference_structures(references, inputs.references)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / REFERENCES
        file.write_bytes(inputs.files[REFERENCES])
        return read_reference_structures(file, inputs.references)


def competition_of(inputs: ScreenInputs, references: Path | str) -> Competition:
    """What the candidates compete with: the references, and each other where these are elements alone."""
    return Competition(inputs.references, among_candidates=str(references) == "elements")


def _references(card: ModelCard, references: Path | str) -> ReferenceSet | None:
    """The references, checked against the model; None where they are to be fetched."""
    if card.functional == "unknown":
        raise ReferenceMismatchError(
            f"{card.name} does not tell which functional its training labels had, so its energies can be compared with "
            "no others. Say it with --functional, e.g. --functional PBE for the Materials Project's settings."
        )
    if str(references) == "mp":
        return None
    if str(references) == "elements":
        chosen = ReferenceSet.from_elements(card.functional)
    else:
        chosen = ReferenceSet.from_file(references)
    chosen.require_match(card.name, card.functional, hull_scheme(card))
    return chosen


def _describe(competition: Competition) -> dict[str, Any]:
    references = competition.references
    return {
        "source": references.source,
        "functional": references.functional,
        "scheme": str(references.scheme),
        "sha256": references.sha256,
        "n_entries": len(references),
        "hull": "candidates" if competition.among_candidates else "references",
        **describe_origin(references.database),
    }


def manifest(job: Job) -> dict[str, Any]:
    """What must be equal for two commands to be one run."""
    return {
        "format": 1,
        "input": {"sha256": job.table.sha256, "n_candidates": len(job.table)},
        "settings": job.settings.as_dict() | {"model": job.card.name},
        "model": {"name": job.card.name, "sha256": job.card.sha256},
        "corrections": {"scheme": str(hull_scheme(job.card)), "pymatgen": version("pymatgen")},
        "references": _describe(job.competition),
    }
