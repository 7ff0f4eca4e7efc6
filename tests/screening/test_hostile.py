"""A hostile table: every bad row gets its status and reason, and the good rows are right."""

import os

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

import uniscreen


@pytest.fixture(scope="module", params=[0, 2], ids=["one process", "two helper processes"])
def results(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("hostile")
    nacl = bulk("NaCl", "rocksalt", a=5.6)
    write(folder / "good.cif", nacl)
    write(folder.parent / "outside.cif", nacl)
    (folder / "garbage.cif").write_bytes(bytes(range(256)) * 50)
    (folder / "POSCAR-million").write_text("million\n1.0\n 400 0 0\n 0 400 0\n 0 0 400\nSi\n1000000\nDirect\n0 0 0\n")
    os.mkfifo(folder / "fifo.cif")
    nan = nacl.copy()
    nan.positions[1, 2] = np.nan
    write(folder / "nan.extxyz", nan)
    write(folder / "same-place.extxyz", Atoms("Na2", positions=[[0, 0, 0], [0, 0, 0]], cell=[4, 4, 4], pbc=True))
    write(folder / "isolated.extxyz", Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 8]], cell=[16, 16, 16], pbc=True))
    write(folder / "element.vasp", bulk("Po", "sc", a=3.4))
    write(folder / "kilometres.vasp", Atoms("Na2", positions=[[0, 0, 0], [0.4, 0, 0]], cell=[0.8, 0.8, 0.8], pbc=True))
    partial = (folder / "good.cif").read_text().replace("  1.0000\n", "  0.5000\n")
    assert partial != (folder / "good.cif").read_text()
    (folder / "partial.cif").write_text(partial)
    rows = {
        "good": "good.cif",
        "missing": "nowhere.cif",
        "outside": "../outside.cif",
        "device": "/dev/zero",
        "fifo": "fifo.cif",
        "garbage": "garbage.cif",
        "million": "POSCAR-million",
        "nan": "nan.extxyz",
        "same-place": "same-place.extxyz",
        "isolated": "isolated.extxyz",
        "partial": "partial.cif",
        "element": "element.vasp",
        "dense": "kilometres.vasp",
        "=HYPERLINK(1)": "good.cif",
    }
    table = pd.DataFrame({"id": list(rows), "structure": list(rows.values()), "note": "=1+1"})
    table.to_csv(folder / "hostile.csv", index=False)
    out = folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uniscreen.screening.pool.helpers_per_worker", lambda n_workers, device: request.param)
        workers = 1 if request.param else None
        return uniscreen.screen(folder / "hostile.csv", out=out, workers=workers).set_index("id"), out


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("missing", "invalid_structure", "no such file"),
        ("outside", "invalid_structure", "outside"),
        ("device", "invalid_structure", "/dev/zero"),
        ("fifo", "invalid_structure", "pipe"),
        ("garbage", "invalid_structure", "garbage.cif"),
        ("million", "too_large", "1,000,000 atoms; at most 1,000"),
        ("nan", "invalid_structure", "not finite"),
        ("same-place", "invalid_structure", "0.000 Å apart"),
        ("isolated", "isolated_atoms", "no neighbour within the model's cutoff of 6 Å"),
        ("partial", "invalid_structure", "occupancy 0.5"),
        ("element", "unsupported_element", "Po"),
        ("dense", "invalid_structure", "Å³ per atom"),
    ],
)
def test_each_bad_row_says_why(results, name, status, reason):
    table, _ = results
    assert table.loc[name, "status"] == status
    assert reason in table.loc[name, "reason"]
    assert pd.isna(table.loc[name, "rank"])
    assert table.loc[name].filter(like="_eV").isna().all()


def test_the_good_rows_are_right(results):
    from uniscreen.potentials import load_potential
    from uniscreen.relaxation.inflight import relax

    table, _ = results
    alone = relax(load_potential("chgnet"), [bulk("NaCl", "rocksalt", a=5.6)])[0]
    for name in ("good", "=HYPERLINK(1)"):
        assert table.loc[name, "status"] == "ok"
        assert table.loc[name, "energy_eV_per_atom"] == pytest.approx(alone.energy / 2, abs=1e-6)
        assert table.loc[name, "formula"] == "NaCl"
        assert table.loc[name, "space_group_final"] == "Fm-3m (225)"
        assert table.loc[name, "note"] == "=1+1"


def test_a_spreadsheet_runs_nothing(results):
    _, out = results
    cells = [cell for line in (out / "results.csv").read_text().splitlines() for cell in line.split(",")]
    assert "'=1+1" in cells
    assert not any(cell.startswith(("=", "+", "@")) for cell in cells)
