"""Moment tensor potentials in ``.mtp`` files, which number their elements but do not name them."""

from __future__ import annotations

import re
from pathlib import Path

from ase.data import atomic_numbers

from uniscreen.durable import sha256_of
from uniscreen.errors import InputError
from uniscreen.potentials.cards import ModelCard

SCHEME = "mtp:"

HEADER_BYTES = 4096
"""The number of species and the cutoff are in the first lines of a file, which may be megabytes."""


def mtp_model(name: str) -> tuple[ModelCard, Path]:
    """The card of ``mtp:FILE:ELEMENTS`` and its file; elements in the file's order, separated by hyphens.

    Raises:
        InputError: no such file, not a moment tensor potential, or not as many elements as it has.
    """
    file, _, listed = name.removeprefix(SCHEME).rpartition(":")
    species = tuple(listed.split("-"))
    unknown = [symbol for symbol in species if symbol not in atomic_numbers or symbol == "X"]
    if not file or unknown or len(set(species)) != len(species):
        raise InputError(
            f"{name!r} is not mtp:FILE:ELEMENTS with the elements in the order in which the file numbers them, e.g. "
            "mtp:Si.mtp:Si or mtp:fitted.mtp:Li-Co-O."
        )
    path = Path(file)
    if not path.is_file():
        raise InputError(f"There is no .mtp file {path}.")
    n_species, cutoff = _header(path)
    if n_species != len(species):
        raise InputError(f"{path} has {n_species} species, but {len(species)} are named: {', '.join(species)}.")
    card = ModelCard(
        name=path.stem,
        aliases=(),
        architecture="MTP",
        weights=str(path),
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path),
        licence="unknown",
        citation="the file names none",
        functional="unknown",
        energy_convention="raw",
        forces="conservative",
        dtype="float64",
        cutoff=cutoff,
        magnetic_moments=False,
        elements=frozenset(species),
        species=species,
    )
    return card, path


def _header(path: Path) -> tuple[int, float]:
    """The number of species and the cutoff (Å), as MLIP-2 and motep write them."""
    with path.open("rb") as file:
        text = file.read(HEADER_BYTES).decode("utf-8", errors="replace")
    species = re.search(r"^species_count\s*=\s*(\d+)", text, flags=re.MULTILINE)
    cutoff = re.search(r"^\s*(?:max_dist|max_val|max)\s*=\s*([-+.\deE]+)", text, flags=re.MULTILINE)
    if not text.startswith("MTP") or species is None or cutoff is None:
        raise InputError(f"{path} is not a moment tensor potential of MLIP-2's or motep's .mtp format.")
    return int(species[1]), float(cutoff[1])
