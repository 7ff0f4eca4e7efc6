"""Where a trained potential is wrong: errors by group of frames, by element and by size of the force."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from uniscreen.reports.tables import Cell, Table, number_cell, records, text_cell
from uniscreen.reports.text import MISSING, chemical, number
from uniscreen.reports.training_results import FORCE_STAGES, SETS, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from pandas import DataFrame

    from uniscreen.reports.training_results import TrainingResults

FORCE_EDGES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, math.inf)
"""Bins of the length of the labelled force on an atom, eV/Å; each holds its lower edge."""

QUARTERS = ("least", "less", "more", "most")
_DEVIATIONS_NOTE = (
    "Deviation: of the members' forces on an atom. Error: the length of the difference to the DFT force. Errors that "
    "rise with the deviation say that it shows where the ensemble is wrong. It is smaller than the errors, which the "
    "members share in part."
)

GROUPS_SHOWN = 60
FRAMES_SHOWN = 15


class ForceErrors(NamedTuple):
    """Errors of the forces on some atoms: how many, and by stage the MAE (meV/Å) and the slope through the origin."""

    name: str
    atoms: int
    mae: dict[str, float]
    slope: dict[str, float]


class Breakdown(NamedTuple):
    """The errors of one set of frames by group, by element and by size of the force; ``words`` name it.

    ``deviations`` are those of an ensemble by how far its members are apart.
    """

    name: str
    words: str
    groups: Table
    elements: Table
    magnitudes: Table
    deviations: Table | None


def breakdown(results: TrainingResults, name: str) -> Breakdown:
    """Tabulate the errors of one set."""
    frames = results.frames[results.frames["set"] == name]
    atoms = results.atoms[results.atoms["set"] == name]
    return Breakdown(
        name,
        SETS[name],
        group_table(frames),
        _force_table("Element", by_element(atoms)),
        _force_table("Length of the DFT force, eV/Å", by_magnitude(atoms)),
        deviation_table(atoms),
    )


def group_table(frames: DataFrame) -> Table:
    """One row a group, the largest energy error after training first; forces count by component."""
    headers = [
        Cell("Group", kind="id"),
        Cell("Frames", kind="number"),
        *(Cell(f"Energy MAE {words}, meV/atom", kind="number") for words in ("before", "re-referenced", "trained")),
        *(Cell(f"Force MAE {words}, meV/Å", kind="number") for words in ("before", "trained")),
    ]
    rows = []
    for group, inside in frames.groupby("group", sort=True):
        energies = [float(inside[f"energy_error_{stage}"].abs().mean()) for stage in STAGES]
        forces = [
            float(np.average(inside[f"force_mae_{stage}_meV_per_A"], weights=inside["n_atoms"]))
            for stage in FORCE_STAGES
        ]
        rows.append((str(group), len(inside), energies, forces))
    rows.sort(key=lambda row: -row[2][-1])
    more = len(rows) - GROUPS_SHOWN
    return Table(
        headers,
        [
            [
                text_cell(group, 80, "id") if group else Cell(MISSING, title="the data names no group", kind="id"),
                number_cell(n, 0),
                *(number_cell(value, 1) for value in (*energies, *forces)),
            ]
            for group, n, energies, forces in rows[:GROUPS_SHOWN]
        ],
        f"{more:,} more groups have smaller energy errors; their frames are in predictions.csv." if more > 0 else "",
    )


def by_element(atoms: DataFrame) -> list[ForceErrors]:
    """The errors of the forces on the atoms of each element."""
    return [_force_errors(str(symbol), inside) for symbol, inside in atoms.groupby("element", sort=True)]


def by_magnitude(atoms: DataFrame) -> list[ForceErrors]:
    """The errors of the forces by the length of the labelled force; bins without atoms are left out."""
    lengths = np.linalg.norm(vectors(atoms, ""), axis=1)
    place = np.searchsorted(FORCE_EDGES, lengths, side="right") - 1
    bins = itertools.pairwise(FORCE_EDGES)
    return [_force_errors(_bin_name(*edges), atoms[place == k]) for k, edges in enumerate(bins) if (place == k).any()]


def deviation_table(atoms: DataFrame) -> Table | None:
    """One row a quarter of the atoms, by the standard deviation of the members' forces; None without an ensemble."""
    if "force_std" not in atoms or atoms["force_std"].isna().any():
        return None
    deviations = 1000 * atoms["force_std"].to_numpy(np.float64)
    errors = 1000 * np.linalg.norm(vectors(atoms, "trained") - vectors(atoms, ""), axis=1)
    headers = [
        Cell("Atoms by how far the members are apart"),
        Cell("Atoms", kind="number"),
        Cell("Mean deviation, meV/Å", kind="number"),
        Cell("Mean error of the force, meV/Å", kind="number"),
        Cell("Largest error, meV/Å", kind="number"),
    ]
    quarters = zip(QUARTERS, np.array_split(np.argsort(deviations, kind="stable"), len(QUARTERS)), strict=True)
    rows = [
        [
            Cell(words, kind="short"),
            number_cell(len(chosen), 0),
            number_cell(float(deviations[chosen].mean()), 1),
            number_cell(float(errors[chosen].mean()), 1),
            number_cell(float(errors[chosen].max()), 1),
        ]
        for words, chosen in quarters
        if len(chosen)
    ]
    return Table(headers, rows, _DEVIATIONS_NOTE)


