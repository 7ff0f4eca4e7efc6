"""Structure files, written here so that they are the same bytes whatever version pymatgen or ASE has."""

from __future__ import annotations

import gzip
import io
import itertools
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from crystals import Crystal


def _numbers(values: np.ndarray, digits: int = 10) -> str:
    # adding zero turns -0.0 into 0.0
    return " ".join(f"{value + 0.0:.{digits}f}" for value in np.round(values, digits))


def as_cif(name: str, one: Crystal, occupancy: float = 1.0) -> bytes:
    """Return the crystal as CIF in P1."""
    lengths = np.linalg.norm(one.lattice, axis=1)
    cosines = [one.lattice[i] @ one.lattice[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
    values = [*lengths, *np.degrees(np.arccos(cosines))]
    tags = ["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"]
    lines = [
        f"data_{name.replace('-', '_')}",
        "_symmetry_space_group_name_H-M 'P 1'",
        "_symmetry_Int_Tables_number 1",
    ]
    lines += [f"_cell_{tag} {_numbers(np.array([value]))}" for tag, value in zip(tags, values, strict=True)]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'", "loop_"]
    columns = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"]
    lines += [f"_atom_site_{column}" for column in columns]
    for index, (element, site) in enumerate(zip(one.symbols, one.fractional, strict=True)):
        lines.append(f"{element}{index} {element} {_numbers(site)} {occupancy:g}")
    return ("\n".join(lines) + "\n").encode()


def as_cif_gz(name: str, one: Crystal) -> bytes:
    """Return the crystal as gzipped CIF, without name or time in the header."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream:
        stream.write(as_cif(name, one))
    return buffer.getvalue()


def as_poscar(name: str, one: Crystal) -> bytes:
    """Return the crystal as a VASP 5 POSCAR."""
    groups = [(element, len(list(same))) for element, same in itertools.groupby(one.symbols)]
    lines = [name, "1.0", *(_numbers(row) for row in one.lattice)]
    lines += [" ".join(str(group[i]) for group in groups) for i in (0, 1)]
    return "\n".join([*lines, "Direct", *(_numbers(site) for site in one.fractional), ""]).encode()


def as_extxyz(name: str, one: Crystal) -> bytes:
    """Return the crystal as extended XYZ."""
    head = f'Lattice="{_numbers(one.lattice.ravel())}" Properties=species:S:1:pos:R:3 pbc="T T T" name={name}'
    places = zip(one.symbols, one.fractional @ one.lattice, strict=True)
    lines = [f"{len(one.symbols)}", head, *(f"{element} {_numbers(place)}" for element, place in places), ""]
    return "\n".join(lines).encode()


def as_json(name: str, one: Crystal) -> bytes:
    """Return the crystal as the dictionary of a pymatgen Structure."""

    def rounded(values: np.ndarray) -> list[float]:
        return (np.round(values, 10) + 0.0).tolist()

    sites = [
        {
            "species": [{"element": element, "occu": 1}],
            "abc": rounded(site),
            "label": element,
            "properties": {},
        }
        for element, site in zip(one.symbols, one.fractional, strict=True)
    ]
    lattice = {"matrix": rounded(one.lattice), "pbc": [True, True, True]}
    kind = {"@module": "pymatgen.core.structure", "@class": "Structure"}
    document = {**kind, "charge": 0, "lattice": lattice, "properties": {"name": name}, "sites": sites}
    return (json.dumps(document, indent=1) + "\n").encode()


FORMATS: dict[str, Callable[[str, Crystal], bytes]] = {
    "cif": as_cif,
    "vasp": as_poscar,
    "extxyz": as_extxyz,
    "json": as_json,
    "cif.gz": as_cif_gz,
}
