"""The model card of a potential that is made for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uniscreen.potentials import ModelCard

if TYPE_CHECKING:
    from collections.abc import Iterable


def toy_card(elements: Iterable[str], **fields: Any) -> ModelCard:
    """A card of raw PBE energies in float64 for some elements; ``fields`` change or add to it."""
    usual = {
        "name": "toy",
        "aliases": (),
        "architecture": "pairs",
        "weights": "",
        "size_bytes": 0,
        "sha256": "",
        "licence": "",
        "citation": "",
        "functional": "PBE",
        "energy_convention": "raw",
        "forces": "conservative",
        "dtype": "float64",
        "cutoff": 6.0,
        "magnetic_moments": False,
    }
    return ModelCard(**usual | {"elements": frozenset(elements)} | fields)
