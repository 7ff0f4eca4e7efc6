"""Energy corrections that make raw DFT energies comparable across GGA and GGA+U, and with experiment.

Which correction applies is a property of the model, not of the data: a model trained on corrected labels must
not be corrected again, a model that predicts raw DFT energies must be before it meets a Materials Project
hull.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from uniscreen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core import Composition, Structure


PYMATGEN_MOST_SITES = 20
"""Atoms of a reduced formula beyond which pymatgen's scheme guesses no oxidation states, to save time."""


class CorrectionScheme(StrEnum):
    """Which corrections a set of energies holds.

    Energies of a model are ``MP2020`` or ``NONE``. Reference entries can also hold the Materials Project's
    corrections of before 2021 (``LEGACY``), or be of compositions that MP2020 leaves alone, so that raw and
    corrected energies are the same (``NOT_NEEDED``).
    """

    MP2020 = "MP2020"
    NONE = "none"
    LEGACY = "MP (legacy)"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class Correction:
    """The correction of one structure's total energy.

    ``adjustments`` maps each adjustment's name to its share in eV (not per atom), ``uncertainties`` to the
    standard error of that share, eV. ``anions_known`` is False where no oxidation states add up, and which elements are
    anions was taken from electronegativities.
    """

    adjustments: Mapping[str, float]
    uncertainties: Mapping[str, float]
    anions_known: bool = True

    @property
    def total(self) -> float:
        """The whole correction, eV."""
        return float(sum(self.adjustments.values()))

    @property
    def uncertainty(self) -> float:
        """Its standard error, eV; the adjustments are taken as independent of each other, as pymatgen does."""
        return math.hypot(*self.uncertainties.values())


def mp2020_correction(structure: Structure, energy: float) -> Correction:
    """Find the MP2020 correction of a structure whose raw total energy is ``energy`` eV.

    Anion corrections depend on the structure (oxide, peroxide, superoxide) and on oxidation states, which are guessed
    from the composition: by pymatgen, and for formulas that it leaves out for their size by the same rule. So process
    the relaxed structure, and record the pymatgen version.

    Raises:
        InputError: ``energy`` is not finite.

    Source: Wang et al., Sci. Rep. 11, 15496 (2021), doi:10.1038/s41598-021-94550-5, as implemented by
    pymatgen.

    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if not math.isfinite(energy):
        raise InputError(f"The energy of {structure.formula} is {energy} eV; a correction needs a finite total energy.")
    if _corrected_anions().isdisjoint(site.specie.symbol for site in structure):
        return Correction({}, {})  # at once: guessing oxidation states takes milliseconds
    plain = structure.copy()
    plain.remove_oxidation_states()  # pymatgen finds no anion among decorated species
    # Without a guess of oxidation states pymatgen corrects the most electronegative element, of two that are equally so
    # (Cu and Si) the one listed later. In the order of formulas that is the less metallic, whatever the order of atoms.
    plain.sort(key=lambda site: site.specie.iupac_ordering)
    entry = ComputedStructureEntry(plain, energy, parameters=_mp_parameters(plain.composition))
    adjustments = _mp2020_adjustments(entry)
    return Correction(
        adjustments={item.name: float(item.value) for item in adjustments},
        uncertainties={item.name: float(item.uncertainty) for item in adjustments},
        anions_known=_anions_known(entry),
    )


def corrected_under_mp2020(composition: Composition) -> bool:
    """Whether MP2020 adjusts energies of this composition, as far as the composition alone can tell."""
    from pymatgen.entries.computed_entries import ComputedEntry

    if _corrected_anions().isdisjoint(element.symbol for element in composition.elements):
        return False
    return bool(_mp2020_adjustments(ComputedEntry(composition, 0.0, parameters=_mp_parameters(composition))))


@cache
def _corrected_anions() -> frozenset[str]:
    """Elements without any of which MP2020 adjusts nothing; U metals are adjusted with oxygen and fluorine only."""
    from pymatgen.core import Element
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    named = MaterialsProject2020Compatibility(check_potcar=False).comp_correction
    return frozenset(name for name in named if Element.is_valid_symbol(name)) | {"O"}


def _mp2020_adjustments(entry: Any) -> list[Any]:
    """What MP2020 adjusts; the oxidation states that it goes by are in the entry's data afterwards."""
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    from uniscreen.structures.charges import neutral_states

    if entry.composition.reduced_composition.num_atoms > PYMATGEN_MOST_SITES:
        entry.data["oxidation_states"] = neutral_states(entry.composition) or {}

    # There are no pseudopotentials to check: the energies are a model's.
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # guessed oxidation states are the normal case here
        return list(scheme.get_adjustments(entry))


def _anions_known(entry: Any) -> bool:
    """Whether oxidation states tell what is an anion; without them the most electronegative of elements is taken.

    Where that is the only one that can be corrected so, or oxygen and sulfur are, which go by bonds, none is in doubt.
    """
    *others, _ = sorted(entry.composition.elements, key=lambda element: element.X)
    doubtful = _corrected_anions() - {"O", "S"}
    return bool(entry.data.get("oxidation_states")) or doubtful.isdisjoint(element.symbol for element in others)


def _mp_parameters(composition: Composition) -> dict[str, Any]:
    """Run type and Hubbard U (eV) as the Materials Project sets them: U only on certain metals with O or F.

    Source: pymatgen's MPRelaxSet, which looks U up by the most electronegative element.
    """
    from pymatgen.io.vasp.sets import MPRelaxSet

    elements = sorted(composition.elements, key=lambda element: element.X)
    settings = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(elements[-1].symbol, {})
    hubbards = {el.symbol: settings[el.symbol] for el in elements if el.symbol in settings}
    return {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards}
