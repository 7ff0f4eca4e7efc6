"""Labelled structures from every format: right numbers in our units, and clear errors that name the frame."""

from __future__ import annotations

import gzip
import json
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write
from pymatgen.io.ase import AseAtomsAdaptor

from uniscreen.errors import InputError
from uniscreen.structures.labels import LabelConventions, read_labelled

VASP = Path(str(resources.files("ase.test") / "testdata" / "vasp"))
"""Output of real VASP runs, which ASE ships with its tests."""

KBAR = 1602.1766208
STRESS = np.array([[1.0, 0.4, 0.5], [0.4, 2.0, 0.6], [0.5, 0.6, 3.0]]) / 100

needs_vasp = pytest.mark.skipif(not VASP.is_dir(), reason="this ASE comes without its test data")


def frame(k=0, **results):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=k)
    forces = np.arange(24.0).reshape(8, 3) / 10 - 1
    given = {"energy": -43.0 - k, "forces": forces, "stress": STRESS[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]} | results
    atoms.calc = SinglePointCalculator(atoms, **{name: value for name, value in given.items() if value is not None})
    return atoms


def text(header, forces="0.1 0.2 0.3", columns="forces:R:3"):
    return (
        f'1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:{columns} pbc="T T T" {header}\n'
        f"Cu 0 0 0 {forces}\n"
    )


def read_text(tmp_path, *frames, conventions=None):
    path = tmp_path / "x.extxyz"
    path.write_text("".join(frames), encoding="utf-8")
    return read_labelled(path, conventions).structures


def test_what_ase_writes_is_read_back(tmp_path):
    path = tmp_path / "si.extxyz"
    frames = [frame(k) for k in range(3)]
    for k, one in enumerate(frames):
        one.info["group"] = f"g{k // 2}"
    write(path, frames)
    data = read_labelled(path)
    assert [one.energy for one in data.structures] == [-43.0, -44.0, -45.0]
    assert [one.group for one in data.structures] == ["g0", "g0", "g1"]
    assert [one.place for one in data.structures] == ["frame 1 (line 1)", "frame 2 (line 11)", "frame 3 (line 21)"]
    for one, original in zip(data.structures, frames, strict=True):
        np.testing.assert_allclose(one.forces, original.get_forces(), atol=1e-8)
        np.testing.assert_allclose(one.stress, STRESS, atol=1e-12)
        np.testing.assert_allclose(one.atoms.positions, original.positions, atol=1e-8)
        assert one.atoms.calc is None
    compressed = tmp_path / "again.extxyz.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_labelled(compressed).structures[2].energy == -45.0


@pytest.mark.parametrize("name", ["energy", "REF_energy", "dft_energy", "free_energy", "Energy"])
@pytest.mark.parametrize("column", ["forces", "force", "REF_forces"])
def test_the_usual_names_are_known(tmp_path, name, column):
    (one,) = read_text(tmp_path, text(f"{name}=-3.5", columns=f"{column}:R:3"))
    assert one.energy == -3.5
    np.testing.assert_allclose(one.forces, [[0.1, 0.2, 0.3]])
    assert one.stress is None


def test_a_reference_beside_a_models_label_must_agree_or_be_chosen(tmp_path):
    header = "REF_energy=-3.5 energy=-3.6"
    with pytest.raises(InputError, match=r"frame 1 \(line 1\): holds REF_energy and energy, which differ.*energy_key"):
        read_text(tmp_path, text(header))
    (one,) = read_text(tmp_path, text(header), conventions=LabelConventions(energy_key="energy"))
    assert one.energy == -3.6


@pytest.mark.parametrize(
    ("header", "energy"),
    [
        ("energy=-3.5 free_energy=-3.6", -3.5),  # smearing
        ("REF_energy=-3.5 free_energy=-3.6", -3.5),
        ("REF_energy=-3.5 dft_energy=-3.5", -3.5),
        ("REF_energy=-3.5 dft_energy=-7.0", "REF_energy and dft_energy, which differ"),
        ("energy=-3.5 Energy=-7.0", "energy and Energy, which differ"),
    ],
)
def test_names_of_one_label_must_agree(tmp_path, header, energy):
    path = tmp_path / "x.extxyz"
    path.write_text(text(header))
    if isinstance(energy, str):
        with pytest.raises(InputError, match=energy):
            read_labelled(path)
    else:
        assert read_labelled(path).structures[0].energy == energy


