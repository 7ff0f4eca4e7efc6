"""Export: the packages themselves load what was written and give the numbers of the tuned model."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.stress import voigt_6_to_full_3x3_stress
from broken_potentials import CARD
from broken_trainables import Learned
from matgl_folders import VARIANTS, save
from pymatgen.io.ase import AseAtomsAdaptor

from on_this_machine import require_weights
from uniscreen import load_potential
from uniscreen.errors import InputError
from uniscreen.potentials.committee import Committee
from uniscreen.potentials.exporting import export
from uniscreen.potentials.trainable import TrainablePotential
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from uniscreen.potentials.base import Potential

H2CU = Path(__file__).parents[2].parent / "shared" / "weights" / "mace-h2cu" / "H2Cu_MACE_model_swa.model"

needs_matgl = pytest.mark.skipif(find_spec("matgl") is None, reason="matgl is not installed")
needs_mace = pytest.mark.skipif(find_spec("mace") is None, reason="mace-torch is not installed")


def tuned(potential: Potential, folder: Path) -> TrainablePotential:
    """The potential with all weights moved by about 0.5 %, and new reference energies, saved and loaded."""
    assert isinstance(potential, TrainablePotential)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in potential.model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter *= (1 + 0.005 * noise).to(parameter.dtype)
    potential.reference_energies = {
        symbol: energy + 0.123456789 * k for k, (symbol, energy) in enumerate(potential.reference_energies.items(), 1)
    }
    potential.save(folder)
    again = load_potential(str(folder), device="cpu")
    assert isinstance(again, TrainablePotential)
    return again


def by_chgnet(path: Path) -> Callable[[Atoms], dict[str, Any]]:
    """What evaluates a crystal: energy (eV), forces (eV/Å), stress (eV/Å³) and magnetic moments (μ_B)."""
    from chgnet.model import CHGNet

    model = CHGNet.from_file(str(path))

    def evaluate(atoms: Atoms) -> dict[str, Any]:
        found = model.predict_structure(AseAtomsAdaptor.get_structure(atoms))
        stress = found["s"] / EV_PER_CUBIC_ANGSTROM_TO_GPA
        return {"energy": float(found["e"]) * len(atoms), "forces": found["f"], "stress": stress, "magmoms": found["m"]}

    return evaluate


def by_matgl(path: Path) -> Callable[[Atoms], dict[str, Any]]:
    import matgl
    from matgl.ext.ase import PESCalculator

    calculator = PESCalculator(matgl.load_model(str(path)), stress_unit="eV/A3", use_voigt=False)

    def evaluate(atoms: Atoms) -> dict[str, Any]:
        calculator.calculate(atoms)
        return calculator.results

    return evaluate


def by_mace(path: Path, **options: Any) -> Callable[[Atoms], dict[str, Any]]:
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=str(path), device="cpu", **{"default_dtype": "float64"} | options)

    def evaluate(atoms: Atoms) -> dict[str, Any]:
        calculator.calculate(atoms)
        return {**calculator.results, "stress": voigt_6_to_full_3x3_stress(calculator.results["stress"])}

    return evaluate


BY_PACKAGE = {"chgnet": by_chgnet, "matgl": by_matgl}


def assert_same(
    potential: Potential, structures: dict[str, Atoms], evaluate: Callable[[Atoms], dict[str, Any]]
) -> None:
    """Ours in one batch, theirs one by one: 1e-5 eV/atom, 1e-4 eV/Å, 1e-3 GPa, 1e-4 μ_B, as for published weights."""
    for (name, atoms), ours in zip(structures.items(), potential.evaluate(list(structures.values())), strict=True):
        theirs = evaluate(atoms)
        energy = float(theirs["energy"])  # NumPy would compare with a float32 in float32
        assert ours.energy / len(atoms) == pytest.approx(energy / len(atoms), rel=0, abs=1e-5), name
        np.testing.assert_allclose(ours.forces, theirs["forces"], rtol=0, atol=1e-4, err_msg=name)
        difference = (ours.stress - theirs["stress"]) * EV_PER_CUBIC_ANGSTROM_TO_GPA
        np.testing.assert_allclose(difference, 0, rtol=0, atol=1e-3, err_msg=name)
        if ours.magnetic_moments is not None:
            np.testing.assert_allclose(ours.magnetic_moments, theirs["magmoms"], rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.filterwarnings("ignore")
def test_a_tuned_model_gives_the_same_numbers_in_its_own_package(
    trainable_name: str, crystals: dict[str, Atoms], tmp_path: Path
) -> None:
    """Every card's model; M3GNet-MP-2021.2.8 too, whose convention matgl does not have any more."""
    potential = tuned(load_potential(trainable_name, device="cpu"), tmp_path / "run")
    del crystals["Pd layer"]  # the packages take another cell where one side is open
    done = export(potential, tmp_path / "out" / "exported")
    assert done.differences.energy_eV_per_atom < 1e-4
    assert_same(potential, crystals, BY_PACKAGE[done.format](done.path))
    untuned = load_potential(trainable_name, device="cpu").evaluate([crystals["SrTiO3"]])[0]
    assert np.abs(untuned.forces - potential.evaluate([crystals["SrTiO3"]])[0].forces).max() > 1e-2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["exported"]


