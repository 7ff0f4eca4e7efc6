"""The parts that replace mace's own: the same numbers from the same parameters, for every kind of part."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from mace_models import import_mace, random_model, structures_of
from uniscreen import load_potential
from uniscreen.potentials.mace_modules import PolynomialContraction, ScalarConvolution, SpeciesLinear, streamlined

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(find_spec("mace") is None, reason="mace-torch is not installed")


@pytest.fixture(scope="module", autouse=True)
def _upstream() -> None:
    import_mace()


VARIANTS: dict[str, dict[str, Any]] = {
    "scalars": {"hidden_irreps": "8x0e", "max_ell": 3, "correlation": 3},
    "vectors": {"hidden_irreps": "8x0e + 8x1o", "max_ell": 3, "correlation": 3},
    "tensors": {"hidden_irreps": "4x0e + 4x1o + 4x2e", "correlation": 2},
    "linear": {"hidden_irreps": "8x0e", "correlation": 1},
    "density": {"hidden_irreps": "8x0e + 8x1o", "interactions": "RealAgnosticDensity{}InteractionBlock"},
    "one residual": {"hidden_irreps": "8x0e", "interaction_cls_first": "RealAgnosticResidualInteractionBlock"},
}


def model_of(variant: str) -> Any:
    from e3nn import o3
    from mace.modules import interaction_classes

    settings = dict(VARIANTS[variant])
    settings["hidden_irreps"] = o3.Irreps(settings["hidden_irreps"])
    if name := settings.pop("interactions", ""):
        settings["interaction_cls_first"] = name.format("")
        settings["interaction_cls"] = name.format("Residual")
    for key in ("interaction_cls", "interaction_cls_first"):
        if key in settings:
            settings[key] = interaction_classes[settings[key]]
    return random_model(**settings)


def kinds(model: Any) -> list[type]:
    """The replaced parts."""
    parts = (PolynomialContraction, ScalarConvolution, SpeciesLinear)
    return [type(module) for module in model.modules() if isinstance(module, parts)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 2e-5)], ids=["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_numbers_are_those_of_the_parts_of_mace(variant: str, dtype: Any, tolerance: float, tmp_path: Path) -> None:
    """eV/atom, eV/Å and eV/Å³, in a batch of crystals of one to three species."""
    torch.save(model_of(variant), tmp_path / "tiny.model")
    potential: Any = load_potential(str(tmp_path / "tiny.model"), device="cpu", dtype=dtype, trust_model_file=True)
    n_layers = len(potential.model.interactions)
    assert kinds(potential.model) == []
    assert kinds(potential._fast).count(SpeciesLinear) == n_layers
    assert kinds(potential._fast).count(ScalarConvolution) == (1 if "1o" in VARIANTS[variant]["hidden_irreps"] else 2)
    assert PolynomialContraction in kinds(potential._fast)

    crystals = [*structures_of("Cu", "O", "Al").values(), *structures_of("Cu").values()]
    ours = potential.evaluate(crystals)
    potential._fast = potential.model
    for fast, plain in zip(ours, potential.evaluate(crystals), strict=True):
        n_atoms = len(plain.forces)
        assert fast.energy / n_atoms == pytest.approx(plain.energy / n_atoms, rel=0, abs=tolerance)
        np.testing.assert_allclose(fast.forces, plain.forces, rtol=0, atol=tolerance)
        np.testing.assert_allclose(fast.stress, plain.stress, rtol=0, atol=tolerance)


def test_the_parameters_are_shared() -> None:
    model = model_of("vectors")
    ours = {id(parameter) for parameter in streamlined(model).parameters()}
    assert ours <= {id(parameter) for parameter in model.parameters()}


def test_an_interaction_with_other_weights_for_the_two_directions_is_left_as_it_is() -> None:
    """Its radial network sees the species at both ends, in their order."""
    from mace.modules import interaction_classes

    kind = interaction_classes["RealAgnosticResidualNonLinearInteractionBlock"]
    model = random_model(interaction_cls=kind, interaction_cls_first=kind)
    assert set(kinds(streamlined(model))) == {PolynomialContraction}