def test_a_virial_that_says_reference_comes_before_a_plain_stress(tmp_path):
    path = tmp_path / "x.extxyz"
    path.write_text(text('energy=-3.5 REF_virial="-1 0 0 0 -1 0 0 0 -1" stress="9 0 0 0 9 0 0 0 9"'))
    (found,) = read_labelled(path).structures
    np.testing.assert_allclose(found.stress, np.eye(3) / found.atoms.get_volume())


def test_stresses_and_virials_in_every_convention(tmp_path):
    nine = " ".join(map(str, STRESS.ravel()))
    ase_order = " ".join(str(STRESS[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)))
    vasp_order = " ".join(str(STRESS[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)))
    vasp_kbar = " ".join(str(-KBAR * value) for value in STRESS.ravel())
    virial = " ".join(str(-64 * value) for value in STRESS.ravel())  # volume 64 Å³
    of_tension = " ".join(str(64 * value) for value in STRESS.ravel())
    in_vasp_order = LabelConventions(stress_order="xx yy zz xy yz zx")
    of_vasp = LabelConventions(stress_unit="kbar", stress_sign="compression-positive")
    for header, conventions in (
        (f'stress="{nine}"', None),
        (f'REF_stress="{nine}"', None),
        (f'stress="{ase_order}"', None),
        (f'stress="{vasp_order}"', in_vasp_order),
        (f'stress="{vasp_kbar}"', of_vasp),
        (f'virial="{virial}"', None),
        (f'REF_virial="{virial}"', None),
        (f'virial="{virial}"', LabelConventions(stress_sign="compression-positive")),
        (f'virial="{of_tension}"', LabelConventions(stress_sign="tension-positive")),
    ):
        (one,) = read_text(tmp_path, text(f"energy=-3.5 {header}"), conventions=conventions)
        np.testing.assert_allclose(one.stress, STRESS, atol=1e-14, err_msg=header)


def test_energies_of_an_atom_become_those_of_the_structure(tmp_path):
    path = tmp_path / "si.extxyz"
    write(path, frame(energy=-5.4))
    assert read_labelled(path, LabelConventions(energy="per-atom")).structures[0].energy == pytest.approx(8 * -5.4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (text("other=1"), "has no energy"),
        (text("energy=-3", columns="velocities:R:3"), "has no forces.*forces_key"),
        (text("energy=nan"), "has the energy nan; expected a finite"),
        (text("energy=-3", forces="0.1 nan 0.3"), "forces are not finite.*row 1"),
        (text('energy=-3 stress="1 2 3"'), r"stress has shape \(3,\); expected \(3, 3\)"),
        (text('energy=-3 stress="1 2 3 4 5 6 7 8 9"'), "stress is not symmetric"),
        (text('energy="1 2"'), r"has the energy \[1 2\]; expected one number"),
        ("2\n" + text("energy=-3")[2:], "declares 2 atoms, but only 1"),
    ],
    ids=[
        "no energy",
        "no forces",
        "nan energy",
        "nan force",
        "three stresses",
        "asymmetric",
        "two energies",
        "cut short",
    ],
)
def test_a_wrong_frame_is_an_error_that_names_it(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message) as caught:
        read_text(tmp_path, text("energy=-3"), wrong)
    assert "line 4" in str(caught.value)


def test_several_wrong_frames_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"frame 2 .*2 of 4 frames are wrong"):
        read_text(tmp_path, *(text(f"energy={energy}") for energy in ("-1", "nan", "-1", "inf")))


def test_groups_are_read_as_they_are_written(tmp_path):
    """ASE reads the first three as the number 111, ``1 2`` as an array, and T as true."""
    written = ["1_11", "11_1", "0111", '"1 2"', "1e2", "T", "melt"]
    frames = [text(f"energy=-3 group={group}") for group in written]
    assert [one.group for one in read_text(tmp_path, *frames)] == ["1_11", "11_1", "0111", "1 2", "1e2", "T", "melt"]
    named = read_text(tmp_path, text("energy=-3 group=1 run=007"), conventions=LabelConventions(group_key="run"))
    assert named[0].group == "007"


def test_noise_in_the_stress_of_a_structure_at_rest_is_no_asymmetry(tmp_path):
    """In every unit: the same nine numbers, 1e-6 eV/Å³ and less, are symmetric; in eV/Å³ 1e-3 of them are not."""
    for unit, per in (("eV/A^3", 1.0), ("kbar", KBAR)):
        for size, refused in ((1e-6, False), (1e-3, True)):
            nine = " ".join(f"{per * size * value:.9g}" for value in (1, 0.1, 0, 0, 1, 0, 0.02, 0, 1))
            given = LabelConventions(stress_unit=unit, stress_sign="tension-positive")
            if refused:
                with pytest.raises(InputError, match="stress is not symmetric"):
                    read_text(tmp_path, text(f'energy=-3 stress="{nine}"'), conventions=given)
                continue
            (one,) = read_text(tmp_path, text(f'energy=-3 stress="{nine}"'), conventions=given)
            np.testing.assert_allclose(one.stress, one.stress.T)
            assert one.stress[0, 0] == pytest.approx(1e-6)


