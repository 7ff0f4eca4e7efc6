"""Labelled steps of a VASP run, from vasprun.xml or OUTCAR."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uniscreen.structures.labels.labelled import VASP_CONVENTIONS, LabelConventions, RawFrame
from uniscreen.structures.sources import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNCONVERGED = "the electrons did not converge in {} steps (NELM)"


def read_vasprun(_path: Path, data: bytes, _given: LabelConventions) -> Iterator[RawFrame | str]:
    """Yield the ionic steps of a vasprun.xml with the energy for zero smearing.

    A step whose electrons did not converge is yielded as the reason why it is left out. A file that is cut short gives
    the steps that are whole.
    """
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp import Vasprun

    with _as_file(data) as name:
        run = Vasprun(name, parse_dos=False, parse_eigen=False, parse_potcar_file=False, exception_on_bad_xml=False)
    limit = int(run.parameters.get("NELM", 60))
    for number, step in enumerate(run.ionic_steps, start=1):
        place = f"ionic step {number}"
        if len(step["electronic_steps"]) >= limit:
            yield f"{place}: {UNCONVERGED.format(limit)}"
            continue
        yield RawFrame(
            place=place,
            atoms=AseAtomsAdaptor.get_atoms(step["structure"], msonable=False),
            energy=step.get("e_0_energy"),
            forces=step.get("forces"),
            stress=step.get("stress"),
            usual=VASP_CONVENTIONS,
        )


def read_outcar(_path: Path, data: bytes, _given: LabelConventions) -> Iterator[RawFrame | str]:
    """Yield the ionic steps of an OUTCAR; ASE converts its energy (for zero smearing), forces and stress.

    A step whose electrons did not converge is yielded as the reason why it is left out.
    """
    from ase.io import read

    with _as_file(data) as name:
        steps = read(name, index=":", format="vasp-out")
    text = decode(data)
    declared = re.search(r"NELM\s*=\s*(\d+)", text)
    limit = int(declared[1]) if declared else 60
    used = {int(ionic): int(electronic) for ionic, electronic in re.findall(r"Iteration\s+(\d+)\(\s*(\d+)\)", text)}
    for number, atoms in enumerate(steps, start=1):
        place = f"ionic step {number}"
        if used.get(number, 0) >= limit:
            yield f"{place}: {UNCONVERGED.format(limit)}"
            continue
        results = {} if atoms.calc is None else atoms.calc.results
        yield RawFrame(
            place=place,
            atoms=atoms,
            energy=results.get("energy"),
            forces=results.get("forces"),
            stress=results.get("stress"),
        )


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """The name of a file with the (decompressed) data, for parsers that read nothing else."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name
