"""Write the demo data set: `candidates.csv` and `structures/`, from prototypes and published radii only."""

from __future__ import annotations

import csv
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from crystals import Crystal, crystal, rattled, repeated
from formats import FORMATS, as_cif, as_extxyz, as_poscar
from prototypes import PROTOTYPES, ZERO, caesium_chloride, perovskite, rocksalt

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = ("id", "structure", "prototype", "origin")

# formula, prototype, elements or ions; "known" has been made, at some temperature or pressure
KNOWN = """
    Li bcc Li | Na bcc Na | K bcc K | Mg hcp Mg | Ca fcc Ca | Sr fcc Sr | Ba bcc Ba | Al fcc Al
    Si diamond Si
    Ti hcp Ti | Co hcp Co | Co fcc Co | Ni fcc Ni | As A7 As | O2 molecular O
    Li2O antifluorite Li+ O2- | CoO rocksalt Co2+ O2- | CoO wurtzite Co2+ O2- | Co3O4 spinel Co2+ Co3+ O2-
    LiCoO2 layered Li+ Co3+ O2- | NaCoO2 layered Na+ Co3+ O2-
    LiAlO2 layered Li+ Al3+ O2- | NaTiO2 layered Na+ Ti3+ O2-
    MgO rocksalt Mg2+ O2- | Al2O3 corundum Al3+ O2- | MgAl2O4 spinel Mg2+ Al3+ O2-
    CoAl2O4 spinel Co2+ Al3+ O2-
    TiO2 rutile Ti4+ O2- | TiO rocksalt Ti2+ O2- | SrO rocksalt Sr2+ O2- | BaO rocksalt Ba2+ O2-
    CaO rocksalt Ca2+ O2- | Na2O antifluorite Na+ O2- | SrTiO3 perovskite Sr2+ Ti4+ O2-
    BaTiO3 perovskite Ba2+ Ti4+ O2- | CaTiO3 perovskite Ca2+ Ti4+ O2-
    NaCl rocksalt Na+ Cl- | NaCl CsCl Na+ Cl- | KCl rocksalt K+ Cl- | SrCl2 fluorite Sr2+ Cl-
    GaAs zincblende Ga As | GaAs wurtzite Ga As | InAs zincblende In As | InAs wurtzite In As
    AlAs zincblende Al As
    Mg2Si antifluorite Mg Si | LiAlSi half-heusler Li Al Si | NiAl B2 Ni Al | NiTi B2 Ni Ti | CoTi B2 Co Ti
    Ni3Al L1_2 Ni Al | Co2TiAl full-heusler Co Ti Al | Ni2TiAl full-heusler Ni Ti Al
"""
SUBSTITUTED = """
    Li fcc Li | Ga fcc Ga | In fcc In | Cl2 molecular Cl
    LiCoO2 ordered-rocksalt Li+ Co3+ O2- | LiCo2O4 spinel Li+ Co3+ O2- | KCoO2 layered K+ Co3+ O2-
    MgO CsCl Mg2+ O2- | MgO zincblende Mg2+ O2- | TiO2 fluorite Ti4+ O2- | CaCoO3 perovskite Ca2+ Co4+ O2-
    NaCl zincblende Na+ Cl- | GaAs rocksalt Ga As | GaInAs2 ordered-zincblende Ga In As
    NaAlSi half-heusler Na Al Si
"""


@dataclass(frozen=True)
class Row:
    """One line of the candidates file, and the bytes of the file it names (None: there is no such file)."""

    id: str
    structure: str
    prototype: str
    origin: str
    content: bytes | None


def good_rows() -> Iterator[Row]:
    """Yield the rows that should be screened, the five file formats taking turns."""
    turns = itertools.cycle(FORMATS.items())
    for origin, text in (("known", KNOWN), ("substituted", SUBSTITUTED)):
        for entry in text.strip().replace("\n", "|").split("|"):
            formula, slug, *ions = entry.split()
            name, (suffix, write) = f"{formula}-{slug}", next(turns)
            content = write(name, PROTOTYPES[slug].build(*ions))
            yield Row(name, f"structures/{name}.{suffix}", PROTOTYPES[slug].name, origin, content)
    name = "SrTiO3-perovskite-2x2x2-rattled"
    content = as_poscar(name, rattled(repeated(perovskite("Sr2+", "Ti4+", "O2-"), 2), seed=7, amplitude=0.05))
    yield Row(name, f"structures/{name}.vasp", PROTOTYPES["perovskite"].name, "known", content)


def bad_rows() -> Iterator[Row]:
    """Yield the rows that go wrong, one for each way."""

    def row(name: str, suffix: str, prototype: str, content: bytes | None) -> Row:
        return Row(f"bad-{name}", f"structures/bad-{name}.{suffix}", prototype, "deliberately bad", content)

    salt = rocksalt("Na+", "Cl-")
    twice = Crystal(("Na", "Na", "Cl"), salt.lattice, salt.fractional[[0, 0, 1]])
    nowhere = Crystal(salt.symbols, salt.lattice, salt.fractional * [[1, 1, 1], [1, 1, math.nan]])
    alone = crystal(np.diag([15.0] * 3), Na=[ZERO])
    # Shannon has no six-coordinate Am2+; that of Sr2+ is near enough for a row that no model can evaluate
    americium = Crystal(("Am", "O"), rocksalt("Sr2+", "O2-").lattice, salt.fractional)
    garbage = b"data_bad\n_cell_length_a five\nloop_\n_atom_site_label\nthis is not a crystal { ] \x00 \xff\n"
    yield row("missing-file", "cif", "rock salt", None)
    yield row("garbage", "cif", "rock salt", garbage)
    yield row("partial-occupancy", "cif", "rock salt", as_cif("bad-partial-occupancy", salt, occupancy=0.5))
    yield row("same-place", "vasp", "rock salt", as_poscar("bad-same-place", twice))
    yield row("nan-coordinates", "extxyz", "rock salt", as_extxyz("bad-nan-coordinates", nowhere))
    yield row("isolated-atom", "vasp", "atom in a box", as_poscar("bad-isolated-atom", alone))
    yield row("unsupported-element", "cif", "rock salt", as_cif("bad-unsupported-element", americium))
    yield row("formula-cell", "cif", "=1+1", as_cif("bad-formula-cell", caesium_chloride("K+", "Cl-")))


def build(folder: Path) -> list[Row]:
    """Write `candidates.csv` and `structures/` into `folder` and return the rows."""
    rows = [*good_rows(), *bad_rows()]
    (folder / "structures").mkdir(parents=True, exist_ok=True)
    for row in rows:
        if row.content is not None:
            (folder / row.structure).write_bytes(row.content)
    with (folder / "candidates.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((row.id, row.structure, row.prototype, row.origin) for row in rows)
    return rows


if __name__ == "__main__":
    print(f"{len(build(Path(__file__).resolve().parent))} rows written")
