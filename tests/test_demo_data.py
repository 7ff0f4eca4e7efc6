"""The demo data set is what its script writes, and its good structures are sensible crystals."""

from __future__ import annotations

import csv
import gzip
import importlib
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ase.io
import numpy as np
import pytest
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
MODULES = ("build", "prototypes", "crystals", "formats")

with (DEMO / "candidates.csv").open(encoding="utf-8", newline="") as stream:
    ROWS = list(csv.DictReader(stream))
GOOD = [row for row in ROWS if row["origin"] != "deliberately bad"]
BAD = {row["id"]: row for row in ROWS if row["origin"] == "deliberately bad"}


@pytest.fixture(scope="module")
def demo() -> Iterator[dict[str, Any]]:
    """The modules beside the data, imported as `python data/demo/build.py` would and forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DEMO)
        for name in MODULES:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in MODULES}
        for name in MODULES:
            del sys.modules[name]


def read(row: dict[str, str]) -> Atoms:
    path = DEMO / row["structure"]
    if path.suffix == ".extxyz":
        return ase.io.read(path)
    return AseAtomsAdaptor.get_atoms(Structure.from_file(path))


def content(path: Path) -> bytes:
    # zlib implementations compress differently; what is compressed, and the header, must be the same
    raw = path.read_bytes()
    return raw[:8] + gzip.decompress(raw) if path.suffix == ".gz" else raw


def test_script_reproduces_every_file(demo, tmp_path):
    for folder in ("first", "second"):
        demo["build"].build(tmp_path / folder)
    first = tmp_path / "first"
    committed = {path.relative_to(DEMO) for path in (DEMO / "structures").iterdir()}
    built = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    assert built == committed | {Path("candidates.csv")}
    for path in built:
        assert (first / path).read_bytes() == (tmp_path / "second" / path).read_bytes(), path
        assert content(first / path) == content(DEMO / path), path


def test_table():
    ids = [row["id"] for row in ROWS]
    assert len({name.lower() for name in ids}) == len(ids)
    assert len(GOOD) >= 60
    assert 6 <= len(BAD) <= 8
    assert all(row["id"].startswith("bad-") == (row["id"] in BAD) for row in ROWS)
    assert {"".join(Path(row["structure"]).suffixes) for row in GOOD} == {
        ".cif", ".vasp", ".extxyz", ".json", ".cif.gz",
    }  # fmt: skip


def test_size():
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if "__pycache__" not in path.parts) < 300_000


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row["id"])
def test_good_structure(row):
    atoms = read(row)
    assert all(atoms.pbc)
    assert 4 < atoms.get_volume() / len(atoms) < 80  # Å³; bcc K and Ba are the large ones
    left, right, distances = neighbor_list("ijd", atoms, 6.0)
    radii = covalent_radii[atoms.numbers]
    assert distances.min() > 1.0
    assert (distances / (radii[left] + radii[right])).min() > 0.7  # cations in a layer touch at 0.75
    assert set(left) == set(range(len(atoms)))  # no atom is alone


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row["id"])
def test_good_structure_has_the_symmetry_of_its_prototype(demo, row):
    structure = AseAtomsAdaptor.get_structure(read(row))
    found = SpacegroupAnalyzer(structure, symprec=1e-4).get_space_group_number()
    prototype = demo["prototypes"].PROTOTYPES.get(row["id"].split("-", 1)[1])
    assert found == (1 if row["id"].endswith("-rattled") else prototype.space_group)
    assert len(structure) == len(structure.get_primitive_structure(tolerance=0.01))


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row["id"])
def test_good_structure_is_named_after_its_formula(row):
    formula = AseAtomsAdaptor.get_structure(read(row)).composition.reduced_composition
    named = re.match(r"[A-Za-z0-9]+", row["id"])
    assert named is not None
    assert formula == type(formula)(named[0]).reduced_composition


def test_every_element_is_a_candidate_too():
    present = [set(read(row).symbols) for row in GOOD]
    assert {next(iter(one)) for one in present if len(one) == 1} == set.union(*present)


def test_missing_file_is_missing():
    missing = [row["id"] for row in ROWS if not (DEMO / row["structure"]).exists()]
    assert missing == ["bad-missing-file"]


def test_garbage_does_not_parse():
    with pytest.raises(ValueError, match="Invalid CIF file"):
        Structure.from_file(DEMO / BAD["bad-garbage"]["structure"])


def test_bad_structures_are_bad_in_the_way_they_say():
    partial = Structure.from_file(DEMO / BAD["bad-partial-occupancy"]["structure"])
    assert not partial.is_ordered
    assert read(BAD["bad-same-place"]).get_all_distances(mic=True)[0, 1] == 0
    assert np.isnan(read(BAD["bad-nan-coordinates"]).positions).any()
    assert len(neighbor_list("i", read(BAD["bad-isolated-atom"]), 10.0)) == 0
    assert "Am" in read(BAD["bad-unsupported-element"]).symbols
    assert BAD["bad-formula-cell"]["prototype"].startswith("=")


def test_data_card_counts_what_is_there():
    card = (DEMO / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| ([^|`]+?) +\| +(\d+) \|", card, flags=re.MULTILINE)
    assert {name: int(count) for name, count in table} == Counter(row["prototype"] for row in GOOD)
    assert set(re.findall(r"^\| `(bad-[\w-]+)`", card, flags=re.MULTILINE)) == set(BAD)
    assert f"{len(GOOD)} good" in card
    assert f"{sum(len(read(row)) for row in GOOD)} atoms" in card