def vectors(atoms: DataFrame, stage: str) -> NDArray[np.float64]:
    """Forces (n, 3) in eV/Å: of a stage, or those of the data for ""."""
    suffix = f"_{stage}" if stage else ""
    return atoms[[f"f{axis}{suffix}" for axis in "xyz"]].to_numpy(np.float64)


def worst_frames(results: TrainingResults, quantity: str) -> Table:
    """The frames whose ``energy`` or ``forces`` are worst after training, over all sets."""
    frames, energy = results.frames, quantity == "energy"
    before, after = (
        ("energy_error_rereferenced", "energy_error_trained")
        if energy
        else ("force_mae_pretrained_meV_per_A", "force_mae_trained_meV_per_A")
    )
    what = "Energy error {}, meV/atom" if energy else "Force MAE {}, meV/Å"
    headers = [
        Cell("Set"),
        Cell("Frame", kind="id"),
        Cell("Group"),
        Cell("Formula"),
        Cell("Atoms", kind="number"),
        Cell(what.format("re-referenced" if energy else "before"), kind="number"),
        Cell(what.format("trained"), kind="number"),
    ]
    shown = frames.sort_values(after, key=abs, ascending=False, kind="stable").head(FRAMES_SHOWN)
    rows = [
        [
            Cell(SETS.get(row["set"], row["set"])),
            text_cell(row["place"], 80, "id"),
            text_cell(row["group"], 60) if row["group"] else Cell(MISSING),
            Cell(chemical(row["formula"])),
            number_cell(row["n_atoms"], 0),
            number_cell(row[before], 1),
            number_cell(row[after], 1),
        ]
        for row in records(shown)
    ]
    more = len(frames) - len(rows)
    return Table(headers, rows, f"{more:,} more are in predictions.csv." if more > 0 else "")


def _force_errors(name: str, atoms: DataFrame) -> ForceErrors:
    true = vectors(atoms, "")
    predicted = {stage: vectors(atoms, stage) for stage in FORCE_STAGES}
    size = float(np.sum(true * true))
    return ForceErrors(
        name,
        len(atoms),
        {stage: 1000 * float(np.mean(np.abs(forces - true))) for stage, forces in predicted.items()},
        {stage: float(np.sum(true * forces)) / size if size else math.nan for stage, forces in predicted.items()},
    )


def _force_table(heading: str, rows: Iterable[ForceErrors]) -> Table:
    headers = [
        Cell(heading),
        Cell("Atoms", kind="number"),
        *(Cell(f"Force MAE {words}, meV/Å", kind="number") for words in ("before", "trained")),
        *(Cell(f"Force slope {words}", kind="number") for words in ("before", "trained")),
    ]
    return Table(
        headers,
        [
            [
                Cell(row.name, kind="short"),
                number_cell(row.atoms, 0),
                *(number_cell(row.mae[stage], 1) for stage in FORCE_STAGES),
                *(number_cell(row.slope[stage], 2) for stage in FORCE_STAGES),
            ]
            for row in rows
        ],
    )


def _bin_name(low: float, high: float) -> str:
    if math.isinf(high):
        return f"{number(low, 0)} and more"
    return f"{low:g} to {high:g}"
