"""M3GNet: published numbers, upstream's numbers, and what a model folder may hold."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.spacegroup import crystal

from uniscreen import load_potential
from uniscreen.errors import InputError
from uniscreen.potentials import find_card
from uniscreen.potentials.weights import FOLDER_VARIABLE
from uniscreen.units import EV_PER_CUBIC_ANGSTROM_TO_GPA

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from uniscreen.potentials.base import Potential

NAME = "m3gnet-mp-2021.2.8"
FOLDER = Path(__file__).parents[2].parent / "shared" / "weights" / NAME

pytestmark = [
    pytest.mark.skipif(find_spec("matgl") is None, reason="matgl is not installed"),
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the weights are not in the shared folder beside the repository"),
]


@pytest.fixture(scope="module")
def m3gnet(loaded: Callable[..., Potential]) -> Potential:
    return loaded(NAME)


@pytest.fixture(scope="module")
def plain_matgl() -> Any:
    """The potential as matgl itself loads it."""
    import matgl

    return matgl.load_model(str(FOLDER))


@pytest.fixture(scope="module")
def upstream(plain_matgl: Any) -> Any:
    """matgl's potential with messages summed into the atom at the end of their edge, as it was trained."""
    from matgl.layers._graph_convolution import M3GNetGraphConv
    from matgl.utils.maths import scatter_add

    class IntoDestination(M3GNetGraphConv):
        def node_update_(self, edge_index, edge_feat, node_feat, rbf, u_per_edge, num_nodes):  # type: ignore[no-untyped-def]
            inputs = torch.hstack([node_feat[edge_index[0]], node_feat[edge_index[1]], edge_feat])
            messages = self.node_update_func(inputs) * self.node_weight_func(rbf)
            return scatter_add(messages, edge_index[1], dim_size=num_nodes, dim=0)

    potential = copy.deepcopy(plain_matgl)
    for block in potential.model.graph_layers:
        block.conv.__class__ = IntoDestination
    return potential


def calculate(potential: Any, atoms: Atoms) -> dict[str, Any]:
    """Energy (eV), forces (eV/Å) and stress (GPa) by matgl's ASE calculator."""
    from matgl.ext.ase import PESCalculator

    calculator = PESCalculator(potential, stress_unit="GPa")
    calculator.calculate(atoms)
    return calculator.results


