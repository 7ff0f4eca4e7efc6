"""True energies: where they are taken from, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Structure

from uniscreen.benchmarking.truth import read_truth
from uniscreen.errors import InputError
from uniscreen.structures import read_candidates
from uniscreen.structures.writing import CandidateWriter


def structures(folder, columns):
    """A table of three crystals with these columns."""
    with CandidateWriter(folder / "in.csv", list(columns)) as writer:
        for row, name in enumerate("abc"):
            writer.write(name, bulk("Cu"), {column: values[row] for column, values in columns.items()})
    return read_candidates(folder / "in.csv")


def test_corrected_energies_are_preferred_to_raw_ones(tmp_path):
    table = structures(
        tmp_path,
        {"formation_energy_per_atom": [9, 9, 9], "corrected_formation_energy_per_atom": [-1, None, -3]},
    )
    truth = read_truth(table)
    assert truth.formation_column == "corrected_formation_energy_per_atom"
    assert truth.formation_energy.tolist() == pytest.approx([-1.0, np.nan, -3.0], nan_ok=True)
    assert not truth.has_hull
    assert truth.e_above_hull.isna().all()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_another_table_is_joined_by_id(tmp_path, suffix):
    frame = pd.DataFrame(
        {
            "material_id": ["c", "x", "a"],
            "e_form_per_atom_mp2020_corrected": [-3.0, 0.0, -1.0],
            "e_above_hull_mp2020_corrected_ppd_mp": [0.3, 0.0, 0.1],
        }
    )
    file = tmp_path / f"truth.{suffix}"
    frame.to_parquet(file) if suffix == "parquet" else frame.to_csv(file, index=False)
    truth = read_truth(structures(tmp_path, {}), file)
    assert truth.formation_energy.tolist() == pytest.approx([-1.0, np.nan, -3.0], nan_ok=True)
    assert truth.e_above_hull.tolist() == pytest.approx([0.1, np.nan, 0.3], nan_ok=True)
    assert truth.source == file.name


def test_ids_of_another_table_are_text(tmp_path):
    with CandidateWriter(tmp_path / "in.csv", []) as writer:
        for name in ("001", "1e3", "2.50"):
            writer.write(name, bulk("Cu"), {})
    (tmp_path / "truth.csv").write_text("id,e_form_per_atom\n001,-1\n1e3,-2\n2.50,-3\n")
    truth = read_truth(read_candidates(tmp_path / "in.csv"), tmp_path / "truth.csv")
    assert truth.formation_energy.tolist() == [-1.0, -2.0, -3.0]


def test_columns_can_be_named(tmp_path):
    table = structures(tmp_path, {"e_form_per_atom": [1, 1, 1], "mine": [2, 2, 2], "hull": [3, 3, 3]})
    truth = read_truth(table, None, "mine", "hull")
    assert truth.formation_energy.tolist() == [2.0] * 3
    assert truth.e_above_hull.tolist() == [3.0] * 3


def test_materials_project_entries_have_both(tmp_path):
    entry = {
        "entry_id": "mp-1",
        "structure": Structure(np.eye(3) * 3, ["Cu"], [[0, 0, 0]]).as_dict(),
        "e_form_per_atom": -0.5,
        "e_above_hull": 0.02,
    }
    (tmp_path / "entries.json").write_text(json.dumps([entry]))
    truth = read_truth(read_candidates(tmp_path / "entries.json"))
    assert (truth.formation_energy[0], truth.e_above_hull[0]) == (-0.5, 0.02)


def test_what_is_refused(tmp_path):
    table = structures(tmp_path, {"name": ["x", "y", "z"]})
    with pytest.raises(InputError, match="no column of true formation energies"):
        read_truth(table)
    with pytest.raises(InputError, match="no column 'energy'"):
        read_truth(table, None, "energy")
    with pytest.raises(InputError, match="no number"):
        read_truth(table, None, "name")
    with pytest.raises(InputError, match="does not exist"):
        read_truth(table, tmp_path / "nowhere.csv")
    (tmp_path / "ids.csv").write_text("id,e_form_per_atom\nx,1\n")
    with pytest.raises(InputError, match="do the ids agree"):
        read_truth(table, tmp_path / "ids.csv")
    (tmp_path / "twice.csv").write_text("id,e_form_per_atom\na,1\na,2\n")
    with pytest.raises(InputError, match="'a' twice"):
        read_truth(table, tmp_path / "twice.csv")
    (tmp_path / "none.csv").write_text("e_form_per_atom\n1\n")
    with pytest.raises(InputError, match="no id column"):
        read_truth(table, tmp_path / "none.csv")
