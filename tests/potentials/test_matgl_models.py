"""M3GNet and TensorNet as matgl saves them now: matgl's own numbers, the contract, and what a folder may hold."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from matgl_folders import ELEMENTS, REFERENCES, VARIANTS, save

from uniscreen import load_potential
from uniscreen.errors import InputError
from uniscreen.potentials.cards import ModelCard
from uniscreen.potentials.m3gnet import EarlyM3GNetPotential, M3GNetPotential
from uniscreen.potentials.matgl_description import read_description
from uniscreen.potentials.tensornet import TensorNetPotential
from uniscreen.potentials.testing import ExpectedFailure, check_potential, checks, contract_structures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ase import Atoms

    from uniscreen.potentials.matgl_model import MatglPotential

pytestmark = pytest.mark.skipif(find_spec("matgl") is None, reason="matgl is not installed")

ADAPTERS = {"M3GNet": M3GNetPotential, "TensorNet": TensorNetPotential}
ARCHITECTURES = {"M3GNet": "M3GNet (matgl 3)", "TensorNet": "TensorNet"}


@pytest.fixture(scope="module", params=list(VARIANTS))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A variant and the folder that it is saved in."""
    folder = tmp_path_factory.mktemp("matgl") / "model"
    save(folder, request.param)
    return request.param, folder


def adapted(folder: Path, dtype: torch.dtype = torch.float64) -> MatglPotential:
    description = read_description(folder)
    card = ModelCard(
        name="saved",
        aliases=(),
        architecture=ARCHITECTURES[description.network],
        weights=str(folder),
        size_bytes=0,
        sha256="",
        licence="none",
        citation="none",
        functional="unknown",
        energy_convention="raw",
        forces="conservative",
        dtype="float32",
        cutoff=description.cutoff,
        magnetic_moments=False,
        elements=frozenset(description.elements),
    )
    return ADAPTERS[description.network](card, folder, torch.device("cpu"), dtype)