def varied(crystals: dict[str, Atoms]) -> dict[str, Atoms]:
    """Crystals from 1 to 128 atoms that matgl can compute: it takes the layer, partly periodic, for a molecule."""
    del crystals["Pd layer"]
    oxide = crystal(["O"], [(0.1, 0.2, 0.3)], spacegroup=19, cellpar=[4.3, 5.1, 5.9, 90, 90, 90])
    oxide.symbols[:] = ["U", "O", "Fe", "H"]
    return crystals | {
        "K": bulk("K", "bcc", a=5.3),  # no bond below 4 Å: no triplets
        "Ar": bulk("Ar", "fcc", a=5.5),
        "four species": oxide,
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_those_of_upstream(
    dtype: str, loaded: Callable[..., Potential], upstream: Any, crystals: dict[str, Atoms]
) -> None:
    """Against matgl's calculator, one structure at a time, while ours are all in one batch."""
    structures = varied(crystals)
    results = loaded(NAME, dtype).evaluate(list(structures.values()))
    for (name, atoms), ours in zip(structures.items(), results, strict=True):
        theirs = calculate(upstream, atoms)
        assert ours.energy / len(atoms) == pytest.approx(theirs["energy"] / len(atoms), rel=0, abs=1e-5), name
        np.testing.assert_allclose(ours.forces, theirs["forces"], rtol=0, atol=1e-4, err_msg=name)
        stress_gpa = ours.stress * EV_PER_CUBIC_ANGSTROM_TO_GPA
        np.testing.assert_allclose(stress_gpa, theirs["stress"], rtol=0, atol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("atoms", "energy"), [(bulk("NaCl", "rocksalt", a=5.69), -3.3675), (bulk("Si", "diamond", a=5.46), -5.4191)]
)
def test_published_energies(atoms: Atoms, energy: float, m3gnet: Potential) -> None:
    """In eV/atom."""
    assert m3gnet.evaluate([atoms])[0].energy / 2 == pytest.approx(energy, rel=0, abs=1e-4)


@pytest.mark.parametrize(
    ("formula", "structure", "a"),
    [
        ("Si", "diamond", 5.45671),
        ("BN", "zincblende", 3.62638),
        ("MgO", "rocksalt", 4.26133),
        ("ZnO", "rocksalt", 4.35142),
        ("W", "bcc", 3.18242),
        ("Cu", "fcc", 3.61748),
        ("NaCl", "rocksalt", 5.69132),
    ],
)
def test_published_lattice_constants(formula: str, structure: str, a: float, m3gnet: Potential) -> None:
    """Within 0.02 % of the table that came with the weights, made by the matgl that they were trained with."""
    squeezed, stretched = m3gnet.evaluate([bulk(formula, structure, a=a * factor) for factor in (0.9998, 1.0002)])
    assert np.trace(squeezed.stress) < 0 < np.trace(stretched.stress)


def test_plain_matgl_sums_messages_into_the_wrong_atom(plain_matgl: Any) -> None:
    """Why the adapter sums them itself: by the convention of matgl 3 and later, rock salt is 2 eV/atom too high."""
    assert calculate(plain_matgl, bulk("NaCl", "rocksalt", a=5.69))["energy"] / 2 == pytest.approx(-1.30, abs=0.01)


def test_a_batch_without_triplets(m3gnet: Potential, crystals: dict[str, Atoms]) -> None:
    sparse = bulk("K", "bcc", a=5.3)
    alone = m3gnet.evaluate([sparse, sparse])
    among_others = m3gnet.evaluate([crystals["quinary"], sparse])[1]
    for result in (*alone, among_others):
        assert result.energy == pytest.approx(alone[0].energy, rel=0, abs=1e-6)
        np.testing.assert_allclose(result.stress, alone[0].stress, rtol=0, atol=1e-7)


def test_a_partly_periodic_layer_is_a_layer_with_much_vacuum(m3gnet: Potential, crystals: dict[str, Atoms]) -> None:
    layer = crystals["Pd layer"]
    apart = layer.copy()
    apart.center(vacuum=10, axis=2)
    apart.pbc = True
    ours, theirs = m3gnet.evaluate([layer, apart])
    assert ours.energy == pytest.approx(theirs.energy, rel=0, abs=1e-5)
    np.testing.assert_allclose(ours.forces, theirs.forces, rtol=0, atol=1e-5)


def test_the_card_lists_the_elements_of_the_weights() -> None:
    description = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
    assert set(description["kwargs"]["model"]["init_args"]["element_types"]) == find_card(NAME).elements


def weights_with(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the weights folder with a changed model.json."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "state.pt").symlink_to(FOLDER / "state.pt")
    description = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
    change(description)
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


def set_wrapper(description: dict[str, Any]) -> None:
    description["@module"] = "os"


def set_network(description: dict[str, Any]) -> None:
    description["kwargs"]["model"]["@class"] = "MEGNet"


def set_intensive(description: dict[str, Any]) -> None:
    description["kwargs"]["model"]["init_args"]["is_intensive"] = True


def set_cutoff(description: dict[str, Any]) -> None:
    description["kwargs"]["model"]["init_args"]["cutoff"] = 6.0


def drop_element(description: dict[str, Any]) -> None:
    description["kwargs"]["model"]["init_args"]["element_types"].remove("Cu")


def drop_network(description: dict[str, Any]) -> None:
    del description["kwargs"]["model"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_wrapper, r"names the classes os\.Potential, .* expected matgl\.apps\.pes\.Potential"),
        (set_network, r"names the classes .* matgl\.models\._m3gnet\.MEGNet, expected"),
        (set_intensive, "is_intensive = True; only False can be run"),
        (set_cutoff, "have a cutoff of 6 Å, expected 5 Å"),
        (drop_element, "do not know Cu, which its card lists"),
        (drop_network, "does not describe a matgl potential: KeyError: 'model'"),
    ],
)
def test_a_folder_that_describes_another_model_is_refused(
    change: Callable[[dict[str, Any]], None], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_with(tmp_path, change)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=reason):
        load_potential(NAME, device="cpu")


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = weights_with(tmp_path, lambda description: None)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (folder / "state.pt").unlink()
    with pytest.raises(InputError, match=rf"expected in .*{NAME}/state\.pt, which is not a file"):
        load_potential(NAME, device="cpu")
    (folder / "state.pt").write_bytes(b"something else")
    with pytest.raises(InputError, match=f"state.pt have sha256 .*, expected {find_card(NAME).sha256}"):
        load_potential(NAME, device="cpu")


def test_loading_prints_nothing_and_needs_no_network(tmp_path: Path) -> None:
    code = f"""
import os, socket
def refuse(*args, **kwargs):
    raise AssertionError("a network call")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import uniscreen
uniscreen.load_potential({NAME!r}, device="cpu")
assert "HF_HUB_OFFLINE" not in os.environ
"""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {FOLDER_VARIABLE: str(FOLDER.parent), "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]  # matgl makes its cache folder there
