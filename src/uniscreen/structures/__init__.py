"""What goes in: candidates, the files they come from, and how a structure is read safely.

>>> from uniscreen.structures import read_candidates
>>> table = read_candidates(Path("candidates.csv"))  # doctest: +SKIP
"""

from uniscreen.structures.candidate import Candidate, CandidateTable, ReadLimits, StructureSource
from uniscreen.structures.readers import candidates_from_structures, read_candidates

__all__ = [
    "Candidate",
    "CandidateTable",
    "ReadLimits",
    "StructureSource",
    "candidates_from_structures",
    "read_candidates",
]
