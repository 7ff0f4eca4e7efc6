"""MACE: upstream's numbers, derivatives, and what a pickled model may and may not do."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.stress import voigt_6_to_full_3x3_stress
from local_server import File, serving

import uniscreen
from mace_models import LOAD_VARIABLE, import_mace, random_model, structures_of
from uniscreen import load_potential
from uniscreen.errors import InputError, MissingPackageError, ReferenceMismatchError, UnsupportedElementError
from uniscreen.potentials import fetching, find_card, loading, model_cards, resolve_model
from uniscreen.potentials import mace as mace_adapter
from uniscreen.potentials.testing import training_checks
from uniscreen.potentials.weights import FOLDER_VARIABLE
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from uniscreen.potentials.base import Potential

H2CU = Path(__file__).parents[2].parent / "shared" / "weights" / "mace-h2cu" / "H2Cu_MACE_model_swa.model"
BOTH_PRECISIONS = pytest.mark.parametrize("dtype", ["float32", "float64"])


pytestmark = pytest.mark.skipif(find_spec("mace") is None, reason="mace-torch is not installed")


@pytest.fixture(scope="session", autouse=True)
def _upstream() -> None:
    import_mace()


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mace") / "tiny.model"
    torch.save(random_model(), path)
    return path


@pytest.fixture(scope="session")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mace") / "two-heads.model"
    energies = np.array([[-432.1, -3.5, -1.25], [-1.0, -2.0, -3.0]])
    scales = {"atomic_inter_scale": [5.0, 7.0], "atomic_inter_shift": [0.1, -0.2]}
    torch.save(random_model(heads=["pbe", "r2scan"], atomic_energies=energies, **scales), path)
    return path


def _h2cu() -> Path:
    if not H2CU.is_file():
        pytest.skip(f"no published MACE model at {H2CU}")
    return H2CU


def _load(path: Path, dtype: str | None = None, head: str = "") -> Potential:
    return load_potential(str(path), device="cpu", dtype=dtype, head=head, trust_model_file=True)  # type: ignore[arg-type]


def _assert_as_upstream(
    path: Path, structures: dict[str, Atoms], dtype: str, monkeypatch: pytest.MonkeyPatch, head: str = ""
) -> None:
    """Ours in one batch against mace's calculator: 1e-5 eV/atom, 1e-4 eV/Å, 1e-3 GPa."""
    from mace.calculators import MACECalculator

    monkeypatch.setenv(LOAD_VARIABLE, "1")  # mace's calculator loads pickles
    calculator = MACECalculator(model_paths=str(path), device="cpu", default_dtype=dtype, head=head or None)
    monkeypatch.delenv(LOAD_VARIABLE)
    potential = _load(path, dtype, head)
    for (name, atoms), ours in zip(structures.items(), potential.evaluate(list(structures.values())), strict=True):
        atoms.calc = calculator
        assert ours.energy / len(atoms) == pytest.approx(atoms.get_potential_energy() / len(atoms), rel=0, abs=1e-5)
        np.testing.assert_allclose(ours.forces, atoms.get_forces(), rtol=0, atol=1e-4, err_msg=name)
        if atoms.pbc.all():  # mace takes another volume for an open cell
            stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
            difference = (ours.stress - stress) * EV_PER_CUBIC_ANGSTROM_TO_GPA
            np.testing.assert_allclose(difference, 0, rtol=0, atol=1e-3, err_msg=name)