def test_a_molecule_has_labels_but_no_stress(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-14.0, forces=np.zeros((3, 3)))
    path = tmp_path / "water.xyz"
    write(path, atoms, format="extxyz")
    (one,) = read_labelled(path).structures
    assert one.stress is None
    assert not one.atoms.pbc.any()


@needs_vasp
def test_vasprun_gives_what_vasp_printed(tmp_path):
    """vasprun_pstress.xml of ASE's tests: PSTRESS 1 kbar, pressure -165.9956258 kbar in VASP's sign.

    The energy is that of the last electronic step, as in ASE's test; the ionic step's -20.24010135 eV has PSTRESS times
    the volume in it.
    """
    (one,) = read_labelled(VASP / "vasprun_pstress.xml").structures
    assert one.energy == pytest.approx(-20.24720095, abs=1e-8)
    np.testing.assert_allclose(one.stress, np.eye(3) * 165.9956258 / KBAR, rtol=1e-9)
    assert one.forces.shape == (2, 3)
    assert one.place == "ionic step 1"
    text = (VASP / "vasprun_pstress.xml").read_text(encoding="utf-8")
    steps = text.count("<scstep>")
    path = tmp_path / "vasprun.xml"
    path.write_text(text.replace('name="NELM">    60', f'name="NELM">    {steps}'), encoding="utf-8")
    with pytest.raises(InputError, match=rf"no labelled structure.*did not converge in {steps} steps \(NELM\)"):
        read_labelled(path)


@needs_vasp
def test_the_energy_of_an_ionic_step_is_taken_as_vasp_5_writes_it(tmp_path):
    """VASP 5 writes the entropy's part as the ionic step's e_0_energy, and has dispersion in the free energy only."""
    text = (VASP / "vasprun_pstress.xml").read_text(encoding="utf-8")
    head, ionic, tail = text.rpartition('<i name="e_fr_energy">    -20.23985977 </i>')
    assert ionic
    tail = tail.replace("-20.24010135", "0.00072474", 1)
    path = tmp_path / "vasprun.xml"
    path.write_text(head + ionic.replace("-20.23985977", "-21.23985977") + tail, encoding="utf-8")
    (one,) = read_labelled(path).structures
    assert one.energy == pytest.approx(-21.24720095, abs=1e-8)
    assert one.energy == pytest.approx(read(path, format="vasp-xml").get_potential_energy(), abs=1e-8)


@needs_vasp
def test_a_vasprun_that_was_stopped_in_its_first_step_holds_nothing(tmp_path):
    head, first, _ = (VASP / "vasprun_pstress.xml").read_text(encoding="utf-8").partition("<calculation>")
    assert first
    (tmp_path / "vasprun.xml").write_text(head + first, encoding="utf-8")
    with pytest.raises(InputError, match=r"vasprun.xml holds no labelled structure"):
        read_labelled(tmp_path / "vasprun.xml")


@needs_vasp
def test_outcar_gives_what_vasp_printed(tmp_path):
    """OUTCAR_example_1 of ASE's tests: 18 Ni atoms; `energy(sigma->0)` and `in kB` lines."""
    (one,) = read_labelled(VASP / "OUTCAR_example_1").structures
    text = (VASP / "OUTCAR_example_1").read_text(encoding="utf-8", errors="replace")
    energy = float(text.rpartition("energy(sigma->0) =")[2].split()[0])
    kbar = [float(word) for word in text.rpartition("in kB")[2].split()[:6]]
    assert one.energy == pytest.approx(energy)
    stress = -np.array(kbar) / KBAR  # xx yy zz xy yz zx
    np.testing.assert_allclose(one.stress[[0, 1, 2, 0, 1, 0], [0, 1, 2, 1, 2, 2]], stress, rtol=1e-5, atol=1e-9)
    limit = max(int(line.split("(")[1].split(")")[0]) for line in text.splitlines() if "Iteration" in line)
    path = tmp_path / "OUTCAR"
    path.write_text(text.replace("NELM   =    120", f"NELM   =    {limit}"), encoding="utf-8")
    with pytest.raises(InputError, match="did not converge"):
        read_labelled(path)


