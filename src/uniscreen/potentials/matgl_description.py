"""What a folder that matgl saved says about its model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION_FILE = "model.json"
STATE_FILE = "state.pt"

_REQUIRED: dict[str, dict[str, object]] = {
    "M3GNet": {"is_intensive": False, "include_state": False, "use_phi": False, "ntargets": 1, "dropout": None},
    "TensorNet": {"is_intensive": False, "include_state": False, "ntargets": 1},
}
"""The networks that can be run, and the arguments for which that holds: an energy that is a sum over atoms."""


class Description(NamedTuple):
    """What model.json says.

    The class of the network and its arguments, among them the chemical symbols in the order of its species and the
    cutoff (Å), and the data set that it was trained on, which may be empty.
    """

    network: str
    arguments: dict[str, Any]
    elements: tuple[str, ...]
    cutoff: float
    dataset: str


def read_description(folder: Path) -> Description:
    """Read the model.json of a folder that matgl saved. Nothing that it names is imported.

    Raises:
        InputError: it does not describe a potential of a known class, or not one that can be run.
    """
    path = folder / DESCRIPTION_FILE
    try:
        wrapper = json.loads(path.read_text(encoding="utf-8"))
        options = dict(wrapper["kwargs"])
        network = options["model"]
        classes = [(str(table["@module"]), str(table["@class"])) for table in (wrapper, network)]
        arguments = dict(network["init_args"])
        elements, cutoff = tuple(map(str, arguments["element_types"])), float(arguments["cutoff"])
        dataset = str((wrapper.get("metadata") or {}).get("dataset", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not describe a matgl potential: {type(error).__name__}: {error}") from error
    (wrapper_module, wrapper_class), (module, name) = classes
    if (
        not _is_within(wrapper_module, "matgl.apps", "pes")
        or wrapper_class != "Potential"
        or not _is_within(module, "matgl", "models")
        or name not in _REQUIRED
    ):
        raise InputError(
            f"{path} names the classes {wrapper_module}.{wrapper_class}, {module}.{name}, expected "
            f"matgl.apps.pes.Potential of matgl.models' {' or '.join(_REQUIRED)}."
        )
    for option, value in _REQUIRED[name].items():
        if arguments.get(option) != value:
            raise InputError(f"{path} has {option} = {arguments.get(option)!r}; only {value!r} can be run.")
    if str(options.get("calc_repuls", False)) != "False":
        raise InputError(f"{path} adds a nuclear repulsion to the network (calc_repuls), which cannot be run.")
    return Description(name, arguments, elements, cutoff, dataset)


def _is_within(module: str, package: str, name: str) -> bool:
    """Whether a module is ``package.name`` or a private part of it, as matgl's versions name them."""
    public = f"{package}.{name}"
    return module == public or module.startswith((f"{public}._", f"{package}._{name}"))