@BOTH_PRECISIONS
@pytest.mark.filterwarnings("ignore")
def test_numbers_are_those_of_upstream(dtype: str, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    structures = structures_of("Cu", "O", "Al")
    structures["supercell"].positions += structures["supercell"].cell.array.sum(axis=0)  # outside the cell
    _assert_as_upstream(model_file, structures, dtype, monkeypatch)


@BOTH_PRECISIONS
@pytest.mark.filterwarnings("ignore")
def test_a_published_model_gives_upstream_numbers(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """H2Cu was pickled by mace 0.2.0, before models had heads."""
    path = _h2cu()
    assert _load(path).card.elements == {"H", "Cu"}
    assert _load(path).card.dtype == "float32"
    _assert_as_upstream(path, structures_of("Cu", "Cu", "Cu", "H"), dtype, monkeypatch)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("head", ["pbe", "r2scan"])
def test_each_head_gives_upstream_numbers(head: str, two_heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _assert_as_upstream(two_heads, structures_of("Cu", "O", "Al"), "float64", monkeypatch, head)


@pytest.mark.filterwarnings("ignore")
def test_a_model_without_scale_and_shift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mace.modules

    torch.save(random_model(kind=mace.modules.MACE), tmp_path / "plain.model")
    _assert_as_upstream(tmp_path / "plain.model", structures_of("Cu", "O", "Al"), "float64", monkeypatch)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_a_batch_is_its_structures_one_by_one(dtype: str, tolerance: float, model_file: Path) -> None:
    potential = _load(model_file, dtype)
    structures = list(structures_of("Cu", "O", "Al").values())
    for atoms, ours in zip(structures, potential.evaluate(structures), strict=True):
        alone = potential.evaluate([atoms])[0]
        assert ours.energy / len(atoms) == pytest.approx(alone.energy / len(atoms), rel=0, abs=tolerance)
        np.testing.assert_allclose(ours.forces, alone.forces, rtol=0, atol=10 * tolerance)
        np.testing.assert_allclose(ours.stress, alone.stress, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["sheared", "slab"])
def test_forces_and_stress_are_derivatives_of_the_energy(name: str, model_file: Path) -> None:
    """Central finite differences: every component of two atoms' forces and of the stress."""
    potential = _load(model_file, "float64")
    atoms, h = structures_of("Cu", "O", "Al")[name], 1e-5
    changed = []
    for i, k in np.ndindex(2, 3):
        for sign in (1, -1):
            changed.append(atoms.copy())
            changed[-1].positions[i, k] += sign * h
    directions = [0.5 * (np.outer(a, b) + np.outer(b, a)) for a in np.eye(3) for b in np.eye(3)]
    for direction in directions:
        for sign in (1, -1):
            changed.append(atoms.copy())
            changed[-1].set_cell(atoms.cell.array @ (np.eye(3) + sign * h * direction), scale_atoms=True)
    energy = np.reshape([result.energy for result in potential.evaluate(changed)], (-1, 2))
    slope = (energy[:, 0] - energy[:, 1]) / (2 * h)
    result = potential.evaluate([atoms])[0]
    assert abs(result.forces[:2]).max() > 0.1
    np.testing.assert_allclose(result.forces[:2].ravel(), -slope[:6], rtol=0, atol=1e-6)
    numerical = slope[6:] / atoms.get_volume()
    np.testing.assert_allclose([(result.stress * d).sum() for d in directions], numerical, rtol=0, atol=1e-7)


def test_a_supercell_has_n_times_the_energy(model_file: Path) -> None:
    atoms = structures_of("Cu", "O", "Al")["sheared"]
    single, double = _load(model_file, "float64").evaluate([atoms, atoms * (2, 1, 2)])
    assert double.energy == pytest.approx(4 * single.energy, rel=0, abs=1e-8)
    np.testing.assert_allclose(double.forces, np.tile(single.forces, (4, 1)), rtol=0, atol=1e-9)
    np.testing.assert_allclose(double.stress, single.stress, rtol=0, atol=1e-10)


def test_inputs_are_not_changed(model_file: Path) -> None:
    potential = _load(model_file)
    graph = potential.graph(list(structures_of("Cu", "O", "Al").values()))
    positions, cells = graph.positions.clone(), graph.cells.clone()
    potential.evaluate_graph(graph)
    with torch.no_grad():
        potential.predict(graph)  # type: ignore[attr-defined]
    assert (graph.positions == positions).all()
    assert (graph.cells == cells).all()
    assert not graph.positions.requires_grad


def test_the_card_of_a_file_tells_what_the_file_tells(model_file: Path) -> None:
    potential = _load(model_file)
    card = potential.card
    assert (card.name, card.architecture, card.functional) == ("tiny.model", "MACE", "unknown")
    assert (card.cutoff, card.dtype, card.elements) == (4.7, "float64", {"O", "Al", "Cu"})
    assert card.sha256 == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert card.size_bytes == model_file.stat().st_size
    assert {p.dtype for p in _load(model_file, "float32").model.parameters()} == {torch.float32}  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedElementError, match=r"structure 1 holds Ni, which tiny\.model"):
        potential.evaluate([bulk("Cu"), bulk("Ni")])


def test_a_file_that_is_not_trusted_runs_no_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save(Payload(), tmp_path / "hostile.model")
    with pytest.raises(InputError, match=r"is a pickled Python module: loading it runs its code.*--trust-model-file"):
        load_potential(str(tmp_path / "hostile.model"), device="cpu")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="holds a NoneType"):
        _load(tmp_path / "hostile.model")
    assert (tmp_path / "ran").exists()  # the payload was live: only the refusal held it back


@pytest.mark.parametrize(
    "content",
    [b"", b"not a pickle", b"PK\x03\x04 broken", b"cno_such_module\nThing\n.", b"cmace.modules\nNoSuchClass\n."],
    ids=["empty", "text", "torn zip", "of a missing module", "of a missing class"],
)
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.model").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a MACE model"):
        _load(tmp_path / "broken.model")
    with pytest.raises(InputError, match=r"There is no model file .*absent\.model"):
        _load(tmp_path / "absent.model")


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "linear.model")
    with pytest.raises(InputError, match="holds a Linear, expected one of mace's models MACE, ScaleShiftMACE"):
        _load(tmp_path / "linear.model")


