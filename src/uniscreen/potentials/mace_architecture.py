"""A MACE network as JSON, and back: the arguments of mace's constructor with classes and functions by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")
_INTERACTIONS = ("interaction_cls", "interaction_cls_first")
_ARRAYS = ("atomic_energies", "atomic_inter_scale", "atomic_inter_shift")


def describe(model: Any) -> dict[str, Any]:
    """The arguments with which a network like this is built, in the types that JSON has.

    Raises:
        InputError: a network of a kind that mace itself cannot describe.
    """
    from mace.modules import gate_dict, interaction_classes, readout_classes
    from mace.tools.scripts_utils import extract_config_mace_model

    found = extract_config_mace_model(model)
    if "error" in found:
        raise InputError(f"A {type(model).__name__} cannot be saved: mace describes only models with scale and shift.")
    gates = {function: name for name, function in gate_dict.items()}
    for name in (*_INTERACTIONS, "readout_cls", "gate"):
        if found[name] not in (*interaction_classes.values(), *readout_classes.values(), *gates):
            raise InputError(f"The model cannot be saved: its {name} is {found[name]!r}, which mace has no name for.")
    described = {name: value for name, value in found.items() if value is not None}
    described |= {name: str(described[name]) for name in _IRREPS if name in described}
    described |= {name: found[name].__name__ for name in (*_INTERACTIONS, "readout_cls")}
    described |= {name: found[name].tolist() for name in (*_ARRAYS, "atomic_numbers")}
    described["gate"] = gates[found["gate"]]
    described["avg_num_neighbors"] = float(found["avg_num_neighbors"])
    described["heads"] = list(found["heads"])
    return described


def build(description: Mapping[str, Any]) -> Any:
    """A network with untrained weights, in float64."""
    from e3nn import o3
    from mace.modules import ScaleShiftMACE, gate_dict, interaction_classes, readout_classes

    arguments = dict(description)
    arguments |= {name: o3.Irreps(arguments[name]) for name in _IRREPS if name in arguments}
    arguments |= {name: interaction_classes[arguments[name]] for name in _INTERACTIONS}
    arguments["readout_cls"] = readout_classes[arguments["readout_cls"]]
    arguments["gate"] = gate_dict[arguments["gate"]]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return ScaleShiftMACE(**arguments)
    finally:
        torch.set_default_dtype(before)


def complete(model: Any) -> None:
    """Give a network that was pickled by an earlier mace the flags that later versions save with the weights.

    They say which contractions have no weights; there were none before mace had the flags.
    """
    for module in model.modules():
        if type(module).__name__ != "Contraction":
            continue
        for name in ("weights_max", *(f"weights_{i}" for i in range(len(module.weights)))):
            if f"{name}_zeroed" not in dict(module.named_buffers()):
                module.register_buffer(f"{name}_zeroed", torch.tensor(False))
