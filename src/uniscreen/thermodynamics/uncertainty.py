"""How the uncertainty of fitted corrections carries over to differences of energies."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uniscreen.thermodynamics.entries import CompetingEntry

ROUNDING = 1e-12
"""eV/atom. What is left of an error that cancels: oxides that decompose into oxides hold as much oxygen."""


def difference_uncertainty(
    candidate: CompetingEntry, phases: Iterable[tuple[CompetingEntry, float]] = ()
) -> float | None:
    """Standard error (eV/atom) of the energy of ``candidate`` minus that of ``phases``, from the corrections in them.

    ``phases`` are those of a combination, each with its share of the atoms. Two corrections of the same name are the
    same fitted parameter, so its error is shared and cancels as far as candidate and phases hold as much of it per
    atom. With a_p and b_p, how much of parameter p (standard error sigma_p) an atom of the candidate and of the phases
    holds, the result is the root of the sum over p of ((a_p - b_p) sigma_p)^2. Parameters are taken as independent of
    each other; their covariances are not published. None where the uncertainty of one of the entries is not known.

    Source of the standard errors: Wang et al., Sci. Rep. 11, 15496 (2021), doi:10.1038/s41598-021-94550-5.
    """
    per_parameter: dict[str, float] = defaultdict(float)
    for entry, share in ((candidate, 1.0), *((phase, -share) for phase, share in phases)):
        if entry.uncertainties is None:
            return None
        for name, uncertainty in entry.uncertainties.items():
            per_parameter[name] += share * uncertainty / entry.n_atoms
    return math.hypot(*(value for value in per_parameter.values() if abs(value) > ROUNDING))