def test_a_model_with_several_heads_needs_one(two_heads: Path, model_file: Path) -> None:
    with pytest.raises(InputError, match=r"two-heads\.model has several heads.*Name one of its heads: pbe, r2scan\."):
        _load(two_heads)
    with pytest.raises(InputError, match=r"has no head 'PBE'.*pbe, r2scan\."):
        _load(two_heads, head="PBE")
    with pytest.raises(InputError, match=r"tiny\.model has no head 'pbe'\. Name one of its heads: Default\."):
        _load(model_file, head="pbe")
    assert _load(two_heads, head="r2scan").card.head == "r2scan"


def test_a_named_model_without_a_checksum_needs_trust(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(find_card("mace-mp-0-small"), elements=frozenset({"O", "Cu"}), cutoff=4.7)
    shutil.copy(model_file, tmp_path / card.name)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(loading, "find_card", lambda name: card)
    with pytest.raises(InputError, match="is a pickled Python module"):
        load_potential(card.name, device="cpu")
    potential = load_potential(card.name, device="cpu", trust_model_file=True)
    assert potential.card.sha256 == hashlib.sha256(model_file.read_bytes()).hexdigest()

    known = potential.card
    monkeypatch.setattr(loading, "find_card", lambda name: known)
    assert load_potential(card.name, device="cpu").card == known  # no trust needed: the checksum is the card's
    wrong = replace(known, sha256="0" * 64)
    monkeypatch.setattr(loading, "find_card", lambda name: wrong)
    with pytest.raises(InputError, match=f"have sha256 {known.sha256}, expected 000"):
        load_potential(card.name, device="cpu", trust_model_file=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elements": frozenset({"Cu", "Xe", "H"})}, "do not know H, Xe, which its card lists"),
        ({"cutoff": 6.0}, "have a cutoff of 4.7 Å, expected 6 Å"),
    ],
)
def test_weights_that_contradict_their_card_are_refused(
    changes: dict[str, Any], message: str, model_file: Path
) -> None:
    from uniscreen.potentials.mace import MACEPotential

    card = replace(_load(model_file).card, **changes)
    with pytest.raises(InputError, match=message):
        MACEPotential(card, model_file, torch.device("cpu"), torch.float64)


