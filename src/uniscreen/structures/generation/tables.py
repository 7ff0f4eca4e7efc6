"""Write what is made from seeds and prototypes as a candidates table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError, StructureError
from uniscreen.structures.candidate import ReadLimits
from uniscreen.structures.generation.prototypes import decorations
from uniscreen.structures.generation.substitution import Substituted, substitutions
from uniscreen.structures.writing import CandidateWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from uniscreen.structures.candidate import CandidateTable
    from uniscreen.structures.generation.prototypes import Prototype

COLUMNS = ("oxidation_states", "substitution_probability", "volume_from")


@dataclass
class Made:
    """How many candidates were written, how many were not and why, and which seeds could not be read and why."""

    n_written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)

    def require_some(self, path: Path) -> None:
        """Refuse an empty table.

        Raises:
            InputError: nothing was written.
        """
        if not self.n_written:
            reasons = [f"{n} dropped: {reason}" for reason, n in self.dropped.most_common()]
            reasons += [f"{len(self.unreadable)} seeds unreadable"] if self.unreadable else []
            raise InputError(f"{path} is not written, since no candidate was left ({'; '.join(reasons)}).")


def write_substituted(
    seeds: CandidateTable,
    alternatives: Mapping[str, Sequence[str]],
    path: Path,
    *,
    allow_unbalanced: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Write the crystals that ``substitutions`` makes of each seed; their ids are ``SEED_Li-Na_Co-Fe``.

    Beside COLUMNS the table has ``seed``, the seed's id, and ``replacement``. ``on_progress`` is told how many seeds
    are done, and of how many.

    Raises:
        InputError: nothing is left to write.
    """
    made = Made()
    names: set[str] = set()
    with CandidateWriter(path, ("seed", "replacement", *COLUMNS)) as writer:
        for done, seed in enumerate(seeds, start=1):
            try:
                structure = _structure(seed.source.load(ReadLimits()))
            except StructureError as error:
                made.unreadable[seed.id] = str(error)
                continue
            for result in substitutions(structure, alternatives, allow_unbalanced=allow_unbalanced):
                label = result.label if isinstance(result, Substituted) else ""
                values = {"seed": seed.id, "replacement": label.replace("_", " ")}
                _write(writer, made, names, f"{seed.id}_{label}" if label else seed.id, result, values)
            if on_progress is not None:
                on_progress(done, len(seeds))
        made.require_some(path)
    return made


def write_decorated(
    prototypes: Sequence[Prototype],
    alternatives: Mapping[str, Sequence[str]],
    path: Path,
    *,
    allow_unbalanced: bool = False,
) -> Made:
    """Write the crystals that ``decorations`` makes of each prototype; their ids are ``NaCl-rocksalt``.

    Beside COLUMNS the table has ``prototype``.

    Raises:
        InputError: nothing is left to write, or there are elements for a site that no prototype has.
    """
    known = {site for prototype in prototypes for site in prototype.sites}
    if unused := [site for site in alternatives if site not in known]:
        formulas = ", ".join(f"{prototype.name} {prototype.formula}" for prototype in prototypes)
        raise InputError(f"--elements {unused[0]}: no such sites in {formulas}.")
    made = Made()
    names: set[str] = set()
    with CandidateWriter(path, ("prototype", *COLUMNS)) as writer:
        for prototype in prototypes:
            for elements, result in decorations(prototype, alternatives, allow_unbalanced=allow_unbalanced):
                name = prototype.candidate_name(elements)
                _write(writer, made, names, name, result, {"prototype": prototype.name})
        made.require_some(path)
    return made


def _write(
    writer: CandidateWriter, made: Made, names: set[str], name: str, result: Substituted | str, values: dict[str, Any]
) -> None:
    """Write one result, or count why there is none; a name that is taken gets a number."""
    if not isinstance(result, Substituted):
        made.dropped[result] += 1
        return
    unique, number = name, 2
    while unique in names:
        unique, number = f"{name}_{number}", number + 1
    names.add(unique)
    probability = result.probability
    values |= {
        "oxidation_states": result.ions,
        "substitution_probability": None if probability is None else f"{probability:.3g}",
        "volume_from": result.volume_from,
    }
    writer.write(unique, result.structure.to_ase_atoms(), values)
    made.n_written += 1


def _structure(atoms: Any) -> Any:
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_structure(atoms)
