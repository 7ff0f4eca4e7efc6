"""Properties in TOML."""

from __future__ import annotations

import difflib
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from uniscreen.benchmarking.physics.points import special_points
from uniscreen.benchmarking.physics.properties import FOLDER, Properties
from uniscreen.errors import InputError, StructureError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ase import Atoms
    from pydantic import BaseModel

    from uniscreen.benchmarking.physics.properties import Crystal, Vacancy


def read_properties(path: Path) -> Properties:
    """Read what potentials are to be asked about a system, and what they should say.

    Structure files are beside ``path``.

    Raises:
        InputError: the file cannot be read, a key is unknown, a value is wrong, or a crystal cannot be built; named.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from None
    try:
        properties = Properties.model_validate(values, context={FOLDER: path.parent})
    except ValidationError as error:
        raise InputError(f"{path}: {'; '.join(_problem(dict(problem)) for problem in error.errors())}.") from None
    built = {name: _built(path, name, crystal) for name, crystal in properties.crystals.items()}
    for name, crystal in properties.crystals.items():
        _check(f"{path}: crystals.{name}", crystal, built[name])
    for polymorphs in properties.polymorphs:
        formulas = {name: built[name].get_chemical_formula(empirical=True) for name in polymorphs.crystals}
        if len(set(formulas.values())) > 1:
            listed = ", ".join(f"{name} {formula}" for name, formula in formulas.items())
            raise InputError(f"{path}: polymorphs are of one composition, but these are {listed}.")
    return properties


def _built(path: Path, name: str, crystal: Crystal) -> Atoms:
    try:
        atoms = crystal.build()
    except (StructureError, ValueError, KeyError, RuntimeError) as error:  # ASE has no one error for what it refuses
        raise InputError(f"{path}: crystals.{name} cannot be built: {' '.join(str(error).split())}") from None
    if not atoms.pbc.all():
        raise InputError(f"{path}: crystals.{name} is not periodic in all directions.")
    return atoms


def _check(place: str, crystal: Crystal, atoms: Atoms) -> None:
    """Refuse references that do not fit the crystal."""
    if crystal.vacancy is not None:
        _check_vacancy(f"{place}.vacancy", crystal.vacancy, atoms)
    if crystal.phonons is None:
        return
    try:
        points, n_primitive = special_points(atoms)
    except ValueError as error:
        raise InputError(f"{place}.phonons: {error}; are atoms of the crystal in the same place?") from None
    for label, frequencies in crystal.phonons.frequencies_THz.items():
        if label not in points:
            raise InputError(f"{place}.phonons: there is no point {label}; this lattice has {', '.join(points)}.")
        expected = 3 * n_primitive - (3 if label == "G" else 0)
        if not expected:
            raise InputError(
                f"{place}.phonons: at G one atom in the primitive cell has acoustic modes only; leave G out."
            )
        if frequencies and len(frequencies) != expected:
            raise InputError(
                f"{place}.phonons: {label} has {len(frequencies)} frequencies, expected {expected}: three an atom of "
                "the primitive cell, degenerate ones repeated, without the acoustic ones at G."
            )


def _check_vacancy(place: str, vacancy: Vacancy, atoms: Atoms) -> None:
    if max(vacancy.removed) >= len(atoms) or len(set(vacancy.removed)) < len(vacancy.removed):
        raise InputError(f"{place}: removed are different atoms of the cell, 0 to {len(atoms) - 1}.")
    taken, whole = Counter(atoms.symbols[list(vacancy.removed)]), Counter(atoms.symbols)
    if any(taken[element] * len(atoms) != whole[element] * len(vacancy.removed) for element in whole):
        raise InputError(
            f"{place}: removed are {' '.join(sorted(taken.elements()))}, which is no whole number of formula units of "
            f"{atoms.get_chemical_formula(empirical=True)}; other vacancies need chemical potentials, which are not "
            "given here."
        )


def _problem(problem: Mapping[str, Any]) -> str:
    """One thing that is wrong: where, what was given, what was expected."""
    place = [str(part) for part in problem["loc"]]
    where = ".".join(place) or "properties"
    if problem["type"] == "extra_forbidden":
        known = _keys(place[:-1])
        close = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Expected one of {', '.join(known)}"
        return f"{where} is no key of a file of properties. {hint}"
    given = problem["input"]
    shown = "" if isinstance(given, (dict, list)) or given is None else f" (given: {given})"
    return f"{where}: {str(problem['msg']).removeprefix('Value error, ')}{shown}"


def _keys(place: list[str]) -> list[str]:
    """The keys of the table at a place."""
    model: type[BaseModel] = Properties
    for part in place:
        field = model.model_fields.get(part)
        model = model if field is None else _table(field.annotation) or model
    return list(model.model_fields)


def _table(annotation: Any) -> type[BaseModel] | None:
    """The table that a type is, or holds."""
    if hasattr(annotation, "model_fields"):
        return annotation
    found = (_table(part) for part in getattr(annotation, "__args__", ()))
    return next((one for one in found if one is not None), None)
