"""Which candidates are the same crystal."""

from uniscreen.structures.deduplication.duplicates import Duplicates, Tolerances, find_duplicates
from uniscreen.structures.deduplication.tables import write_unique

__all__ = ["Duplicates", "Tolerances", "find_duplicates", "write_unique"]
