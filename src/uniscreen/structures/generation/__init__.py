"""Candidates made from other crystals: elements substituted, or put on the sites of structure types."""

from uniscreen.structures.generation.prototypes import Prototype, find_prototype, named_prototypes
from uniscreen.structures.generation.substitution import parse_alternatives
from uniscreen.structures.generation.tables import Made, write_decorated, write_substituted

__all__ = [
    "Made",
    "Prototype",
    "find_prototype",
    "named_prototypes",
    "parse_alternatives",
    "write_decorated",
    "write_substituted",
]