def test_the_energies_of_other_settings_do_not_meet_the_materials_project() -> None:
    """MP2020 corrections and the hull of PBE(+U) entries fit models of exactly these settings alone."""
    functionals = {card.name: card.functional for card in model_cards().values() if card.architecture == "MACE"}
    assert {name for name, functional in functionals.items() if functional == "PBE"} == {
        "mace-mp-0-small",
        "mace-mp-0-medium",
        "mace-mp-0-large",
        "mace-mpa-0-medium",
    }


def test_a_saved_folder_is_loaded_by_a_process_that_has_not_imported_mace(model_file: Path, tmp_path: Path) -> None:
    _load(model_file).save(tmp_path / "tuned")
    code = "import sys, uniscreen; print(uniscreen.load_potential(sys.argv[1]).card.architecture)"
    environment = {name: value for name, value in os.environ.items() if name != LOAD_VARIABLE}
    command = [sys.executable, "-c", code, str(tmp_path / "tuned")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "MACE\n", done.stderr


@pytest.mark.parametrize("before", ["", "1"])
def test_loading_leaves_no_trace_in_the_process(before: str, model_file: Path, tmp_path: Path) -> None:
    code = (
        "import os, uniscreen\n"
        f"uniscreen.load_potential({str(model_file)!r}, device='cpu', trust_model_file=True)\n"
        f"assert os.environ.get({LOAD_VARIABLE!r}, '') == {before!r}\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != LOAD_VARIABLE}
    if before:
        environment[LOAD_VARIABLE] = before
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("cuequivariance_torch") is None, reason="cuequivariance-torch is not installed")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cuequivariance_gives_the_same_numbers(dtype: str, model_file: Path) -> None:
    """Converted as for CUDA, but on the CPU, where its kernels are plain torch."""
    from uniscreen.potentials.mace import on_cuequivariance

    potential = _load(model_file, dtype)
    structures = list(structures_of("Cu", "O").values())
    plain = potential.evaluate(structures)
    default = torch.get_default_dtype()
    potential.model = on_cuequivariance(potential.model, potential.device).eval()  # type: ignore[attr-defined]
    assert torch.get_default_dtype() == default
    assert any("cuequivariance" in type(module).__module__ for module in potential.model.modules())  # type: ignore[attr-defined]
    for ours, theirs in zip(potential.evaluate(structures), plain, strict=True):
        assert ours.energy / len(ours.forces) == pytest.approx(theirs.energy / len(ours.forces), rel=0, abs=1e-5)
        np.testing.assert_allclose(ours.forces, theirs.forces, rtol=0, atol=1e-4)
        np.testing.assert_allclose(ours.stress, theirs.stress, rtol=0, atol=1e-5)


@pytest.mark.skipif(find_spec("cuequivariance_torch") is None, reason="cuequivariance-torch is not installed")
def test_a_model_on_cuequivariance_is_saved_and_trained_as_mace_has_it(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converted as for CUDA; saved to the bit, and never evaluated with weights from before its training."""
    plain = _load(model_file)
    monkeypatch.setattr(
        mace_adapter, "_accelerated", lambda name, model, device: mace_adapter.on_cuequivariance(model, device)
    )
    potential = _load(model_file)
    assert any("cuequivariance" in type(module).__module__ for module in potential._fast.modules())  # type: ignore[attr-defined]
    potential.save(tmp_path / "run")  # type: ignore[attr-defined]
    again = load_potential(str(tmp_path / "run"), device="cpu")
    for ours, theirs in zip(again.model.parameters(), plain.model.parameters(), strict=True):  # type: ignore[attr-defined]
        assert torch.equal(ours, theirs)
    results = [check.run(potential) for check in training_checks()]
    assert [result for result in results if result.status != "passed"] == []


def test_evaluating_on_the_faster_network_leaves_its_own_in_place(model_file: Path) -> None:
    """Where other threads find it, to evaluate or to save it."""
    potential: Any = _load(model_file)
    own, found = potential.model, []
    assert potential._fast is not own
    potential._fast.register_forward_pre_hook(lambda *_: found.append(potential.model))
    potential.evaluate(list(structures_of("Cu").values()))
    assert len(found) == 1
    assert found[0] is potential.model is own


def test_weights_in_other_memory_are_noticed(model_file: Path) -> None:
    """As ``vector_to_parameters`` puts them. A copy stands in for the faster network, as on CUDA."""
    potential: Any = _load(model_file)
    potential._fast = copy.deepcopy(potential.model)
    graph = potential.graph(list(structures_of("Cu").values()))
    before = potential.evaluate_graph(graph)
    weights = torch.nn.utils.parameters_to_vector(potential.model.parameters()).detach()
    torch.nn.utils.vector_to_parameters(1.05 * weights, potential.model.parameters())
    after = potential.evaluate_graph(graph)
    assert not torch.allclose(before.forces, after.forces, rtol=1e-3)
    assert torch.equal(after.forces, potential.derivatives(graph).forces)


@pytest.mark.parametrize(
    ("installed", "converted", "said"),
    [(False, True, "which is not installed"), (True, False, "KeyError: 'no such layer'"), (True, True, "")],
    ids=["not installed", "cannot be converted", "used"],
)
def test_mace_runs_without_cuequivariance_where_it_must(
    installed: bool, converted: bool, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def convert(model: object, device: object) -> object:
        if not converted:
            raise KeyError("no such layer")
        return "accelerated"

    monkeypatch.setattr(mace_adapter, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(mace_adapter, "on_cuequivariance", convert)
    caplog.set_level("INFO")
    expected = "plain" if said else "accelerated"
    assert mace_adapter._accelerated("m", "plain", torch.device("cuda")) == expected
    assert said in caplog.text


def test_a_model_that_cannot_be_streamlined_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    model = object()
    assert mace_adapter._accelerated("m", model, torch.device("cpu")) is model
    assert "m runs as mace has it, slower: AttributeError" in caplog.text


def test_a_fetched_model_is_loaded_without_trust(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checksum was recorded when it came from the card's own address."""
    card = replace(find_card("mace-mp-0-small"), elements=frozenset({"O", "Cu"}), cutoff=4.7)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with serving() as server:
        server.files["/weights"] = File(model_file.read_bytes())
        card = replace(card, weights=f"{server.url}/weights")
        for module in (fetching, loading):
            monkeypatch.setattr(module, "find_card", lambda name: card)
        with pytest.raises(InputError, match=r"are not on this machine\. Get them: uniscreen models fetch"):
            load_potential(card.name, device="cpu")
        assert server.requests == []  # loading never fetches
        fetched = fetching.fetch_weights(card.name)
    sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert load_potential(card.name, device="cpu").card.sha256 == sha256
    fetched.path.write_bytes(model_file.read_bytes() + b"?")
    with pytest.raises(InputError, match=f"expected {sha256}"):
        load_potential(card.name, device="cpu", trust_model_file=True)


def test_a_missing_package_is_named(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mace"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mace", None)
    with pytest.raises(MissingPackageError, match=r"tiny\.model needs .* pip install mace-torch"):
        _load(model_file)


def test_a_model_file_can_be_screened_with_once_its_functional_is_said(model_file: Path, tmp_path: Path) -> None:
    atoms = bulk("CuO", "rocksalt", a=4.2)
    settings = {"model": str(model_file), "trust_model_file": True, "relax": False, "workers": 1}
    with pytest.raises(ReferenceMismatchError, match="--functional PBE"):
        uniscreen.screen([atoms], out=tmp_path / "refused", **settings)
    (row,) = uniscreen.screen([atoms], out=tmp_path / "run", functional="PBE", **settings).to_dict("records")
    assert row["status"] == "ok"
    assert row["energy_eV_per_atom"] == pytest.approx(_load(model_file).evaluate([atoms])[0].energy / 2, abs=1e-6)
    # MP2020 corrects oxides by -0.687 eV per O (Wang et al. 2021), and a .model file's energies are raw.
    assert row["correction_eV_per_atom"] == pytest.approx(-0.687 / 2, abs=1e-6)


def test_a_functional_that_contradicts_the_card_is_refused() -> None:
    with pytest.raises(InputError, match="was trained on PBE, not on r2SCAN"):
        resolve_model("chgnet-0.3.0", functional="r2SCAN")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", ["tiny", "r2scan", "H2Cu"])
def test_a_saved_model_gives_the_same_bits(
    which: str, dtype: str, model_file: Path, two_heads: Path, tmp_path: Path
) -> None:
    """H2Cu is of an earlier mace than the one that builds it again. A second run, as torch compiles at the first."""
    path, head = {"tiny": (model_file, ""), "r2scan": (two_heads, "r2scan"), "H2Cu": (H2CU, "")}[which]
    potential = _load(path if which != "H2Cu" else _h2cu(), dtype, head)
    potential.save(tmp_path / "run")  # type: ignore[attr-defined]
    again = load_potential(str(tmp_path / "run"), device="cpu")
    assert (again.card.head, again.card.base, again.card.dtype) == (head, path.name, dtype)
    structures = list(structures_of("Cu", "Cu", "H" if which == "H2Cu" else "O").values())
    for _ in range(2):
        ours, theirs = potential.evaluate(structures), again.evaluate(structures)
    for a, b in zip(ours, theirs, strict=True):
        assert a.energy == b.energy
        np.testing.assert_array_equal(a.forces, b.forces)
        np.testing.assert_array_equal(a.stress, b.stress)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_can_be_trained(dtype: str, two_heads: Path) -> None:
    results = [check.run(_load(two_heads, dtype, "pbe")) for check in training_checks()]
    assert [result for result in results if result.status != "passed"] == []


def test_reference_energies_are_the_atomic_energies_of_the_head(model_file: Path, two_heads: Path) -> None:
    assert _load(model_file).reference_energies == {"O": -432.1, "Al": -3.5, "Cu": -1.25}  # type: ignore[attr-defined]
    assert _load(two_heads, head="r2scan").reference_energies == {"O": -1, "Al": -2, "Cu": -3}  # type: ignore[attr-defined]


def test_a_saved_model_keeps_to_the_classes_of_mace(model_file: Path, tmp_path: Path) -> None:
    _load(model_file).save(tmp_path / "run")  # type: ignore[attr-defined]
    text = (tmp_path / "run" / "model.json").read_text(encoding="utf-8")
    assert "RealAgnosticInteractionBlock" in text
    (tmp_path / "run" / "model.json").write_text(
        text.replace("RealAgnosticInteractionBlock", "system"), encoding="utf-8"
    )
    with pytest.raises(InputError, match="does not describe a MACE that its weights fit: KeyError: 'system'"):
        load_potential(str(tmp_path / "run"), device="cpu")


def test_a_model_without_scale_and_shift_cannot_be_saved(tmp_path: Path) -> None:
    import mace.modules

    torch.save(random_model(kind=mace.modules.MACE), tmp_path / "plain.model")
    with pytest.raises(InputError, match="A MACE cannot be saved"):
        _load(tmp_path / "plain.model").save(tmp_path / "run")  # type: ignore[attr-defined]
    assert not (tmp_path / "run").exists()