@needs_matgl
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "variant", [pytest.param(v, marks=() if v in ("M3GNet", "TensorNet") else pytest.mark.slow) for v in VARIANTS]
)
def test_a_model_of_todays_matgl(variant: str, tmp_path: Path) -> None:
    """Scale and shift too, which are neither 1 nor 0."""
    from test_matgl_models import adapted, structures

    save(tmp_path / "model", variant)
    potential = tuned(adapted(tmp_path / "model", torch.float32), tmp_path / "run")
    done = export(potential, tmp_path / "exported", "matgl")
    assert sorted(path.name for path in done.path.iterdir()) == ["model.json", "model.pt", "state.pt"]
    assert_same(potential, structures(), by_matgl(done.path))
    assert "uniscreen" not in (done.path / "model.json").read_text(encoding="utf-8")


@needs_matgl
def test_an_early_m3gnet_is_never_taken_for_one_of_todays(tmp_path: Path, loaded: Callable[..., Potential]) -> None:
    """Without uniscreen, matgl cannot import its class, and says so."""
    import matgl
    from test_matgl_models import adapted

    from uniscreen.potentials.m3gnet import EarlyM3GNetPotential

    save(tmp_path / "model", "M3GNet")
    now = adapted(tmp_path / "model", torch.float32)
    early = EarlyM3GNetPotential(now.card, tmp_path / "model", torch.device("cpu"), torch.float32)
    done = export(early, tmp_path / "exported")
    assert done.loading_code.endswith("# uniscreen must be installed")
    network = json.loads((done.path / "model.json").read_text(encoding="utf-8"))["kwargs"]["model"]
    assert (network["@module"], network["@class"]) == ("uniscreen.potentials.early_m3gnet", "EarlyM3GNet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "uniscreen.potentials.early_m3gnet", None)
        with pytest.raises(ValueError, match="Bad serialized model"):
            matgl.load_model(str(done.path))


@pytest.fixture
def _mace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mace load pickles, and undo what importing it does to the environment."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")


def load_mace(path: Path, **options: Any) -> Potential:
    return load_potential(str(path), device="cpu", trust_model_file=True, **options)


@needs_mace
@pytest.mark.usefixtures("_mace")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_a_mace(dtype: str, tmp_path: Path) -> None:
    """With a reference energy of -432.1 eV, which mace itself sums in the precision that its calculator is told."""
    from mace_models import random_model, structures_of

    torch.save(random_model(), tmp_path / "base.model")
    potential = tuned(load_mace(tmp_path / "base.model", dtype=dtype), tmp_path / "run")
    done = export(potential, tmp_path / "tuned.model")
    closed = {name: atoms for name, atoms in structures_of("Cu", "O", "Al").items() if atoms.pbc.all()}
    assert_same(potential, closed, by_mace(done.path))
    assert next(torch.load(done.path, weights_only=False).parameters()).dtype == getattr(torch, dtype)
    again = load_mace(done.path)  # and it comes back
    assert again.evaluate([closed["slab"]])[0].energy == pytest.approx(
        potential.evaluate([closed["slab"]])[0].energy, rel=0, abs=1e-9
    )