def structures() -> dict[str, Atoms]:
    """From 1 to 128 atoms of the model's elements, also with no bond below the three-body cutoff."""
    sparse = bulk("Sr", "bcc", a=5.2)
    return contract_structures(ELEMENTS) | {"sparse": sparse, "Si": bulk("Si", "diamond", a=5.5)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_numbers_are_those_of_matgl(dtype: torch.dtype, saved: tuple[str, Path]) -> None:
    """Against matgl's calculator in the same precision, one structure at a time, while ours are all in one batch."""
    import matgl
    from matgl.ext.ase import PESCalculator

    _, folder = saved
    upstream = PESCalculator(matgl.load_model(str(folder)).to(dtype), stress_unit="eV/A3", use_voigt=False)
    crystals = structures()
    ours = adapted(folder, dtype).evaluate(list(crystals.values()), batch_size=len(crystals))
    for (name, atoms), result in zip(crystals.items(), ours, strict=True):
        upstream.calculate(atoms)
        theirs = upstream.results
        assert result.energy / len(atoms) == pytest.approx(theirs["energy"] / len(atoms), rel=0, abs=1e-5), name
        np.testing.assert_allclose(result.forces, theirs["forces"], rtol=0, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(result.stress, theirs["stress"], rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "variant", [pytest.param(v, marks=() if v in ("M3GNet", "TensorNet") else pytest.mark.slow) for v in VARIANTS]
)
def test_it_keeps_the_contract(variant: str, tmp_path: Path) -> None:
    save(tmp_path, variant, data_mean=0.0)
    results = check_potential(adapted(tmp_path))
    assert [result for result in results if result.status != "passed"] == []


def test_an_energy_that_matgl_adds_to_each_structure_is_found_by_the_contract(tmp_path: Path) -> None:
    """A data_mean other than zero, which is added once however many atoms there are."""
    save(tmp_path, "TensorNet", data_mean=0.7)
    (check,) = (check for check in checks() if check.name == "supercell")
    result = check.run(adapted(tmp_path), ExpectedFailure("supercell", "data_mean is added to a structure"))
    assert result.status == "expected failure"
    assert result.error == pytest.approx(0.7 * 3 / 4, abs=1e-6)  # in a cell of one atom, repeated four times


def test_messages_of_early_models_go_to_the_other_atom(tmp_path: Path) -> None:
    """The weights are the same; the two conventions must not be taken for each other."""
    save(tmp_path, "M3GNet")
    now = adapted(tmp_path)
    early = EarlyM3GNetPotential(now.card, tmp_path, torch.device("cpu"), torch.float64)
    atoms = bulk("NaCl", "rocksalt", a=5.69)
    assert abs(now.evaluate([atoms])[0].energy - early.evaluate([atoms])[0].energy) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_saved_again_it_gives_the_same_bits(dtype: torch.dtype, saved: tuple[str, Path], tmp_path: Path) -> None:
    """Scale, shift and reference energies too, and none of them is one. Loaded by the name of the folder alone."""
    potential = adapted(saved[1], dtype)
    potential.save(tmp_path / "run")
    again = load_potential(str(tmp_path / "run"), device="cpu")
    assert type(again) is type(potential)
    assert (
        again.reference_energies
        == potential.reference_energies
        == pytest.approx(dict(zip(ELEMENTS, REFERENCES, strict=True)))
    )
    crystals = list(structures().values())
    for ours, theirs in zip(again.evaluate(crystals), potential.evaluate(crystals), strict=True):
        assert ours.energy == theirs.energy
        np.testing.assert_array_equal(ours.forces, theirs.forces)
        np.testing.assert_array_equal(ours.stress, theirs.stress)


def test_an_early_model_stays_one_when_it_is_saved(tmp_path: Path) -> None:
    save(tmp_path / "matgl", "M3GNet")
    card = replace(adapted(tmp_path / "matgl").card, architecture="M3GNet")
    early = EarlyM3GNetPotential(card, tmp_path / "matgl", torch.device("cpu"), torch.float64)
    early.save(tmp_path / "run")
    again = load_potential(str(tmp_path / "run"), device="cpu")
    assert type(again) is EarlyM3GNetPotential
    atoms = bulk("NaCl", "rocksalt", a=5.69)
    assert again.evaluate([atoms])[0].energy == early.evaluate([atoms])[0].energy


def test_a_potential_without_reference_energies(tmp_path: Path) -> None:
    import matgl
    from matgl.ext.ase import PESCalculator

    save(tmp_path, "TensorNet", element_refs=None)
    atoms = bulk("NaCl", "rocksalt", a=5.69)
    upstream = PESCalculator(matgl.load_model(str(tmp_path)), stress_unit="eV/A3")
    upstream.calculate(atoms)
    assert adapted(tmp_path).evaluate([atoms])[0].energy == pytest.approx(upstream.results["energy"], abs=2e-5)


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    change(description)
    path.write_text(json.dumps(description), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "modules",
    [
        ("matgl.apps.pes", "matgl.models"),
        ("matgl.apps._pes_pyg", "matgl.models._tensornet_pyg"),
        ("matgl.apps.pes", "matgl.models._tensornet"),
    ],
    ids=["public", "private", "mixed"],
)
def test_the_module_names_of_all_versions_are_known(modules: tuple[str, str], tmp_path: Path) -> None:
    """Those of the model.json files of the hub's TensorNet models."""
    save(tmp_path, "TensorNet")

    def rename(description: dict[str, Any]) -> None:
        description["@module"], description["kwargs"]["model"]["@module"] = modules

    assert adapted(edited(tmp_path, rename)).evaluate([bulk("Cu")])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update({"@module": "os"}), r"names the classes os\.Potential"),
        (lambda d: d.update({"@module": "matgl.apps.pest"}), r"names the classes matgl\.apps\.pest\.Potential"),
        (lambda d: d["kwargs"]["model"].update({"@class": "QET"}), r"QET, expected .* M3GNet or TensorNet"),
        (lambda d: d["kwargs"].update({"calc_repuls": True}), "adds a nuclear repulsion"),
        (lambda d: d["kwargs"]["model"]["init_args"].update({"ntargets": 2}), "has ntargets = 2; only 1"),
        (lambda d: d["kwargs"]["model"]["init_args"].pop("cutoff"), "does not describe a matgl potential: KeyError"),
        (lambda d: d.update({"kwargs": None}), "does not describe a matgl potential: TypeError"),
        (lambda d: d.update({"metadata": ["no table"]}), "does not describe a matgl potential: AttributeError"),
    ],
    ids=["wrapper", "near wrapper", "network", "repulsion", "targets", "no cutoff", "nothing", "metadata"],
)
def test_what_cannot_be_run_is_refused(change: Callable[[dict[str, Any]], object], reason: str, tmp_path: Path) -> None:
    save(tmp_path, "TensorNet")
    with pytest.raises(InputError, match=reason):
        read_description(edited(tmp_path, change))


def test_weights_that_do_not_fit_their_description_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "TensorNet")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save({key: value for key, value in state.items() if key != "model.linear.weight"}, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"lacks 1 parameters of the network, e\.g\. linear\.weight"):
        adapted(tmp_path)
    torch.save(state | {"model.linear.weight": torch.zeros(2, 2)}, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"does not fit .*model\.json"):
        adapted(tmp_path)
    torch.save(state | {"element_refs.property_offset": torch.zeros(3)}, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"reference energies of shape \(3,\), expected \(10,\)"):
        adapted(tmp_path)


def test_one_network_is_not_loaded_as_another(tmp_path: Path) -> None:
    save(tmp_path, "TensorNet")
    card = adapted(tmp_path).card
    with pytest.raises(InputError, match="holds a TensorNet, expected a M3GNet"):
        M3GNetPotential(card, tmp_path, torch.device("cpu"), torch.float64)
