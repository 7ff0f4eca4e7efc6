"""Labelled structures, in our units, as the content of an extxyz file that any program reads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.structures.labels.labelled import LabelledStructure


def labelled_extxyz(structures: Sequence[LabelledStructure]) -> bytes:
    """Give energies (eV), forces (eV/Å), stresses (eV/Å³, tension positive) and groups under ASE's own names.

    Positions and forces are rounded to 8 decimals, as ASE writes them.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_extxyz
    from ase.stress import full_3x3_to_voigt_6_stress

    frames = []
    for one in structures:
        frame = one.atoms.copy()
        frame.info = {"group": one.group} if one.group is not None else {}
        stress = {} if one.stress is None else {"stress": full_3x3_to_voigt_6_stress(one.stress)}
        frame.calc = SinglePointCalculator(frame, energy=one.energy, forces=one.forces, **stress)
        frames.append(frame)
    text = io.StringIO()
    write_extxyz(text, frames)
    return text.getvalue().encode()
