"""Materials as a table of candidates that a screen reads."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from uniscreen.structures import ReadLimits
from uniscreen.structures.formats import is_gz, without_gz
from uniscreen.structures.sources import TextSource
from uniscreen.structures.writing import poscar_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uniscreen.thermodynamics.materials_project.materials import Material

MOST_ATOMS = 10_000
"""More than any crystal of the Materials Project has."""


def dft_columns(material: Material) -> dict[str, float | None]:
    """The DFT energies of a material, by the names under which they stand beside a screen's results."""
    return {
        "dft_e_above_hull_eV_per_atom": material.e_above_hull,
        "dft_formation_energy_eV_per_atom": material.formation_energy,
    }


def table_content(materials: Sequence[Material], name: str, thermo_type: str, version: str) -> bytes:
    """Write the file called ``name``: JSON with structures as they are, or CSV with them as POSCAR text.

    A POSCAR holds 16 decimals and no magnetic moments. A name that ends in ``.gz`` stands for a compressed file.
    """
    origin = {"dft_thermo_type": thermo_type, "database_version": version}
    rows = [(material, {**dft_columns(material), **origin}) for material in materials]
    if without_gz(name).lower().endswith(".csv"):
        import pandas as pd

        table = pd.DataFrame([{"id": m.material_id, **row, "poscar": _poscar(m.structure)} for m, row in rows])
        content = table.to_csv(index=False, lineterminator="\n").encode()
    else:
        entries = [{"material_id": m.material_id, **row, "structure": m.structure} for m, row in rows]
        content = json.dumps(entries).encode()
    return gzip.compress(content, mtime=0) if is_gz(name) else content


def _poscar(structure: dict[str, Any]) -> str:
    return poscar_text(TextSource(json.dumps(structure), "json").load(ReadLimits(max_atoms=MOST_ATOMS)))
