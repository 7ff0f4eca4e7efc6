"""Deduplication against StructureMatcher itself, and against copies that are known to be ones."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from uniscreen.errors import InputError
from uniscreen.structures import candidates_from_structures, read_candidates
from uniscreen.structures.deduplication import Tolerances, find_duplicates
from uniscreen.structures.deduplication.fingerprint import fingerprint, may_match

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
ENTRIES = [SHARED / "mp" / "li-co-ni-o-entries.json.gz", SHARED / "mp" / "y-mn-o-entries.json.gz"]


def polymorphs():
    """Six crystals of one formula."""
    rutile = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.59, 4.59, 2.96, 90, 90, 90]
    )
    anatase = crystal(["Ti", "O"], [(0, 0, 0), (0, 0, 0.208)], spacegroup=141, cellpar=[3.78, 3.78, 9.51, 90, 90, 90])
    fluorite = crystal(["Ti", "O"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[4.8] * 3 + [90] * 3)
    pyrite = crystal(["Ti", "O"], [(0, 0, 0), (0.34, 0.34, 0.34)], spacegroup=205, cellpar=[4.9] * 3 + [90] * 3)
    quartz = crystal(
        ["Ti", "O"], [(0.47, 0, 1 / 3), (0.41, 0.27, 0.12)], spacegroup=152, cellpar=[5.1, 5.1, 5.6, 90, 90, 120]
    )
    layered = crystal(
        ["Ti", "O"], [(0, 0, 0), (1 / 3, 2 / 3, 0.2)], spacegroup=164, cellpar=[3.0, 3.0, 5.0, 90, 90, 120]
    )
    for atoms in (found := [rutile, anatase, fluorite, pyrite, quartz, layered]):
        atoms.info.clear()
    return found


def copy_of(atoms, seed, noise=0.03):
    """The same crystal in another cell, orientation, place and order of atoms, 3 % larger or smaller, with noise."""
    random = np.random.default_rng(seed)
    repeats = [1, 1, 1]
    repeats[seed % 3] = 2 if len(atoms) < 30 else 1
    copy = atoms * repeats
    copy.rattle(noise, seed=seed)
    rotation = Rotation.random(random_state=random).as_matrix()
    order = random.permutation(len(copy))
    positions = copy.positions[order] + random.uniform(-3, 3, size=3)
    skew = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    made = Atoms(copy.numbers[order], positions @ rotation, cell=skew @ copy.cell.array @ rotation, pbc=True)
    made.set_cell(made.cell.array * random.uniform(0.97, 1.03), scale_atoms=True)
    made.wrap()
    return made


def kept_by_matcher(structures, **tolerances):
    """Places of the structures that StructureMatcher keeps, in their order."""
    place = {id(structure): row for row, structure in enumerate(structures)}
    return sorted(place[id(group[0])] for group in StructureMatcher(**tolerances).group_structures(structures))


def test_copies_are_found_whatever_their_cell():
    originals = polymorphs()
    copies = [copy_of(atoms, seed) for seed, atoms in enumerate(originals)]
    found = find_duplicates(candidates_from_structures([*originals, *copies]))
    assert found.duplicate_of == {6 + k: k for k in range(6)}
    assert found.not_compared == {}


def test_polymorphs_and_other_elements_are_kept():
    table = candidates_from_structures([*polymorphs(), bulk("NaCl", "rocksalt", 5.64), bulk("KCl", "rocksalt", 5.64)])
    assert find_duplicates(table).duplicate_of == {}


def test_the_volume_is_not_looked_at():
    table = candidates_from_structures([bulk("NaCl", "rocksalt", 5.0), bulk("NaCl", "rocksalt", 7.0)])
    assert find_duplicates(table).duplicate_of == {1: 0}


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.3])
def test_what_is_kept_is_what_structure_matcher_keeps(noise):
    """Noise up to and beyond what the matcher takes for the same crystal."""
    rows = [copy_of(atoms, seed, noise) for seed in range(4) for atoms in polymorphs()]
    found = find_duplicates(candidates_from_structures(rows))
    kept = [row for row in range(len(rows)) if row not in found.duplicate_of]
    assert kept == kept_by_matcher([AseAtomsAdaptor.get_structure(atoms) for atoms in rows])


@pytest.mark.parametrize(
    "tolerances", [Tolerances(0.05, 0.1, 1.0), Tolerances(0.4, 0.5, 10.0)], ids=["strict", "loose"]
)
def test_tolerances_are_those_of_structure_matcher(tolerances):
    rows = [copy_of(atoms, seed, 0.1) for seed in range(3) for atoms in polymorphs()]
    found = find_duplicates(candidates_from_structures(rows), tolerances)
    kept = [row for row in range(len(rows)) if row not in found.duplicate_of]
    given = {"ltol": tolerances.ltol, "stol": tolerances.stol, "angle_tol": tolerances.angle_tol}
    assert kept == kept_by_matcher([AseAtomsAdaptor.get_structure(atoms) for atoms in rows], **given)


@pytest.mark.slow
@pytest.mark.parametrize("file", ENTRIES, ids=lambda file: file.name)
def test_of_real_entries_the_same_are_kept(file):
    if not file.exists():
        pytest.skip(f"{file.name} is not there")
    rows = json.loads(gzip.decompress(file.read_bytes()))[:200]
    structures = [Structure.from_dict(row["structure"]) for row in rows]
    found = find_duplicates(read_candidates(file, limit=200))
    kept = [row for row in range(len(structures)) if row not in found.duplicate_of]
    assert kept == kept_by_matcher(structures)


def test_pairs_that_the_prefilter_rules_out_do_not_match():
    """Over random cells of one formula: where may_match is false, the matcher agrees; and it rules some out."""
    random = np.random.default_rng(5)
    crystals = [
        Structure(np.eye(3) * 4 + random.uniform(-1.2, 1.2, (3, 3)), ["Na", "Cl"], [[0, 0, 0], random.random(3)])
        for _ in range(40)
    ]
    reduced = [one.get_reduced_structure().get_primitive_structure() for one in crystals]
    prints = [fingerprint(one) for one in reduced]
    matcher = StructureMatcher()
    outcomes = {True: 0, False: 0}
    for first in range(40):
        for second in range(40):
            if may_match(prints[first].minima[None], prints[second].edges, matcher.ltol)[0]:
                outcomes[True] += 1
                continue
            outcomes[False] += 1
            assert not matcher.fit(reduced[first], reduced[second], skip_structure_reduction=True)
    assert min(outcomes.values()) > 100


def test_fingerprints_do_not_depend_on_the_cell():
    for seed, atoms in enumerate(polymorphs()):
        one, other = (
            fingerprint(
                AseAtomsAdaptor.get_structure(given).get_reduced_structure().get_primitive_structure()
            )
            for given in (atoms, copy_of(atoms, seed, noise=0.0))
        )  # fmt: skip
        assert one.n_sites == other.n_sites
        assert np.allclose(one.minima, other.minima, atol=1e-4)
        assert np.allclose(one.profile, other.profile, atol=1e-3)


def test_known_and_new():
    originals = polymorphs()
    references = candidates_from_structures(
        [copy_of(originals[2], 7), bulk("Cu"), copy_of(originals[0], 8)], ["ref-a", "ref-b", "ref-c"]
    )
    rows = candidates_from_structures([*originals, copy_of(originals[0], 9)])
    found = find_duplicates(rows, against=references)
    assert found.known_as == {0: "ref-c", 2: "ref-a"}
    assert found.duplicate_of == {6: 0}


def test_what_cannot_be_read_is_named_and_kept(tmp_path):
    (tmp_path / "bad.cif").write_text("no crystal")
    (tmp_path / "table.csv").write_text("id,structure\na,bad.cif\nb,bad.cif\nc,missing.cif\n")
    (tmp_path / "cu.json").write_text(json.dumps([Structure(np.eye(3) * 3, ["Cu"], [[0, 0, 0]]).as_dict()]))
    rows = read_candidates(tmp_path / "table.csv")
    found = find_duplicates(rows, against=rows)
    assert list(found.not_compared) == [0, 1, 2]
    assert "missing.cif" in found.not_compared[2]
    assert list(found.unreadable_references) == ["a", "b", "c"]
    assert found.duplicate_of == {}


def test_progress_is_told():
    told = []
    table = candidates_from_structures(polymorphs())
    find_duplicates(table, against=table, on_progress=lambda *step: told.append(step))
    assert told[5] == ("reading candidates", 6, 6)
    assert told[11] == ("reading references", 6, 6)
    assert told[-1] == ("comparing", 6, 6)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_tolerances_are_positive(value):
    with pytest.raises(InputError, match="--stol is"):
        Tolerances(stol=value)
