from __future__ import annotations

import json
import random

import pandas as pd
import pytest
from pymatgen.core import Composition

from uniscreen.potentials.cards import find_card
from uniscreen.reports.results import NUMBER_COLUMNS, TEXT_COLUMNS
from uniscreen.thermodynamics import CompetingEntry, Hull, HullDistance, ReferenceSet, hull_over_candidates

RUN = {
    "uniscreen": "0.1.0",
    "settings": {"fmax_eV_per_A": 0.05, "max_steps": 500, "relax_cell": True},
    "environment": {"python": "3.11.9", "torch": "2.13.0", "chgnet": "0.4.2", "pymatgen": "2026.10"},
    "hardware": {"cpu": "example", "threads": 2, "gpu": None},
    "started": "2026-03-04T09:12:05+00:00",
    "finished": "2026-03-04T09:20:44+00:00",
    "seconds": 519.2,
}


def candidate(id_, formula, formation, **extra):
    """An evaluated candidate by its formation energy (eV/atom)."""
    return {"id": id_, "formula": formula, "formation_energy_eV_per_atom": formation, "status": "ok", **extra}


def failure(id_, status, reason, **extra):
    return {"id": id_, "status": status, "reason": reason, "formula": "", **extra}


def results_table(rows, references, hull):
    """Rows as the screening writes them: hull distances from the hull itself, ranks from the distances."""
    rows = [dict(row) for row in rows]
    ok = [row for row in rows if row["status"] == "ok"]
    compositions = [Composition(row["formula"]) for row in ok]
    elements = {el: entry.energy_per_atom for el, entry in references.terminals.items()}
    energies = [
        row["formation_energy_eV_per_atom"] * c.num_atoms
        + sum(elements.get(str(el), 0.0) * n for el, n in c.get_el_amt_dict().items())
        for row, c in zip(ok, compositions, strict=True)
    ]
    if all("e_above_hull_eV_per_atom" in row for row in ok):
        distances = [HullDistance(None, None, ())] * len(ok)
    elif hull == "candidates":
        distances = hull_over_candidates(
            [
                CompetingEntry(row["id"], c.get_el_amt_dict(), e)
                for row, c, e in zip(ok, compositions, energies, strict=True)
            ],
            references,
        )
    else:
        fixed = Hull(references)
        distances = [fixed.e_above_hull(c, e) for c, e in zip(compositions, energies, strict=True)]
    generator = random.Random(7)
    for row, c, energy, found in zip(ok, compositions, energies, distances, strict=True):
        row.setdefault("e_above_hull_eV_per_atom", found.e_above_hull)
        row.setdefault("n_atoms", int(c.num_atoms))
        row.setdefault("energy_eV_per_atom", energy / c.num_atoms)
        row.setdefault("correction_eV_per_atom", 0.0)
        row.setdefault("decomposition", " + ".join(f"{x:.2f} {f}" for f, x in found.decomposition.items()))
        row.setdefault("n_steps", generator.randint(8, 140))
        row.setdefault("relaxation_energy_eV_per_atom", -0.01)
        row.setdefault("max_force_eV_per_A", 0.03)
        row.setdefault("max_stress_GPa", 0.05)
        row.setdefault("volume_change_percent", round(generator.gauss(0.5, 4.0), 3))
        row.setdefault("space_group_initial", "Fm-3m (225)")
        row.setdefault("space_group_final", "Fm-3m (225)")
        row.setdefault("flags", ";".join(f"missing_terminal:{el}" for el in found.missing_terminals))
    ranked = sorted(
        (row for row in ok if row["e_above_hull_eV_per_atom"] is not None),
        key=lambda row: row["e_above_hull_eV_per_atom"],
    )
    for rank, row in enumerate(ranked, start=1):
        row["rank"] = rank
    columns = [*TEXT_COLUMNS, *NUMBER_COLUMNS]
    frame = pd.DataFrame(rows)
    carried = [column for column in frame.columns if column not in columns]
    frame = frame.reindex(columns=[*columns, *carried])
    frame["model"] = "chgnet-0.3.0"
    numbers = [c for c in columns if c.endswith(("per_atom", "per_A", "GPa", "percent"))]
    frame[numbers] = frame[numbers].astype("float64")
    for column in ("rank", "n_atoms", "n_steps"):
        frame[column] = frame[column].astype("Int64")
    return frame.sort_values("rank", kind="stable", na_position="last")


def write_results(folder, rows, references, *, hull="candidates", model="chgnet-0.3.0"):
    folder.mkdir(parents=True, exist_ok=True)
    results_table(rows, references, hull).to_parquet(folder / "results.parquet")
    card = find_card(model)
    run = {
        **RUN,
        "model": {
            key: getattr(card, key)
            for key in ("name", "architecture", "functional", "energy_convention", "licence", "citation", "sha256")
        },
        "input": {"name": "candidates.csv", "sha256": "ab" * 32, "n_candidates": len(rows)},
        "references": {
            "source": references.source,
            "functional": references.functional,
            "scheme": str(references.scheme),
            "sha256": references.sha256,
            "n_entries": len(references),
            "hull": hull,
        },
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


LITHIUM_COBALT_OXIDES = (
    ("Li-bcc", "Li", 0.002),
    ("Co-hcp", "Co", 0.001),
    ("Li2O-antifluorite", "Li2O", -2.0),
    ("CoO-rocksalt", "CoO", -1.2),
    ("CoO-wurtzite", "CoO", -1.17),
    ("Co3O4-spinel", "Co3O4", -1.31),
    ("LiCoO2-layered", "LiCoO2", -1.68),
    ("LiCoO2-ordered-rocksalt", "LiCoO2", -1.60),
    ("NaCl-rocksalt", "NaCl", -2.1),
)


@pytest.fixture(scope="session")
def elements():
    return ReferenceSet.from_elements("PBE")


@pytest.fixture
def oxides():
    return [candidate(*row, prototype="known") for row in LITHIUM_COBALT_OXIDES]


@pytest.fixture
def results_folder(tmp_path, elements):
    """Write rows as a results folder; ``elements`` are the references unless others are given."""

    def write(rows, references=None, **settings):
        return write_results(tmp_path / "results", rows, references or elements, **settings)

    return write


@pytest.fixture(scope="session")
def make_candidate():
    return candidate


@pytest.fixture(scope="session")
def make_failure():
    return failure
