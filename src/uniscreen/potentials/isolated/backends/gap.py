"""Gaussian approximation potentials (Bartók et al. 2010): a 2-body term and SOAP, fitted by QUIP's gap_fit."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.data import chemical_symbols
from ase.io import write
from ase_frames import evaluate_each
from quippy.potential import Potential

if TYPE_CHECKING:
    import numpy as np

    from uniscreen.potentials.isolated.worker import Batch, Frames, Training

FILE = "gap.xml"

STRUCTURES = "structures.xyz"


class Model:
    """One XML file, and the files of sparse points beside it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.elements = settings["species"]
        self.cutoff = cutoff_of(settings["weights"])
        self.calculator = Potential(param_filename=settings["weights"])

    def evaluate(self, batch: Batch) -> dict[str, np.ndarray]:
        """One structure after the other."""
        return evaluate_each(self.calculator, batch)


def load(settings: dict[str, Any]) -> Model:
    """The potential of an XML file."""
    return Model(settings)


def cutoff_of(path: str) -> float:
    """The longest cutoff (Å) among the descriptors of a potential."""
    texts = [element.text or "" for element in ET.parse(path).iter("descriptor")]  # noqa: S314  # checksummed, our own
    found = [word.removeprefix("cutoff=") for text in texts for word in text.split() if word.startswith("cutoff=")]
    return max(map(float, found))


def train(training: Training) -> tuple[str, float]:
    """Run gap_fit, which solves one sparse linear least-squares problem."""
    write(STRUCTURES, labelled(training.frames), format="extxyz")
    energies = training.frames.reference_energies()
    e0 = ":".join(f"{chemical_symbols[z]}:{energy:.12g}" for z, energy in energies.items())
    p = training.hyperparameters
    arguments = [
        f"atoms_filename={STRUCTURES}",
        f"gap={{{descriptors(p)}}}",
        f"default_sigma={{{p['energy_sigma']} {p['forces_sigma']} {p['virial_sigma']} 0.0}}",
        f"e0={{{e0}}}",
        "energy_parameter_name=reference_energy",
        "force_parameter_name=reference_forces",
        "virial_parameter_name=reference_virial",
        f"sparse_jitter={p['sparse_jitter']}",
        f"rnd_seed={training.seed + 1}",
        "do_copy_at_file=F",
        "sparse_separate_file=T",
        f"gp_file={FILE}",
    ]
    subprocess.run(["gap_fit", *arguments], check=True)  # noqa: S603, S607  # the program of this environment
    for scratch in training.folder.glob(f"{STRUCTURES}*"):
        scratch.unlink()
    return FILE, cutoff_of(FILE)


def descriptors(p: dict[str, Any]) -> str:
    """The terms of the potential as gap_fit reads them; each is repeated for all pairs of elements, or elements."""
    pairs = (
        f"distance_2b cutoff={p['cutoff']} cutoff_transition_width={p['transition_width']} covariance_type=ard_se "
        f"delta={p['pair_delta']} theta_uniform=1.0 sparse_method=uniform n_sparse={p['pair_n_sparse']}"
    )
    soap = (
        f"soap cutoff={p['cutoff']} cutoff_transition_width={p['transition_width']} n_max={p['n_max']} "
        f"l_max={p['l_max']} atom_sigma={p['atom_sigma']} zeta={p['zeta']} delta={p['soap_delta']} "
        f"covariance_type=dot_product sparse_method=cur_points n_sparse={p['n_sparse']}"
    )
    return f"{pairs} : {soap}"


def labelled(frames: Frames) -> list[Atoms]:
    """Structures with energy, forces and virial (eV, minus stress times volume), named as ASE does not interpret."""
    result = []
    for (numbers, positions, cell, pbc), energy, forces, stress in frames.structures():
        atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
        atoms.info["reference_energy"] = energy
        atoms.arrays["reference_forces"] = forces
        if stress is not None:
            atoms.info["reference_virial"] = (-stress * atoms.get_volume()).ravel()  # ASE writes (3, 3) as JSON
        result.append(atoms)
    return result
