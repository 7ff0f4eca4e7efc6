"""Labelled frames of an extxyz file, under the names in use."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.frames import raw_value, split_frames
from uniscreen.structures.labels.labelled import LabelConventions, RawFrame
from uniscreen.structures.sources import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ase import Atoms

    from uniscreen.structures.frames import Frame

REFERENCE_NAMES = ("REF_{}", "ref_{}", "dft_{}", "DFT_{}")
"""Names that say that a label is the reference and not a model's."""

PLAIN_NAMES = {
    "energy": ("energy", "Energy", "energies_total", "free_energy"),
    "forces": ("forces", "force", "Forces"),
    "stress": ("stress", "stresses"),
    "virial": ("virial", "virials"),
}
FREE_ENERGY = "free_energy"
TENSOR = re.compile(r"(^|\s)(stress|virial)\s*=")
OURS = "label_"

GROUP_NAMES = ("group", "trajectory", "traj_id", "mptrj_traj_id", "parent", "config_type")


def read_extxyz(_path: Path, data: bytes, given: LabelConventions) -> Iterator[RawFrame]:
    """Yield the frames of an extxyz text; see ``RawFrame``.

    Raises:
        InvalidStructureError: a frame is cut short, cannot be read, or holds a label twice with different values.
    """
    for number, frame in enumerate(split_frames(decode(data).split("\n")), start=1):
        place = f"frame {number} (line {frame.line})"
        try:
            atoms, info = _parse(frame)
            found = {**info, **atoms.arrays}
            group = _group(frame.comment, found, given.group_key)
            stress, virial = stress_and_virial(found, given.stress_key)
            yield RawFrame(
                place=place,
                atoms=atoms,
                energy=label(found, "energy", given.energy_key),
                forces=label(found, "forces", given.forces_key),
                stress=stress,
                virial=virial,
                group=group,
            )
        except InvalidStructureError as error:
            raise InvalidStructureError(f"{place}: {error}") from None
        except Exception as error:  # ASE raises many types for a malformed frame
            raise InvalidStructureError(f"{place}: cannot be read: {type(error).__name__}: {error}") from error


def label(found: Mapping[str, Any], quantity: str, key: str | None) -> Any:
    """A label under the name given, else under a name that says reference, else under a plain one; None if absent.

    Raises:
        InvalidStructureError: several names are there, with different values. (A free energy beside another is none.)
    """
    if key is not None:
        return found.get(key)
    there = [name for name in (*_reference_names(quantity), *PLAIN_NAMES[quantity]) if name in found]
    if not there:
        return None
    chosen = there[0]
    for other in there[1:]:
        differs = not np.array_equal(np.asarray(found[chosen]), np.asarray(found[other]))
        if differs and (not other.endswith(FREE_ENERGY) or chosen.endswith(FREE_ENERGY)):
            raise InvalidStructureError(
                f"holds {chosen} and {other}, which differ. Say which is the label, e.g. {quantity}_key: {chosen}."
            )
    return found[chosen]


def stress_and_virial(found: Mapping[str, Any], key: str | None) -> tuple[Any, Any]:
    """Their labels; of a plain stress beside a virial that says reference the latter alone.

    Raises:
        InvalidStructureError: see ``label``.
    """
    stress, virial = label(found, "stress", key), None if key else label(found, "virial", None)
    says_reference = {what: any(name in found for name in _reference_names(what)) for what in ("stress", "virial")}
    if key is None and says_reference["virial"] and not says_reference["stress"]:
        stress = None
    return stress, virial


def _group(comment: str, found: Mapping[str, Any], key: str | None) -> str | None:
    """The group of a frame as it is written: ASE reads ``1_11`` and ``11_1`` as the number 111."""
    for name in (key,) if key else GROUP_NAMES:
        if name in found:
            return raw_value(comment, name) or str(found[name])
    return None


def _reference_names(quantity: str) -> list[str]:
    return [pattern.format(stem) for pattern in REFERENCE_NAMES for stem in PLAIN_NAMES[quantity]]


def first(found: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first name that is there, or None."""
    return next((found[name] for name in names if name in found), None)


def _parse(frame: Frame) -> tuple[Atoms, dict[str, Any]]:
    """The structure with all columns as arrays, and the values of the comment line as they are written."""
    from ase.io import read
    from ase.io.extxyz import key_val_str_to_dict

    comment = TENSOR.sub(rf"\1{OURS}\2=", frame.comment)  # ASE refuses a stress of six components under its own name
    atoms = read(StringIO(frame.text.replace(frame.comment, comment, 1)), index=0, format="extxyz")
    results = {} if atoms.calc is None else atoms.calc.results
    for name, value in results.items():  # ASE takes columns of its own names away from the arrays
        if np.shape(value)[:1] == (len(atoms),) and np.ndim(value) == 2:
            atoms.arrays.setdefault(name, value)
    atoms.calc = None
    return atoms, {name.removeprefix(OURS): value for name, value in key_val_str_to_dict(comment).items()}
