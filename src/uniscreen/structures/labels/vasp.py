"""Labelled steps of a VASP run, from vasprun.xml or OUTCAR."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from uniscreen.structures.labels.labelled import (
    PER_EV_PER_CUBIC_ANGSTROM,
    VASP_CONVENTIONS,
    LabelConventions,
    RawFrame,
)
from uniscreen.structures.sources import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UNCONVERGED = "the electrons did not converge in {} steps (NELM)"

END_OF_STEP = "FREE ENERGIE OF THE ION-ELECTRON SYSTEM"
"""What comes after an OUTCAR's forces, at the end of each ionic step."""

MACHINE_LEARNED = re.compile(r"^ +ML FORCE on cell.*?^ +ML energy  without entropy[^\n]*\n", re.DOTALL | re.MULTILINE)
"""What VASP's machine-learned force field predicts for an ionic step; it has the layout of DFT's own part."""


def read_vasprun(_path: Path, data: bytes, _given: LabelConventions) -> Iterator[RawFrame | str]:
    """Yield the ionic steps of a vasprun.xml with the energy for zero smearing.

    A step whose electrons did not converge is yielded as the reason why it is left out. A file that is cut short gives
    the steps that are whole.
    """
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp import Vasprun

    with _as_file(data) as name:
        try:
            run = Vasprun(name, parse_dos=False, parse_eigen=False, parse_potcar_file=False, exception_on_bad_xml=False)
        except IndexError:  # it takes the last ionic step of a run that was stopped in its first one
            return
    limit = int(run.parameters.get("NELM", 60))
    pressure = float(run.parameters.get("PSTRESS", 0.0)) / PER_EV_PER_CUBIC_ANGSTROM["kbar"]
    for number, step in enumerate(run.ionic_steps, start=1):
        place = f"ionic step {number}"
        if len(step["electronic_steps"]) >= limit:
            yield f"{place}: {UNCONVERGED.format(limit)}"
            continue
        yield RawFrame(
            place=place,
            atoms=AseAtomsAdaptor.get_atoms(step["structure"], msonable=False),
            energy=_energy(step, pressure),
            forces=step.get("forces"),
            stress=step.get("stress"),
            usual=VASP_CONVENTIONS,
        )


def _energy(step: Mapping[str, Any], pressure: float) -> float | None:
    """The energy of an ionic step for zero smearing, eV, as ASE takes it from a vasprun.xml; None where it is missing.

    VASP 5 writes another quantity as the ionic step's ``e_0_energy``, and every version adds PSTRESS (``pressure``,
    eV/Å³) times the volume to the energies of an ionic step, which alone have dispersion corrections. So what smearing
    adds comes from the last electronic step, and the rest from the ionic one.
    """
    electronic = step["electronic_steps"][-1] if step["electronic_steps"] else {}
    free, zero, smeared = step.get("e_fr_energy"), electronic.get("e_0_energy"), electronic.get("e_fr_energy")
    if free is None or zero is None or smeared is None:
        return None
    return float(free + zero - smeared - pressure * step["structure"].volume)


def read_outcar(_path: Path, data: bytes, _given: LabelConventions) -> Iterator[RawFrame | str]:
    """Yield the ionic steps of an OUTCAR; ASE converts its energy (for zero smearing), forces and stress.

    A step whose electrons did not converge is yielded as the reason why it is left out. So are, together, the steps
    that VASP's machine-learned force field took alone; what it predicts in a step of DFT is passed over.
    """
    from ase.io import read

    text, n_predicted = MACHINE_LEARNED.subn("", decode(data))
    declared = re.search(r"NELM\s*=\s*(\d+)", text)
    limit = int(declared[1]) if declared else 60
    used = [re.findall(r"Iteration\s+(\d+)\(\s*(\d+)\)", step) for step in text.split(END_OF_STEP)[:-1]]
    if n_predicted > len(used):
        yield f"{n_predicted - len(used)} steps are VASP's machine-learned force field's, not DFT"
    if n_predicted and not used:
        return
    with _as_file(text.encode()) as name:
        steps = read(name, index=":", format="vasp-out")
    for number, (atoms, iterations) in enumerate(zip(steps, used, strict=False), start=1):
        ionic, electronic = iterations[-1] if iterations else (number, 0)
        place = f"ionic step {ionic}"
        if int(electronic) >= limit:
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
