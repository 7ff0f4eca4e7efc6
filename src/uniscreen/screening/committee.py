"""Several models on the same candidates: each one's own run, then one table of all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError, ReferenceMismatchError
from uniscreen.screening.committee_table import committee_table
from uniscreen.screening.job import Job, Machine, competition_of, model_card, prepare, reference_structures
from uniscreen.screening.outputs import write_outputs
from uniscreen.screening.pipeline import Progress, ScreenRun, run_job
from uniscreen.screening.provenance import Timer, describe_card, manifest, provenance
from uniscreen.screening.store import MODELS, RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.competition import ModelReferences
    from uniscreen.screening.settings import ScreenSettings


def run_committee(
    candidates: Path | str | Sequence[Atoms | Structure],
    members: Sequence[ScreenSettings],
    *,
    out: Path | str | None = None,
    references: Path | str = "elements",
    self_consistent: bool = False,
    workers: int | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_fetch: Callable[[str, int, int], None] | None = None,
) -> ScreenRun:
    """Screen with several models and write one ranked table of what each says; see ``committee_table``.

    Each model relaxes every candidate itself and competes at its own energies, one model after the other. Its run is
    one of ``run_screen``, in ``models/<name>`` of the folder. The first member leads: the structures are its own.

    ``members`` are the settings of each model, equal in all but ``model``. The other arguments are those of
    ``run_screen``; ``on_progress`` is told the counts of all models together.

    Raises:
        InputError: as for ``run_screen``; no model is named, or one twice; two are of different functionals; one
            cannot be loaded. All of it before anything is computed.
    """
    timer = Timer.start()
    cards = _comparable_cards(members)
    machine = Machine.of(members[0], workers)
    inputs, folder = prepare(candidates, members[0], cards[0], references, out, restart=restart, on_fetch=on_fetch)
    competition = competition_of(inputs, references)
    structures = reference_structures(inputs, references) if self_consistent else None
    _require_loadable(members[1:])
    jobs = [
        Job(inputs, settings, card, competition, machine, structures)
        for settings, card in zip(members, cards, strict=True)
    ]
    store = RunStore.open(folder, _manifest(jobs), restart=restart)
    try:
        inputs.keep(folder)
        total = _Total(len(jobs) * len(inputs.table), on_progress)
        runs = {}
        for number, job in enumerate(jobs, start=1):
            total.begin(f"{job.card.name} ({number} of {len(jobs)})")
            runs[job.card.name] = run_job(job, folder / MODELS / job.card.name, restart=False, on_progress=total.report)
        results = committee_table({name: done.results for name, done in runs.items()})
        lead = runs[cards[0].name]
        write_outputs(folder, results, lead.records, _provenance(jobs, timer, lead.model_references))
    finally:
        store.close()
    return ScreenRun(tuple(runs), results, competition, folder, timer.seconds, lead.model_references)


class _Total:
    """Adds up the progress of models that run one after the other."""

    def __init__(self, total: int, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._before = Progress(total, {}, 0)
        self._now = self._before

    def begin(self, model: str) -> None:
        """The next model takes over."""
        self._before = replace(self._now, model=model)

    def report(self, progress: Progress) -> None:
        """Tell of one model's progress on top of what the ones before it have done."""
        done = Counter(self._before.done) + Counter(progress.done)
        self._now = replace(self._before, done=dict(done), resumed=self._before.resumed + progress.resumed)
        if self._on_progress is not None:
            self._on_progress(self._now)


def _comparable_cards(members: Sequence[ScreenSettings]) -> list[ModelCard]:
    """The members' cards, checked to be of different models whose corrected energies can be compared."""
    if not members:
        raise InputError("No model is named; expected at least one, e.g. chgnet-0.3.0.")
    if members[0].head:
        raise InputError(
            f"--head {members[0].head} names an output of one model, but several are given. Screen with each alone."
        )
    cards = [model_card(settings) for settings in members]
    for name, count in Counter(card.name for card in cards).items():
        if count > 1:
            raise InputError(
                f"{count} models are called {name}, and columns go by that name. Expected different models: leave one "
                "out, or rename a folder that fine-tuning wrote."
            )
    lead = cards[0]
    for card in cards[1:]:
        if card.functional != lead.functional:
            raise ReferenceMismatchError(
                f"{lead.name} gives {lead.functional} energies and {card.name} {card.functional} ones, which cannot be "
                "averaged or meet one hull. Choose models of one functional; --functional says that of a model file."
            )
    return cards


def _require_loadable(members: Sequence[ScreenSettings]) -> None:
    """Load the models whose turn comes later, so that a missing package is not found out hours after the start."""
    from uniscreen.potentials import load_potential

    for settings in members:
        load_potential(
            settings.model,
            device="cpu",
            dtype=settings.dtype,
            head=settings.head,
            trust_model_file=settings.trust_model_file,
        )


def _manifest(jobs: Sequence[Job]) -> dict[str, Any]:
    """That of the lead, naming all models in place of the one."""
    of_lead = manifest(jobs[0])
    names = [job.card.name for job in jobs]
    return of_lead | {
        "settings": of_lead["settings"] | {"model": names},
        "model": {"name": names, "sha256": [job.card.sha256 for job in jobs]},
    }


def _provenance(jobs: Sequence[Job], timer: Timer, own: ModelReferences | None) -> dict[str, Any]:
    """That of the lead, whose card is ``model``, with the cards of all by name under ``models``."""
    of_lead = provenance(jobs[0], timer, own)
    names = [job.settings.model for job in jobs]
    return of_lead | {
        "settings": of_lead["settings"] | {"model": names},
        "models": {job.card.name: describe_card(job.card) for job in jobs},
    }