ML_STEP = """
  ML FORCE on cell =-STRESS in cart. coord. units (eV/cell)
  Direction    XX          YY          ZZ          XY          YZ          ZX
  --------------------------------------------------------------------------------------
  Total:     99.00000    99.00000    99.00000     0.00000     0.00000     0.00000
  in kB      99.00000    99.00000    99.00000     0.00000     0.00000     0.00000
  external pressure =       99.00 kB  Pullay stress =        0.00 kB

  volume of cell :     1000.00
      direct lattice vectors                 reciprocal lattice vectors
    10.000000000  0.000000000  0.000000000     0.100000000  0.000000000  0.000000000
     0.000000000 10.000000000  0.000000000     0.000000000  0.100000000  0.000000000
     0.000000000  0.000000000 10.000000000     0.000000000  0.000000000  0.100000000

  POSITION                                       TOTAL-FORCE (eV/Angst) (ML)
 -----------------------------------------------------------------------------------
{}
 -----------------------------------------------------------------------------------

  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy ML TOTEN  =         9.00000000 eV

  ML energy  without entropy=        9.00000000  ML energy(sigma->0) =        9.00000000

""".format("\n".join(18 * ["      1.00000      1.00000      1.00000         9.000000      9.000000      9.000000"]))


@needs_vasp
def test_of_a_run_with_a_machine_learned_force_field_dft_alone_is_read(tmp_path):
    """As ML_MODE = train writes it: a prediction before each step of DFT, and steps that are predicted only."""
    (dft,) = read_labelled(VASP / "OUTCAR_example_1").structures
    text = (VASP / "OUTCAR_example_1").read_text(encoding="utf-8", errors="replace")
    begin = text.index("----------------------------------------- Iteration    1(   1)")
    head, step = text[:begin], text[begin:]
    path = tmp_path / "OUTCAR"
    path.write_text(head + ML_STEP + step + 3 * ML_STEP + step.replace("Iteration    1(", "Iteration    4("))
    data = read_labelled(path)
    assert [one.place for one in data.structures] == ["ionic step 1", "ionic step 4"]
    for one in data.structures:
        assert one.energy == dft.energy
        np.testing.assert_array_equal(one.forces, dft.forces)
        np.testing.assert_array_equal(one.stress, dft.stress)
        np.testing.assert_array_equal(one.atoms.positions, dft.atoms.positions)
    assert data.left_out == ("2 steps are VASP's machine-learned force field's, not DFT",)
    path.write_text(head + 3 * ML_STEP)  # ML_MODE = run
    with pytest.raises(InputError, match=r"no labelled structure. Left out: 3 steps are VASP's machine-learned"):
        read_labelled(path)


