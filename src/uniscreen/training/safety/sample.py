"""Crystals of most elements, made here, on which a fine-tuned potential is compared with what it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import chemical_symbols, reference_states

from uniscreen.structures.generation.prototypes import decorations, find_prototype
from uniscreen.structures.generation.substitution import Substituted

if TYPE_CHECKING:
    from collections.abc import Collection

COMPOUNDS = {
    "rocksalt": "LiF LiH NaCl KBr RbI AgCl MgO CaS SrSe BaTe PbS MnO FeO CoO NiO EuO TiN VN ScN YN LaN CeN TiC ZrC HfC",
    "caesium-chloride": "CsCl CsBr CsI TlBr NiAl CuZn FeAl",
    "zincblende": "BN AlP GaAs InSb ZnS CdTe CuCl SiC BeS HgTe",
    "wurtzite": "AlN GaN InN ZnO BeO",
    "nickel-arsenide": "NiAs FeS CrSb",
    "fluorite": "CaF BaF SrCl ThO UO ZrO HfO CeO",
    "antifluorite": "LiO NaS KSe",
    "rutile": "TiO SnO MnO RuO IrO MgF VO",
    "pyrite": "FeS PtAs",
    "cadmium-iodide": "CdI MgBr TiSe ZrTe",
    "molybdenite": "MoS WSe NbS",
    "corundum": "AlO CrO FeO",
    "rhenium-trioxide": "ReO",
    "perovskite": "SrTiO KMgF LaAlO CsPbI BaZrO NaTaO",
    "half-heusler": "MgAgAs TiNiSn LiZnP",
    "heusler": "CuMnAl CoFeSi NiMnGa",
    "layered": "LiCoO NaCrS LiNiO",
    "chalcopyrite": "FeCuS GaCuSe",
    "calcite": "CaCO",
    "zircon": "ZrSiO YPO",
}
"""By structure type, the elements of real compounds, or of ones near to real, on its sites in order."""

RATTLE = 0.05
"""Å, standard deviation of each coordinate."""

STRAIN = 0.02
"""Standard deviation of each component."""


def crystals_of(elements: Collection[str]) -> list[Atoms]:
    """Metals, semiconductors and compounds that hold only the given elements, off their equilibrium.

    The elements are in the crystal that ASE lists, if it is cubic or hexagonal; the compounds' lattices are estimated
    from radii. The same elements give the same crystals.
    """
    chosen = [atoms for atoms in [*element_crystals(), *_compounds()] if set(atoms.symbols) <= set(elements)]
    for seed, atoms in enumerate(chosen):
        source = np.random.default_rng(seed)
        strain = source.normal(0, STRAIN, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += source.normal(0, RATTLE, atoms.positions.shape)
    return chosen


def element_crystals() -> list[Atoms]:
    """Crystals of the elements with at least two atoms, so that there are forces."""
    found = []
    for symbol, state in zip(chemical_symbols, reference_states, strict=False):
        if state is None or state["symmetry"] not in {"fcc", "bcc", "hcp", "diamond"} or "basis" in state:
            continue
        atoms = bulk(symbol)
        found.append(atoms if len(atoms) > 1 else atoms * (2, 1, 1))
    return found


def _compounds() -> list[Atoms]:
    found = []
    for name, formulas in COMPOUNDS.items():
        prototype = find_prototype(name)
        for formula in formulas.split():
            symbols = re.findall(r"[A-Z][a-z]?", formula)
            sites = {site: [symbol] for site, symbol in zip(prototype.sites, symbols, strict=True)}
            for _, made in decorations(prototype, sites, allow_unbalanced=True):
                assert isinstance(made, Substituted), f"{formula} in {name}: {made}"
                found.append(_atoms(made))
    return found


def _atoms(made: Substituted) -> Atoms:
    structure = made.structure
    return Atoms(
        numbers=structure.atomic_numbers, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True
    )
