"""What one model is to do: candidates and references, read, fetched and checked before any of it is done."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from uniscreen.errors import InputError, ReferenceMismatchError
from uniscreen.machine import usable_cores
from uniscreen.potentials import resolve_device, resolve_model
from uniscreen.screening.competition import Competition
from uniscreen.screening.corrections import hull_scheme
from uniscreen.screening.materials_project import REFERENCES, Fetcher
from uniscreen.screening.self_consistent import read_reference_structures
from uniscreen.structures import CandidateTable, ReadLimits, candidates_from_structures, read_candidates
from uniscreen.thermodynamics import ReferenceSet
from uniscreen.thermodynamics.references import THERMO_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from pymatgen.core import Structure

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.screening.materials_project import ScreenInputs
    from uniscreen.screening.settings import ScreenSettings


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
    if card.functional not in THERMO_TYPES:
        raise ReferenceMismatchError(
            f"{card.name} was trained on {card.functional} energies, and no references have this functional: those "
            f"that can be read are of {' or '.join(THERMO_TYPES)}. So there is no hull; screen with another model."
        )
    if str(references) == "mp":
        return None
    if str(references) == "elements":
        chosen = ReferenceSet.from_elements(card.functional)
    else:
        chosen = ReferenceSet.from_file(references)
    chosen.require_match(card.name, card.functional, hull_scheme(card))
    return chosen