@needs_mace
@pytest.mark.usefixtures("_mace")
@pytest.mark.filterwarnings("ignore")
def test_a_mace_in_float32_is_to_be_run_in_float64(tmp_path: Path) -> None:
    """Mace sums reference energies atom by atom: why the code that is printed asks for float64."""
    from mace_models import random_model

    torch.save(random_model(), tmp_path / "base.model")
    potential = load_mace(tmp_path / "base.model", dtype="float32")
    assert isinstance(potential, TrainablePotential)
    potential.reference_energies = {"Cu": -626.123456789}
    done = export(potential, tmp_path / "exported.model")
    assert "default_dtype='float64'" in done.loading_code
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True) * (4, 4, 4)
    theirs = {
        dtype: float(by_mace(done.path, default_dtype=dtype)(atoms)["energy"]) / len(atoms)
        for dtype in ("float32", "float64")
    }
    ours = load_mace(done.path, dtype="float64").evaluate([atoms])[0].energy / len(atoms)
    assert ours == pytest.approx(theirs["float64"], rel=0, abs=1e-9)
    assert abs(ours - theirs["float32"]) > 1e-4


@needs_mace
@pytest.mark.usefixtures("_mace")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("head", ["pbe", "r2scan"])
def test_a_head_of_a_mace_keeps_its_place_and_the_others_theirs(head: str, tmp_path: Path) -> None:
    from mace_models import random_model, structures_of

    energies = np.array([[-432.1, -3.5, -1.25], [-1.0, -2.0, -3.0]])
    scales = {"atomic_inter_scale": [5.0, 7.0], "atomic_inter_shift": [0.1, -0.2]}
    torch.save(random_model(heads=["pbe", "r2scan"], atomic_energies=energies, **scales), tmp_path / "base.model")
    potential = tuned(load_mace(tmp_path / "base.model", head=head), tmp_path / "run")
    done = export(potential, tmp_path / "tuned.model")
    assert f"head={head!r}" in done.loading_code
    slab = {"slab": structures_of("Cu", "O", "Al")["slab"]}
    assert_same(potential, slab, by_mace(done.path, head=head))
    written = torch.load(done.path, weights_only=False).atomic_energies_fn.atomic_energies.numpy()
    other = 1 - ["pbe", "r2scan"].index(head)
    np.testing.assert_array_equal(written[other], energies[other])


