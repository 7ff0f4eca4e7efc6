"""The volume of a crystal whose elements were exchanged, from radii or bond lengths."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Literal

from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor, RLSVolumePredictor

from uniscreen.structures.charges import species

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core import Structure

VolumeSource = Literal["ionic radii", "bond lengths", "seed"]


def rescaled(
    structure: Structure, states: Mapping[str, float], seed: Structure, seed_states: Mapping[str, float]
) -> tuple[Structure, VolumeSource]:
    """Scale the cell of ``structure``, which has the sites of ``seed`` with other elements, to the volume they need.

    Where every ion of both crystals has an ionic radius, the edges grow by the ratio of the summed radii (reference
    lattice scaling); else until the shortest bond has the length that is usual for its elements (data-mined lattice
    scaling); where that is not known either, the volume stays the seed's. Both are pymatgen's, from Chu et al.,
    Comput. Mater. Sci. 146, 184 (2018), doi:10.1016/j.commatsci.2018.01.040.

    ``states`` and ``seed_states`` are oxidation states by element, none for a metal. Returns a new structure, and what
    its volume rests on.
    """
    source: VolumeSource = "ionic radii"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a missing radius; then the next way is tried
        volume = _by_ionic_radii(structure, states, seed, seed_states)
        if volume is None:
            source, volume = "bond lengths", _by_bond_lengths(structure)
    if volume is None:
        return structure.copy(), "seed"
    scaled = structure.copy()
    scaled.scale_lattice(volume)
    return scaled, source


def _by_ionic_radii(
    structure: Structure, states: Mapping[str, float], seed: Structure, seed_states: Mapping[str, float]
) -> float | None:
    if not (any(states.values()) and any(seed_states.values())):
        return None
    predictor = RLSVolumePredictor(check_isostructural=False, radii_type="ionic", use_bv=False)
    try:
        return float(predictor.predict(_with_ions(structure, states), _with_ions(seed, seed_states)))
    except ValueError:  # an ion has no radius in the tables
        return None


def _by_bond_lengths(structure: Structure) -> float | None:
    try:
        volume = float(DLSVolumePredictor(min_scaling=None, max_scaling=None).predict(structure))
    except (TypeError, ValueError):  # no bond that the tables know
        return None
    return volume if math.isfinite(volume) else None


def _with_ions(structure: Structure, states: Mapping[str, float]) -> Structure:
    """Replace each element by its ion; an average state is rounded."""
    ions = structure.copy()
    ions.replace_species({symbol: species(symbol, state) for symbol, state in states.items()})
    return ions
