"""What ``data inspect`` finds."""

from __future__ import annotations

import json
from dataclasses import astuple, replace

import numpy as np
import pytest

from uniscreen.errors import InputError
from uniscreen.structures.labels import LabelledData
from uniscreen.structures.labels.labelled import ASE_CONVENTIONS
from uniscreen.training.inspection import inspect_data


def data(structures, left_out=()):
    return LabelledData(tuple(structures), tuple(left_out), ASE_CONVENTIONS, "0" * 64, "x.extxyz")


def test_counts_outliers_and_duplicates(loaded, labelled):
    structures = labelled(loaded("chgnet-0.3.0"), 8)
    forces = structures[3].forces.copy()
    forces[0] = [30.0, 40.0, 1.0]
    structures[3] = replace(structures[3], forces=forces)
    moved = structures[5].atoms.copy()
    moved.positions[0, 0] += 0.01
    structures += [replace(structures[5], place="copy"), replace(structures[5], atoms=moved, place="moved")]
    found = inspect_data(data(structures, ["step 9: not converged"]))
    assert found.frames == 10
    assert found.elements == {"Cl": 10, "Na": 10}
    assert found.with_stress == found.periodic == 10
    assert found.outliers == (("frame 4", pytest.approx(np.sqrt(2501))),)
    assert found.duplicates == (("frame 6", "copy"),)
    assert found.left_out == ("step 9: not converged",)
    assert sum(group.frames for group in found.groups) == 10
    assert found.atoms.lowest == 4
    assert found.model is None
    json.dumps(found.as_dict())


def test_ranges_and_groups_by_hand(loaded, labelled):
    """Pressures of 3, 1 and -2 GPa, of stresses that are not the same along the axes; volumes and energies by atom."""
    potential = loaded("chgnet-0.3.0")
    structures = []
    for one, pressure, volume in zip(labelled(potential, 3), (3.0, 1.0, -2.0), (20.0, 30.0, 22.0), strict=True):
        atoms = one.atoms.copy()
        atoms.set_cell(atoms.cell.array * (volume * len(atoms) / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        stress = np.diag([-3.0, 0.0, 0.0]) * pressure / 160.21766208
        result = potential.evaluate([atoms])[0]
        structures.append(
            replace(one, atoms=atoms, energy=result.energy, forces=result.forces, stress=stress, group="first")
        )
    structures[1] = replace(structures[1], energy=structures[1].energy + 0.5 * 8, forces=structures[1].forces + 0.25)
    structures[2] = replace(structures[2], group="second")
    found = inspect_data(data(structures), potential)
    assert astuple(found.pressure_GPa) == pytest.approx((-2.0, 1.0, 3.0))
    assert astuple(found.volume_A3_per_atom) == pytest.approx((20.0, 22.0, 30.0))
    energies = sorted(one.energy / len(one.atoms) for one in structures)
    assert astuple(found.energy_eV_per_atom) == pytest.approx(energies)
    first, second = found.groups
    assert (first.group, first.frames, first.atoms) == ("first", 2, 12)
    assert (second.group, second.frames, second.atoms) == ("second", 1, 8)
    # the shift of Na and Cl is what least squares make of 0, 500 and 0 meV/atom: a third of 500
    assert first.energy_mae_meV_per_atom == pytest.approx((500 / 3 + 1000 / 3) / 2, rel=1e-3)
    assert first.force_mae_meV_per_A == pytest.approx((0 + 250) / 2, rel=1e-3)
    assert second.energy_mae_meV_per_atom == pytest.approx(500 / 3, rel=1e-3)
    assert second.force_mae_meV_per_A == pytest.approx(0, abs=0.1)
    assert found.model.farthest[0] == (structures[1].place, pytest.approx(0.25, rel=1e-3))
    assert found.model.energy_mae_meV_per_atom == pytest.approx((500 / 3 + 1000 / 3 + 500 / 3) / 3, rel=1e-3)


def test_a_model_is_no_distance_from_its_own_labels(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    model = inspect_data(data(labelled(potential)), potential).model
    assert model.energy_mae_meV_per_atom == pytest.approx(0, abs=0.01)
    assert model.force_mae_meV_per_A == pytest.approx(0, abs=0.01)
    assert model.force_slope == pytest.approx(1, abs=1e-4)
    assert model.stress_mae_GPa == pytest.approx(0, abs=1e-3)
    assert {finding.verdict for finding in model.findings} == {"agrees"}


def test_errors_are_those_that_were_put_in(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    structures = [
        replace(one, energy=one.energy + 2.0 * len(one.atoms), forces=2 * one.forces) for one in labelled(potential)
    ]
    model = inspect_data(data(structures), potential).model
    assert model.energy_mae_before_meV_per_atom == pytest.approx(2000, rel=1e-4)
    assert model.energy_mae_meV_per_atom == pytest.approx(0, abs=0.01)
    assert model.shifts_eV_per_atom == pytest.approx({"Na": 2.0, "Cl": 2.0}, abs=1e-4)
    assert model.force_slope == pytest.approx(0.5, abs=1e-3)
    assert model.farthest[0][1] >= model.farthest[-1][1] > 0


def test_frames_that_the_model_cannot_evaluate_are_listed(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    structures = labelled(potential, 6)
    unknown = structures[2].atoms.copy()
    unknown.numbers[0] = 95
    structures[2] = replace(structures[2], atoms=unknown)
    found = inspect_data(data(structures), potential)
    (reason,) = found.model.refused
    assert reason.startswith("frame 3: ")
    assert "Am" in reason
    with pytest.raises(InputError, match=r"can evaluate no structure of x\.extxyz: frame 3"):
        inspect_data(data(structures[2:3]), potential)


def test_frames_with_atoms_in_one_place_are_listed_and_leave_the_rest_right(loaded, labelled):
    potential = loaded("chgnet-0.3.0")
    structures = labelled(potential, 6)
    overlapping = structures[2].atoms.copy()
    overlapping.positions[1] = overlapping.positions[0]
    structures[2] = replace(structures[2], atoms=overlapping)
    model = inspect_data(data(structures), potential).model
    (reason,) = model.refused
    assert reason.startswith("frame 3: ")
    assert "not finite" in reason
    assert model.energy_mae_meV_per_atom == pytest.approx(0.0, abs=0.1)
    assert set(model.shifts_eV_per_atom) == {"Na", "Cl"}
    assert np.isfinite(list(model.shifts_eV_per_atom.values())).all()