@needs_mace
@pytest.mark.usefixtures("_mace")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not H2CU.is_file(), reason="no published MACE model in the shared folder")
@pytest.mark.parametrize("restored", [True, False], ids=["saved", "as published"])
def test_a_published_mace(restored: bool, tmp_path: Path) -> None:
    """Of mace 0.2.0: from its pickle, and built anew from what was saved."""
    from mace_models import structures_of

    potential = load_mace(H2CU)
    if restored:
        potential = tuned(potential, tmp_path / "run")
    done = export(potential, tmp_path / "h2cu.model")
    closed = {name: atoms for name, atoms in structures_of("Cu", "Cu", "Cu", "H").items() if atoms.pbc.all()}
    assert_same(potential, closed, by_mace(done.path))


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        pytest.param(-156.123456789, 2e-5, marks=pytest.mark.slow),
        (-626.123456789, 1e-4),
        pytest.param(-5012.123456789, 1e-3, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", ["chgnet-0.3.0", pytest.param("m3gnet-mp-2021.2.8", marks=needs_matgl)])
@pytest.mark.filterwarnings("ignore")
def test_what_float32_leaves_of_the_reference_energies(
    name: str, reference: float, error: float, tmp_path: Path
) -> None:
    """Within so many eV/atom, for 64 atoms: a few units in float32's last place of other codes' energies."""
    require_weights(name)
    potential = load_potential(name, device="cpu")
    assert isinstance(potential, TrainablePotential)
    potential.reference_energies = {"Na": reference}
    done = export(potential, tmp_path / "exported")
    assert done.differences.energy_eV_per_atom < error
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    theirs = float(BY_PACKAGE[done.format](done.path)(atoms)["energy"]) / len(atoms)
    assert potential.evaluate([atoms])[0].energy / len(atoms) == pytest.approx(theirs, rel=0, abs=error)


@pytest.fixture
def chgnet(loaded: Callable[..., Potential]) -> Potential:
    return loaded("chgnet-0.3.0")


def test_chgnet_keeps_what_makes_0_2_0_different(loaded: Callable[..., Potential], tmp_path: Path) -> None:
    """Its output layers have a bias, which chgnet's own file of 0.2.0 does not tell."""
    done = export(loaded("chgnet-0.2.0"), tmp_path / "x.pth.tar")
    content = torch.load(done.path, weights_only=True)["model"]
    assert content["model_args"]["mlp_out_bias"] is True
    assert "atom_conv_layers.0.mlp_out.layers.1.bias" in content["state_dict"]


@pytest.mark.parametrize("package", ["matgl", "mace"])
def test_another_packages_format_is_refused(package: str, chgnet: Potential, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"a CHGNet, which can be exported for chgnet only, not for {package}"):
        export(chgnet, tmp_path / "x", package)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_left_alone(chgnet: Potential, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"x exists already\. Give another path, or remove it"):
        export(chgnet, tmp_path / "x")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "mine"
    with pytest.raises(InputError, match="exists already"):
        export(chgnet, tmp_path)


def test_a_committee_is_exported_one_by_one(loaded: Callable[..., Potential], tmp_path: Path) -> None:
    committee = Committee([loaded("chgnet-0.3.0"), loaded("chgnet-0.2.0")])
    with pytest.raises(InputError, match=r"several members \(chgnet-0.3.0, chgnet-0.2.0\); export them one by one"):
        export(committee, tmp_path / "x")


def test_weights_that_are_not_held_cannot_be_exported(tmp_path: Path) -> None:
    calculator = load_potential("ase:ase.calculators.emt:EMT", device="cpu", trust_model_file=True)
    with pytest.raises(InputError, match=r"uniscreen does not hold the weights of this ASE calculator"):
        export(calculator, tmp_path / "x")
    with pytest.raises(InputError, match=rf"{CARD.name} cannot be exported: its adapter, Learned, has no exporter"):
        export(Learned(), tmp_path / "x")


def test_a_package_that_gives_other_numbers_is_found(
    chgnet: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a version would that evaluates the same weights otherwise; nothing is left behind."""
    from chgnet.model import CHGNet

    plain = CHGNet.from_file

    def other(path: str) -> Any:
        model = plain(path)
        with torch.no_grad():
            model.bond_embedding.weight *= 1.01
        return model

    monkeypatch.setattr(CHGNet, "from_file", other)
    with pytest.raises(InputError, match=r"The chgnet that is installed evaluates the exported chgnet-0.3.0 different"):
        export(chgnet, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_energy_that_is_off_by_more_than_rounding_is_found(
    chgnet: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chgnet.model.composition_model import AtomRef

    plain = AtomRef.forward
    monkeypatch.setattr(AtomRef, "forward", lambda self, graphs: plain(self, graphs) + 2e-3)
    with pytest.raises(InputError, match=r"by 2(\.0\d)? meV/atom, .*, so nothing was written"):
        export(chgnet, tmp_path / "x")


@pytest.mark.parametrize("quantity", ["energy", "forces", "stress", "magmoms"])
@pytest.mark.parametrize("change", [1e3, np.nan], ids=["other", "nan"])
def test_another_number_for_one_crystal_is_found(
    quantity: str, change: float, chgnet: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the third of the crystals alone: what is not a number must not hide behind numbers."""
    from chgnet.model.dynamics import CHGNetCalculator

    plain, calls = CHGNetCalculator.calculate, []

    def other(self: Any, *arguments: Any, **options: Any) -> None:
        plain(self, *arguments, **options)
        calls.append(None)
        if len(calls) == 3:
            self.results[quantity] = self.results[quantity] * change

    monkeypatch.setattr(CHGNetCalculator, "calculate", other)
    with pytest.raises(InputError, match=r"evaluates the exported chgnet-0\.3\.0 differently"):
        export(chgnet, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["file/x", "n" * 300], ids=["below a file", "too long"])
def test_a_path_that_cannot_be_written_is_said(path: str, chgnet: Potential, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written: .*(File exists|too long)"):
        export(chgnet, tmp_path / path)
