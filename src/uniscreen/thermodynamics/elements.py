"""Elemental reference energies: what a formation energy is measured against."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

from uniscreen.errors import ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE_NAME = "elemental_references.toml"


@cache
def elemental_references(functional: str) -> Mapping[str, float]:
    """Energy of the most stable crystal of each element, eV/atom, by element symbol.

    Under MP2020 elements are not corrected, so the numbers hold for raw and for corrected energies. Source
    and licence of the numbers are in ``elemental_references.toml``.

    Raises:
        ReferenceMismatchError: there is no table for ``functional``.

    """
    tables = tomllib.loads(table_bytes().decode())
    if functional not in tables:
        raise ReferenceMismatchError(
            f"No elemental reference energies for the functional '{functional}'; there are some for: "
            f"{', '.join(tables)}. Give entries of {functional}: --references FILE or, from the Materials Project, "
            "--references mp."
        )
    return MappingProxyType(tables[functional]["energy_eV_per_atom"])


def has_elemental_references(functional: str) -> bool:
    """Whether there is a table of elemental reference energies for ``functional``."""
    return functional in tomllib.loads(table_bytes().decode())


def table_bytes() -> bytes:
    """Read the table's file as it is shipped."""
    return files("uniscreen.thermodynamics").joinpath(TABLE_NAME).read_bytes()
