"""Tables of generated candidates: ids, columns, what is counted, and that a screen can read them."""

import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk

from uniscreen.errors import InputError
from uniscreen.structures import ReadLimits, candidates_from_structures, read_candidates
from uniscreen.structures.generation import find_prototype, write_decorated, write_substituted


def test_substituted(tmp_path):
    nacl, cu = bulk("NaCl", "rocksalt", a=5.64), bulk("Cu")
    broken = Atoms("Na", cell=[0, 0, 0])
    seeds = candidates_from_structures([nacl, cu, broken, nacl * (1, 1, 2)], ["salt", "metal", "broken", "salt_Na-K"])
    told = []
    made = write_substituted(
        seeds, {"Na": ("K", "Mg", "Na")}, tmp_path / "new.csv", on_progress=lambda *step: told.append(step)
    )
    table = read_candidates(tmp_path / "new.csv")
    assert [one.id for one in table] == ["salt_Na-K", "salt", "salt_Na-K_Na-K", "salt_Na-K_2"]
    assert table.columns["seed"].tolist() == ["salt", "salt", "salt_Na-K", "salt_Na-K"]
    assert table.columns["replacement"].fillna("").tolist() == ["Na-K", "", "Na-K", ""]
    assert table.columns["oxidation_states"].tolist() == ["K+ Cl-", "Na+ Cl-", "K+ Cl-", "Na+ Cl-"]
    assert table.columns["volume_from"].tolist() == ["ionic radii"] * 4
    assert (table.columns["substitution_probability"] < 1).all()
    assert made.n_written == 4
    assert made.dropped == {"no neutral oxidation states": 2, "an element to replace is missing": 1}
    assert list(made.unreadable) == ["broken"]
    assert told[-1] == (4, 4)
    atoms = table.candidates[0].source.load(ReadLimits())
    assert sorted(atoms.get_chemical_symbols()) == ["Cl", "K"]


def test_a_table_without_rows_is_an_error_that_says_why(tmp_path):
    seeds = candidates_from_structures([bulk("NaCl", "rocksalt", a=5.64)])
    with pytest.raises(InputError, match="1 dropped: no neutral oxidation states"):
        write_substituted(seeds, {"Na": ("Mg",)}, tmp_path / "new.csv")
    assert list(tmp_path.iterdir()) == []


def test_decorated(tmp_path):
    types = [find_prototype("rocksalt"), find_prototype("fluorite")]
    made = write_decorated(types, {"A": ("Mg", "Na"), "X": ("O", "F")}, tmp_path / "new.csv")
    table = pd.read_csv(tmp_path / "new.csv")
    assert table["id"].tolist() == ["MgO-rocksalt", "NaF-rocksalt", "MgF2-fluorite"]
    assert table["prototype"].tolist() == ["rocksalt", "rocksalt", "fluorite"]
    assert made.dropped == {"no neutral oxidation states": 5}
    everything = write_decorated(
        types, {"A": ("Mg", "Na"), "X": ("O", "F")}, tmp_path / "all.csv", allow_unbalanced=True
    )
    assert (everything.n_written, dict(everything.dropped)) == (8, {})


def test_elements_for_a_site_that_there_is_not_are_an_error(tmp_path):
    with pytest.raises(InputError, match="--elements B: no such sites in rocksalt A X"):
        write_decorated([find_prototype("rocksalt")], {"A": ("Na",), "B": ("K",), "X": ("Cl",)}, tmp_path / "new.csv")