@needs_vasp
def test_a_folder_of_runs_has_a_group_for_each(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(VASP / "vasprun_pstress.xml", tmp_path / name / "vasprun.xml")
        shutil.copy(VASP / "OUTCAR_example_1", tmp_path / name / "OUTCAR")
    data = read_labelled(tmp_path)
    assert [one.group for one in data.structures] == ["a/vasprun.xml", "b/vasprun.xml"]
    assert data.structures[1].place == "b/vasprun.xml, ionic step 1"


@needs_vasp
def test_runs_that_died_are_left_out_of_a_folder(tmp_path):
    text = (VASP / "vasprun_pstress.xml").read_text(encoding="utf-8")
    head, first, _ = text.partition("<calculation>")
    for name, content in (("a", "not XML"), ("b", head + first), ("c", text)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vasprun.xml").write_text(content, encoding="utf-8")
    data = read_labelled(tmp_path)
    assert [one.group for one in data.structures] == ["c/vasprun.xml"]
    unreadable, empty = data.left_out
    assert unreadable.startswith("a/vasprun.xml: cannot be read")
    assert empty == "b/vasprun.xml holds no labelled structure"
    (tmp_path / "c" / "vasprun.xml").unlink()
    with pytest.raises(InputError, match=r"holds no labelled structure. Left out: a/vasprun.xml: cannot be read"):
        read_labelled(tmp_path)
    (tmp_path / "d.extxyz").write_text("2\n\nSi 0 0 0\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"d.extxyz"):
        read_labelled(tmp_path)


def test_what_a_labelling_leaves_beside_its_frames_is_no_data(tmp_path):
    write(tmp_path / "labelled.extxyz", [frame(0), frame(1)])
    records = tmp_path / "labelled-label"
    (records / "worker-0").mkdir(parents=True)
    for name in ("manifest.json", "provenance.json", "part-1.jsonl", "worker-0/more.json"):
        (records / name).write_text("[1]", encoding="utf-8")
    assert len(read_labelled(tmp_path).structures) == 2
    (records / "part-1.jsonl").unlink()  # a manifest alone may be the user's
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_labelled(tmp_path)


def test_an_ase_database(tmp_path):
    path = tmp_path / "si.db"
    with connect(path) as database:
        database.write(frame(0), group="g0")
        database.write(frame(1), group="g1", REF_energy=-99.0)
    with pytest.raises(InputError, match="REF_energy and energy, which differ"):
        read_labelled(path)
    one, other = read_labelled(path, LabelConventions(energy_key="energy")).structures
    assert (one.energy, other.energy) == (-43.0, -44.0)
    assert (one.group, other.group) == ("g0", "g1")
    np.testing.assert_allclose(other.stress, STRESS)
    path.write_bytes(b"not a database")
    with pytest.raises(InputError, match="cannot be read"):
        read_labelled(path)


def test_a_database_may_hold_virials_and_free_energies_too(tmp_path):
    path = tmp_path / "si.db"
    virial = -STRESS * frame().get_volume()
    with connect(path) as database:
        database.write(frame(energy=None, free_energy=-43.5, stress=None), data={"REF_virial": virial})
    (one,) = read_labelled(path).structures
    assert one.energy == -43.5
    np.testing.assert_allclose(one.stress, STRESS)


def structure(k=0):
    return AseAtomsAdaptor.get_structure(frame(k)).as_dict()


FORCES = frame().get_forces().tolist()
VASP_ORDER = [-KBAR * STRESS[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2))]
MATPES_ORDER = [-KBAR * STRESS[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
VASP_STRESS = (-KBAR * STRESS).tolist()

LAYOUTS = {
    "mlearn": [
        {
            "structure": structure(),
            "group": "g",
            "outputs": {"energy": -43.0, "forces": FORCES, "virial_stress": VASP_ORDER},
        }
    ],
    "matpes": [{"structure": structure(), "energy": -43.0, "forces": FORCES, "stress": MATPES_ORDER, "group": "g"}],
    "chgnet": {
        "structure": [structure()],
        "uncorrected_total_energy": [-43.0],
        "energy_per_atom": [-43.0 / 8],
        "force": [FORCES],
        "stress": [VASP_STRESS],
        "group": ["g"],
    },
    "chgnet without totals": {
        "structure": [structure()],
        "energy_per_atom": [-43.0 / 8],
        "force": [FORCES],
        "stress": [VASP_STRESS],
        "group": ["g"],
    },
    "mptrj": {
        "g": {"g-0-1": {"structure": structure(), "energy_per_atom": -43.0 / 8, "force": FORCES, "stress": VASP_STRESS}}
    },
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layouts_of_pymatgen_json(tmp_path, name):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(LAYOUTS[name]), encoding="utf-8")
    (one,) = read_labelled(path).structures
    assert one.energy == pytest.approx(-43.0)
    assert one.group == "g"
    np.testing.assert_allclose(one.forces, FORCES)
    np.testing.assert_allclose(one.stress, STRESS, atol=1e-12)
    np.testing.assert_allclose(one.atoms.positions, frame().positions, atol=1e-12)


@pytest.mark.parametrize("content", ["[1]", "{", '{"a": {"b": 1}}', "[{}]"])
def test_other_json_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.json"):
        read_labelled(path)


def test_unknown_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="does not exist; expected frames"):
        read_labelled(tmp_path / "no.extxyz")
    (tmp_path / "x.pdf").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="unknown kind of input"):
        read_labelled(tmp_path / "x.pdf")
    with pytest.raises(InputError, match="holds no labelled structures"):
        read_labelled(tmp_path)


@pytest.mark.parametrize(
    ("name", "frames", "groups", "stress"),
    [
        ("mlearn/Si-train.extxyz", 214, 4, True),
        ("finetune/water-train-30.extxyz", 30, 1, False),
        ("finetune/acac-train-300K.extxyz", 500, 1, False),
        ("foundation-sample/mptrj-random-1k.extxyz", 1000, 998, True),
    ],
)
def test_real_files(real_data, name, frames, groups, stress):
    structures = read_labelled(real_data(name)).structures
    assert len(structures) == frames
    assert len({one.group for one in structures}) == groups
    assert all((one.stress is not None) is stress for one in structures)
