"""Run by the Python of SevenNet's environment: what sevenn's own calculator says of structures in an extxyz file.

``python sevenn_reference.py STRUCTURES RESULTS`` writes energies, forces and stresses (Voigt) to an .npz file.
"""

import sys

import numpy as np
import torch
from ase.io import read
from sevenn.calculator import SevenNetCalculator

torch.set_num_threads(1)
calculator = SevenNetCalculator("7net-0", device="cpu")
results = {}
for i, atoms in enumerate(read(sys.argv[1], ":")):
    calculator.calculate(atoms)
    for name in ("energy", "forces", "stress"):
        results[f"{name} {i}"] = calculator.results[name]
np.savez(sys.argv[2], **results)
